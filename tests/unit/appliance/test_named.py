"""Finding devices on an appliance whose layout is not documented."""

from __future__ import annotations

from tscm_migrate.appliance import device_discovery

OLD = ("fw-zentrale/settings.conf", "fw-zentrale/policy.dat", "asa02/settings.conf", "asa02/policy.dat", "ssl/ca.pem",
       "templates/asa.tmpl", "tscm.conf")  # fmt: skip
FRESH = ("ssl/ca.pem", "templates/asa.tmpl", "tscm.conf")


def chosen(**seen: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    given = {"known": (), "archived": (), "mentioned": (), "before": FRESH, "after": OLD}
    return device_discovery.choose(device_discovery.Witnesses(**{**given, **seen}))


def test_devices_of_a_list_are_used_unchanged() -> None:
    assert chosen(known=("asa02",), mentioned=("templates",)) == (("asa02",), False)


def test_name_mentioned_and_created_by_the_restore_is_a_device() -> None:
    assert chosen(mentioned=("fw-zentrale", "templates", "asa02")) == (("fw-zentrale", "asa02"), False)


BY_FAMILY = (*FRESH, "by/asa/hq.conf", "by/panos/dmz-pa.conf", "by/fortigate/branch.7.conf")


def test_mentioned_family_folder_does_not_count_as_device() -> None:
    mentioned = ("hq", "asa", "dmz-pa", "panos", "branch.7", "fortigate")
    assert chosen(mentioned=mentioned, after=BY_FAMILY) == (("hq", "dmz-pa", "branch.7"), False)
    two_of_one = (*FRESH, "by/edge/north.conf", "by/edge/south.conf")
    assert chosen(mentioned=("edge", "north", "south"), after=two_of_one) == (("north", "south"), False)
    only_one = (*FRESH, "by/asa/hq.conf")
    assert chosen(mentioned=("hq", "asa"), after=only_one) == (("hq",), False)


def test_mentioned_file_of_every_device_does_not_count_as_device() -> None:
    assert chosen(mentioned=("fw-zentrale", "settings", "policy", "asa02")) == (("fw-zentrale", "asa02"), False)
    more = (*OLD, "asa02/extra.conf")
    assert chosen(mentioned=("settings", "asa02", "extra", "fw-zentrale"), after=more)[0] == ("asa02", "fw-zentrale")
    for folder, file in (("asa02", "tuning"), ("a10", "settings")):
        only_one = (*FRESH, f"{folder}/{file}.conf")
        assert chosen(mentioned=(folder, file), after=only_one) == ((folder,), False)


def test_folders_below_family_folders_are_devices() -> None:
    after = (*FRESH, "asa/hq/settings.conf", "panos/dmz/settings.conf")
    assert chosen(mentioned=("hq", "asa", "settings", "dmz", "panos"), after=after) == (("hq", "dmz"), False)
    assert chosen(mentioned=("hq", "asa", "tuning"), after=(*FRESH, "asa/hq/tuning.conf")) == (("hq",), False)


def test_silent_restore_into_family_folders_gives_the_files_below() -> None:
    assert chosen(after=BY_FAMILY) == (("branch.7", "dmz-pa", "hq"), True)


def test_devices_of_a_silent_restore_are_a_guess() -> None:
    assert chosen() == (("asa02", "fw-zentrale"), True)


def test_devices_below_a_new_folder_are_found() -> None:
    after = (*FRESH, "conf.d/firewalls/munich.json", "conf.d/firewalls/berlin-2.json")
    assert chosen(after=after) == (("berlin-2", "munich"), True)


def test_names_in_an_archive_count_only_if_they_were_created() -> None:
    assert chosen(archived=("asa02", "loop0")) == (("asa02",), False)


def test_overwritten_device_is_found() -> None:
    before = dict.fromkeys((*FRESH, "asa02/settings.conf", "asa02/policy.dat"), "old")
    after = {path: "new" if path.startswith(("asa02/", "fw")) else "old" for path in OLD}
    seen = device_discovery.Witnesses((), (), ("fw-zentrale", "templates", "asa02", "tscm"), before, after)
    assert device_discovery.choose(seen) == (("fw-zentrale", "asa02"), False)


def test_no_device_is_found_without_new_files() -> None:
    assert chosen(after=FRESH) == ((), True)


def test_name_column_is_found_in_a_table_with_borders() -> None:
    known = device_discovery.in_tree(("devices/edge.json", "devices/asa.json", "types/asa.tmpl"))
    table = "| # | Type | Name | State  |\n+---+\n| 1 | asa  | edge | \x1b[32mup\x1b[0m |\n| 2 | asa  | asa  | up |\n2 in total"
    assert device_discovery.names_in_list(table, known) == ("edge", "asa")
    assert device_discovery.names_in_list("munich\n", known) == ("munich",)


def test_files_of_devices_are_separated_from_others() -> None:
    files = {"asa02/policy.dat": "1", "tscm.conf": "2"}
    assert device_discovery.about(files, {"asa02": {}}) == {"asa02/policy.dat": "1"}
    assert device_discovery.about(files, ()) == files


def test_device_names_in_capitals_are_found() -> None:
    known = {"plv-asa", "plv-edge", "common", "Twin", "twin"}
    assert device_discovery.in_text("DEVICE PLV-ASA RESTORED\r\nDEVICE PLV-EDGE RESTORED, TWIN NOT", known) == (
        "plv-asa",
        "plv-edge",
    )
