"""The findings of a rehearsal of the restore in the device files, and which files it may remove."""

from __future__ import annotations

import pytest

from tscm_migrate.migration import checks
from tscm_migrate.migration.rehearsal_undo import may_go
from tscm_migrate.migration.steps.rehearse import compare

OLD = {
    "devices/edge-asa/device.json": "a1", "devices/edge-asa/policy.dat": "a2", "devices/dc-pan/device.json": "b1",
    "notes/edge.txt": "c1",
}  # fmt: skip
DEVICES = ("edge-asa", "dc-pan")


def named(found: list[checks.Finding]) -> list[tuple[str, str]]:
    return [(one.name, one.severity) for one in found]


def test_identical_device_files_pass() -> None:
    assert named(compare(OLD, OLD, DEVICES, before={})) == [("rehearsal-files", "ok")]


def test_file_beside_the_devices_is_not_compared() -> None:
    here = {path: digest for path, digest in OLD.items() if not path.startswith("notes/")}
    assert named(compare(OLD, here, DEVICES, before={})) == [("rehearsal-files", "ok")]


@pytest.mark.parametrize("known", [DEVICES, ()], ids=["listed", "not listed"])
def test_restore_without_any_file_is_refused(known: tuple[str, ...]) -> None:
    found = compare(OLD, {}, known, before={})
    assert named(found) == [("rehearsal-devices-missing", "error")]
    assert checks.refusals(found, ())
    assert not checks.refusals(found, ("rehearsal-devices-missing",))


def test_device_without_files_is_refused_by_name() -> None:
    here = {path: digest for path, digest in OLD.items() if "dc-pan" not in path}
    found = compare(OLD, here, DEVICES, before={})
    assert named(found) == [("rehearsal-devices-missing", "error")]
    assert "dc-pan" in found[0].text
    assert "edge-asa" not in found[0].text


@pytest.mark.parametrize(
    ("here", "text"),
    [
        ({**OLD, "devices/edge-asa/policy.dat": "other"}, "1 differ (devices/edge-asa/policy.dat)"),
        ({path: d for path, d in OLD.items() if "policy" not in path}, "1 are missing (devices/edge-asa/policy.dat)"),
        ({**OLD, "devices/gone/device.json": "g"}, "1 are not on the old appliance (devices/gone/device.json)"),
    ],
)
def test_other_difference_is_a_warning(here: dict[str, str], text: str) -> None:
    (found,) = compare(OLD, here, DEVICES, before={"devices/own/device.json": "o"})
    assert (found.name, found.severity) == ("rehearsal-files-differ", "warning")
    assert text in found.text


def test_devices_of_the_new_appliance_are_not_compared() -> None:
    own = {"devices/own/device.json": "o"}
    assert named(compare(OLD, {**OLD, **own}, DEVICES, before=own)) == [("rehearsal-files", "ok")]


def test_device_with_other_file_names_is_not_reported_as_missing() -> None:
    assert named(compare(OLD, OLD, (*DEVICES, "fw-7"), before={})) == [("rehearsal-files", "ok")]


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("tmp.Ab3xY", True), ("quay.x7Yz", True), ("3kdkQ9", True), ("restore", True), (".restore-x", True),
        ("..", False), (".", False), ("", False), ("a b", False), ("x;rm", False), ("x\n", False), ("-rf", False),
        ("systemd-private-1a-ssh", False), ("ssh-XXab", False), (".X11-unix", False), ("tmux-0", False),
        ("threatstop_backup_2024-05-01_03_00_00.tsbak", False), ("threatstop_latest.tsbak.gpg", False),
        (".tscm-migrate.abc", False),
    ],
)  # fmt: skip
def test_only_files_of_the_rehearsal_are_removed(name: str, may: bool) -> None:  # noqa: FBT001
    assert may_go(name) is may
