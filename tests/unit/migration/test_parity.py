"""Parity tells every difference, and never calls the same what nobody could tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.migration.test_checks import facts
from tscm_migrate.migration.parity import After, Before, compare
from tscm_migrate.options import MigrateOptions

OLD = facts("old", "10.1.1.43", devices=("a", "b"), host_keys=(("ssh-ed25519", "SHA256:old"),), log_writable=True)
NEW = facts("new", "10.1.1.50", devices=(), host_keys=(("ssh-ed25519", "SHA256:new"),), log_writable=True)
FILES = {"devices/a": "1" * 64, "devices/b": "2" * 64}


def different(
    now: dict[str, Any], *, files: dict[str, str] | None = None, key: str = "SHA256:old", **options: Any
) -> list[str]:
    after = replace(NEW, interfaces=OLD.interfaces, devices=("a", "b"), host_keys=OLD.host_keys)
    rows = compare(
        Before(OLD, NEW, FILES), After(replace(after, **now), FILES if files is None else files),
        MigrateOptions(from_="old", to="new", **options), restores_network=True, new_key=key,
    )  # fmt: skip
    return [row.name for row in rows if not row.same]


def test_an_equal_appliance_has_no_difference() -> None:
    assert different({}) == []


@pytest.mark.parametrize(
    ("now", "name"),
    [
        ({"devices": ("a",)}, "devices"),
        ({"interfaces": NEW.interfaces}, "address"),
        ({"host_keys": NEW.host_keys}, "host keys"),
        ({"cron_entry": False}, "updates' cron entry"),
        ({"versions": (("TSCM-Core", "1.49"), ("ts-keyring", ""))}, "TSCM-Core"),
        ({"versions": (("TSCM-Core", "1.50-01"),)}, "modules"),
        ({"log_writable": False}, "log folder"),
    ],
)
def test_each_difference_is_told(now: dict[str, Any], name: str) -> None:
    assert different(now) == [name]


def test_a_damaged_or_missing_device_file_is_told() -> None:
    assert different({}, files={**FILES, "devices/b": "3" * 64}) == ["device files"]
    assert different({}, files={"devices/a": "1" * 64}) == ["device files"]


def test_a_device_more_is_no_difference() -> None:
    assert different({"devices": ("a", "b", "c")}) == []


def test_own_host_keys_are_wanted_when_they_are_not_restored() -> None:
    assert different({"host_keys": NEW.host_keys}, key="SHA256:new", restore_ssh=False) == []
    assert different({}, restore_ssh=False) == ["host keys", "host key shown"]


def test_a_key_that_is_shown_but_not_foreseen_is_told() -> None:
    assert different({}, key="SHA256:other") == ["host key shown"]
