"""The checks before a migration decide from facts; each refusal has a reason and a remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.migration import checks, passed_checks
from tscm_migrate.migration.checks import Check, Finding, PreflightInput, idle, refusals
from tscm_migrate.model import Archive, Host
from tscm_migrate.options import MigrateOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKUP = "/opt/threatstop/backup"


def facts(name: str, address: str, **changes: Any) -> Facts:
    good = Facts(
        name=name, hostname=name, os_id="ubuntu", os_version="20.04", os_pretty="Ubuntu 20.04",
        versions=(("TSCM-Core", "1.50-01"), ("ts-keyring", "")), interfaces=(Interface("eth0", address, 24),),
        free=((BACKUP, 10**10),), backup_dir_exists=True, tools=("sha256sum", "stat", "dd"), cron_entry=True,
        clock=1.0, boot=f"boot-{name}", dhcp=False,
    )  # fmt: skip
    return replace(good, **changes)


def situation(old: dict[str, Any] | None = None, new: dict[str, Any] | None = None, **options: Any) -> PreflightInput:
    return PreflightInput(
        facts("old", "10.1.1.43", **(old or {})),
        facts("new", "10.1.1.50", **(new or {})),
        Host("old", "10.1.1.43"),
        Host("new", "10.1.1.50"),
        MigrateOptions(from_="old", to="new", **options),
    )


def preflight(s: PreflightInput, chosen: Sequence[Check] = checks.CHECKS) -> list[Finding]:
    """What the checks found, without those that passed."""
    return [finding for finding in passed_checks.run(s, chosen) if finding.severity != "ok"]


def refused(s: PreflightInput, allow: tuple[str, ...] = ()) -> list[str]:
    return [finding.name for finding in refusals(preflight(s), allow)]


def test_two_good_appliances_have_no_finding() -> None:
    assert preflight(situation()) == []


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ({"versions": (("TSCM-Core", "1.46-09"),)}, {}, "core-too-old"),
        ({"versions": (("TSCM-Core", "1.5"),)}, {}, "core-too-old"),
        ({}, {"versions": (("TSCM-Core", "1.47-01"),)}, "new-is-older"),
        ({}, {"versions": (("TSCM-Core", ""),)}, "version-unknown"),
        ({}, {"os_id": "rhel", "os_version": "9.4"}, "os-differs"),
        ({}, {"os_version": "16.04"}, "os-differs"),
        ({"free": ((BACKUP, 1000),)}, {}, "disk-full"),
        ({"archives": (Archive("threatstop_backup_2026-01-02_03_04_05.tsbak", BACKUP, 10**10),)}, {}, "disk-full"),
        (
            {},
            {"interfaces": (Interface("ens192", "10.1.1.51", 24), Interface("ens2", "10.9.9.9", 24))},
            "interface-missing",
        ),
        ({}, {"interfaces": (Interface("ens192", "10.1.1.50", 24),)}, "interface-differs"),
        ({}, {"clock_skew": 301.0}, "clock-off"),
        ({"clock_skew": -4000.0}, {}, "clock-off"),
        ({}, {"boot": "boot-old", "hostname": "old"}, "same-host"),
        ({}, {"tools": ("stat", "dd")}, "tools-missing"),
    ],
)
def test_unsuitable_appliance_is_refused_with_remedy(old: dict[str, Any], new: dict[str, Any], name: str) -> None:
    s = situation(old, new)
    assert name in refused(s)
    assert all(finding.remedy for finding in preflight(s) if finding.severity == "error")


def test_given_interface_must_exist_on_both_appliances() -> None:
    assert refused(situation(interface="eth7")) == ["interface-missing", "interface-missing"]


def test_newer_version_on_the_new_appliance_passes() -> None:
    assert (
        refused(situation({"versions": (("TSCM-Core", "1.47-02"),)}, {"versions": (("TSCM-Core", "v1.50-01"),)})) == []
    )


def test_clock_within_five_minutes_passes() -> None:
    assert refused(situation({"clock_skew": 299.0}, {"clock_skew": -299.0})) == []


def test_existing_devices_on_the_new_appliance_are_a_warning() -> None:
    found = preflight(situation({"devices": ("a", "b")}, {"devices": ("b", "c")}))
    assert [(finding.severity, "b" in finding.text) for finding in found] == [("warning", True)]


def test_refusal_can_be_acknowledged_unless_it_is_firm() -> None:
    assert refused(situation(new={"os_version": "16.04"}), ("os-differs",)) == []
    assert refused(situation(new={"os_version": "16.04"}), ("disk-full",)) == ["os-differs"]
    assert refused(situation(new={"boot": "boot-old", "hostname": "old"}), ("same-host",)) == ["same-host"]


def test_old_address_from_dhcp_is_a_finding() -> None:
    assert [finding.name for finding in preflight(situation({"dhcp": True}))] == ["dhcp"]
    assert preflight(situation({"dhcp": True}, bypass_netconf=True)) == []


CORE = ("TSCM-Core", "1.50-01")


def test_module_missing_on_the_new_appliance_is_a_warning() -> None:
    old = {"versions": (CORE, ("ts-bind", "v1.10-01"), ("ts-keyring", ""), ("ts-a10", "2.37-03"))}
    found = preflight(situation(old, {"versions": (CORE, ("TS-A10", "2.37-03"))}))
    assert [(one.name, one.severity, one.text) for one in found] == [
        ("module-missing", "warning", "new lacks the module ts-bind that old has"),
        ("module-missing", "warning", "new lacks the module ts-keyring that old has"),
    ]
    assert preflight(situation(old, old)) == []


@pytest.mark.parametrize(
    ("user", "groups", "names"),
    [
        ("threatstop", (), []),
        ("root", ("root",), []),
        ("alice", ("alice", "threatstop"), []),
        ("alice", ("alice", "sudo"), ["login-group"]),
    ],
)
def test_login_outside_the_vendor_group_is_a_warning(user: str, groups: tuple[str, ...], names: list[str]) -> None:
    found = preflight(situation({"user": user, "groups": groups, "vendor_group": True}))
    assert [(one.name, one.severity) for one in found] == [(name, "warning") for name in names]
    assert preflight(situation({"user": user, "groups": groups})) == []


def test_downtime_of_a_dns_server_is_a_dns_outage() -> None:
    (found,) = preflight(situation({"dns_server": ("module ts-bind", "named")}))
    assert (found.name, found.severity) == ("dns-outage", "warning")
    assert "(module ts-bind, named): the downtime is a DNS outage for its clients" in found.text
    assert preflight(situation(new={"dns_server": ("named",)})) == []


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        (("rhel", "7.9"), ("rhel", "7.8"), ""),
        (("centos", "7"), ("centos", "7"), ""),
        (("rhel", "7.9"), ("centos", "7"), "warning"),
        (("rhel", "9.4"), ("centos", "7"), "error"),
        (("rhel", "9.4"), ("rhel", "7.9"), "error"),
        (("centos", "7"), ("ubuntu", "20.04"), "error"),
        (("centos", ""), ("rhel", ""), "warning"),
        (("ubuntu", "20.04"), ("ubuntu", "20.10"), "error"),
    ],
)
def test_red_hat_releases_are_compared_by_their_first_number(
    old: tuple[str, str], new: tuple[str, str], severity: str
) -> None:
    s = situation(
        dict(zip(("os_id", "os_version"), old, strict=True)), dict(zip(("os_id", "os_version"), new, strict=True))
    )
    assert "".join(finding.severity for finding in preflight(s)) == severity


KEY = (("ssh-ed25519", "SHA256:one"),)
OTHER = (("ssh-ed25519", "SHA256:two"),)


def of_the_dead(old: dict[str, Any] | None = None, /, **changes: Any) -> dict[str, str]:
    """Findings where a backup stands for the old appliance: name → severity."""
    options = changes.pop("options", {})
    told = {"told_by": "a copy", "host_keys": KEY, "os_id": "", "os_version": "", "boot": "", **(old or {})}
    usual = {"pinned": KEY, "inside": ("10.1.1.43",), **changes}
    made = replace(situation(told, **options), **usual)
    return {finding.name: finding.severity for finding in preflight(made, checks.DISASTER_CHECKS)}


def test_good_copy_of_a_dead_appliance_is_information_only() -> None:
    assert of_the_dead({"devices": ("edge-asa",)}) == {"old-is-dead": "info"}


@pytest.mark.parametrize(
    ("old", "changes", "finding"),
    [
        ({}, {"answers": ("arp",)}, ("old-answers", "error")),
        ({"host_keys": OTHER}, {}, ("archive-other-keys", "error")),
        ({"host_keys": ()}, {"inside": ("10.9.9.9",)}, ("archive-other-address", "error")),
        ({"host_keys": OTHER}, {"pinned": (), "inside": ("10.9.9.9",)}, ("archive-other-address", "error")),
        ({"host_keys": ()}, {"pinned": ()}, ("old-keys-unknown", "error")),
        ({"os_pretty": "Ubuntu 22.04.1 LTS"}, {}, ("os-differs", "error")),
        ({"versions": (("TSCM-Core", "1.51-01"),)}, {}, ("new-is-older", "error")),
        ({"interfaces": (Interface("ens160", "10.1.1.43", 24),)}, {}, ("interface-differs", "error")),
    ],
)
def test_inconsistent_copy_of_a_dead_appliance_is_refused(
    old: dict[str, Any], changes: dict[str, Any], finding: tuple[str, str]
) -> None:
    assert finding in of_the_dead(old, **changes).items()


def test_missing_versions_of_a_dead_appliance_are_not_refused() -> None:
    found = of_the_dead({"versions": (), "os_pretty": "", "devices": ("a",)})
    assert found == {"old-is-dead": "info", "os-unknown": "warning"}


def test_answering_old_appliance_is_accepted_with_bypass_netconf() -> None:
    assert "old-answers" not in of_the_dead(answers=("ping",), options={"bypass_netconf": True})


def test_point_release_is_the_same_system() -> None:
    old = {"os_pretty": "Ubuntu 20.04.6 LTS", "devices": ("a",)}
    made = replace(
        situation({**old, "told_by": "a copy", "host_keys": KEY}, {"os_pretty": "Ubuntu 20.04.2 LTS"}),
        pinned=KEY, inside=("10.1.1.43",),
    )  # fmt: skip
    assert [finding.name for finding in preflight(made, checks.DISASTER_CHECKS)] == ["old-is-dead"]


ALL = ("sha256sum", "stat", "dd", "rsync", "ssh", "tar")
WITHOUT_RSYNC = {"tools": ("sha256sum", "stat", "dd", "ssh", "tar")}


def test_impossible_transfer_method_is_a_finding() -> None:
    both = {"old": {"tools": ALL}, "new": {"tools": ALL}}
    for method in ("auto", "rsync", "tar", "sftp"):
        assert preflight(situation(**both, method=method)) == []
    lacking = {"old": {"tools": ALL}, "new": WITHOUT_RSYNC}
    assert preflight(situation(**lacking)) == []
    (other,) = preflight(situation(**lacking, method="rsync"))
    assert (other.name, other.severity) == ("another-way", "warning")
    assert "no rsync on the new appliance" in other.text
    (none,) = preflight(situation(**lacking, method="rsync", route="direct"))
    assert (none.name, none.severity, none.firm) == ("no-way", "error", True)
    assert "no rsync on the new appliance" in none.text
    (contrary,) = preflight(situation(**both, method="tar", route="direct"))
    assert (contrary.name, contrary.firm) == ("no-way", True)


def test_unknown_device_is_refused_with_a_suggestion() -> None:
    known = {"devices": ("edge-asa", "dns-nios")}
    (found,) = preflight(situation(known, devices=("edge-aas",)))
    assert (found.name, found.severity, found.firm) == ("device-unknown", "error", False)
    assert "did you mean 'edge-asa'?" in found.text
    assert refused(situation(known, devices=("edge-aas",)), ("device-unknown",)) == []
    assert preflight(situation(known, devices=("edge-asa",))) == []
    assert preflight(situation(known, devices="none")) == []
    assert preflight(situation({"devices": None}, devices=("edge-aas",))) == [], "the devices are unknown"
    listed = replace(situation(known, devices=("by-hand",)), old_host=Host("old", "10.1.1.43", devices=("by-hand",)))
    assert preflight(listed) == []


def test_unused_acknowledgement_is_reported() -> None:
    findings = preflight(situation({}, {"os_version": "16.04"}))
    assert idle(findings, ("os-difers", "os-differs")) == ["os-difers"]


ISOLATING = ("sha256sum", "stat", "dd", "ip", "ping")


@pytest.mark.parametrize(
    ("address", "interfaces", "tools", "why"),
    [
        ("10.1.1.43", ("10.1.1.43",), ISOLATING, ""),
        ("10.1.1.43", ("10.1.1.43",), ("sha256sum", "stat", "dd", "ip", "arping"), ""),
        ("fd00::43", ("FD00:0::43",), ("sha256sum", "stat", "dd", "ip"), ""),
        ("10.1.1.43", ("192.168.0.4",), ISOLATING, "no interface with"),
        ("fd00::43", ("10.1.1.43",), ISOLATING, "no interface with"),
        ("tscm.example", ("10.1.1.43",), ISOLATING, "is a host name"),
        ("10.1.1.43", ("10.1.1.43",), ("sha256sum", "stat", "dd", "ping"), "lacks ip"),
        ("10.1.1.43", ("10.1.1.43",), ("sha256sum", "stat", "dd", "ip"), "lacks arping and ping"),
    ],
)
def test_appliance_that_cannot_be_isolated_is_refused(
    address: str, interfaces: tuple[str, ...], tools: tuple[str, ...], why: str
) -> None:
    old = {"interfaces": tuple(Interface("eth0", one, 24) for one in interfaces), "tools": tools}
    s = replace(situation(old, offline="isolate"), old_host=Host("old", address))
    found = [finding for finding in preflight(s) if finding.name == "isolate-impossible"]
    assert [finding.firm for finding in found] == ([True] if why else [])
    assert all(why in finding.text and "--offline poweroff" in finding.remedy for finding in found)
    assert not [f for f in preflight(replace(s, options=MigrateOptions(from_="old", to="new"))) if "isol" in f.name]


def test_passed_check_has_a_row_with_its_value() -> None:
    rows = passed_checks.run(situation(), checks.CHECKS)
    assert [row.name for row in rows] == [check.__name__.replace("_", "-") for check in checks.CHECKS]
    assert {row.severity for row in rows} == {"ok"}
    seen = {row.name: row.text for row in rows}
    assert seen["core-version"] == "old: 1.50-01, new: 1.50-01 (at least 1.47)"
    assert seen["disk"] == "old: 10000 MB free, new: 10000 MB free; the backup may need 4 MB"
    assert seen["same-host"] == "old is 10.1.1.43, new is 10.1.1.50"
    assert not refusals(rows, ())


@pytest.mark.parametrize(("size", "shown"), [(1_000_000, "tar, relay"), (1_000_000_000, "rsync, direct")])
def test_transfer_method_is_that_of_the_plan_for_the_size_of_the_archive(size: int, shown: str) -> None:
    both = {"tools": ("sha256sum", "stat", "dd", "rsync", "tar", "ssh")}
    old: dict[str, Any] = {**both, "archives": (Archive("threatstop_backup_2026-11-27_14_54_38.tsbak", BACKUP, size),)}
    rows = passed_checks.run(situation(old, both), checks.CHECKS)
    assert {row.name: row.text for row in rows}["transfer-method"] == shown


def test_check_with_a_finding_has_only_that_row() -> None:
    rows = passed_checks.run(situation(new={"clock_skew": 301.0}), checks.CHECKS)
    assert [row.name for row in rows if row.name.startswith("clock")] == ["clock-off"]
    same = passed_checks.run(situation(new={"boot": "boot-old", "hostname": "old"}), checks.CHECKS)
    assert [row.name for row in same] == ["same-host"]


@pytest.mark.parametrize("check", [*checks.CHECKS, *checks.DISASTER_CHECKS], ids=lambda check: check.__name__)
def test_each_check_shows_a_value_or_always_a_finding(check: Any) -> None:
    assert check in passed_checks.SEEN or check is checks.backup_source
