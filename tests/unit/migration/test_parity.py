"""The parity check reports every difference, and reports nothing as equal that is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.migration.test_checks import facts
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.migration.parity import After, Before, ParityRow, compare
from tscm_migrate.options import MigrateOptions

OLD = facts("old", "10.1.1.43", devices=("a", "b"), host_keys=(("ssh-ed25519", "SHA256:old"),), log_writable=True)
NEW = facts("new", "10.1.1.50", devices=(), host_keys=(("ssh-ed25519", "SHA256:new"),), log_writable=True)
FILES = {"devices/a": "1" * 64, "devices/b": "2" * 64}


def rows(
    now: dict[str, Any], *, before: Before | None = None, files: dict[str, str] | None = None,
    key: str = "SHA256:old", network: bool = True, **options: Any,
) -> list[ParityRow]:  # fmt: skip
    after = replace(NEW, interfaces=OLD.interfaces, devices=("a", "b"), host_keys=OLD.host_keys)
    return compare(
        before or Before(OLD, NEW, FILES), After(replace(after, **now), FILES if files is None else files),
        MigrateOptions(from_="old", to="new", **options), restores_network=network, new_key=key,
    )  # fmt: skip


def different(now: dict[str, Any], **given: Any) -> list[str]:
    return [row.name for row in rows(now, **given) if not row.same]


def test_equal_appliances_have_no_difference() -> None:
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
def test_each_difference_is_reported(now: dict[str, Any], name: str) -> None:
    assert different(now) == [name]


def test_damaged_or_missing_device_file_is_reported() -> None:
    assert different({}, files={**FILES, "devices/b": "3" * 64}) == ["device files"]
    assert different({}, files={"devices/a": "1" * 64}) == ["device files"]


def test_additional_device_is_not_reported() -> None:
    assert different({"devices": ("a", "b", "c")}) == []


def test_own_host_keys_are_expected_when_they_are_not_restored() -> None:
    assert different({"host_keys": NEW.host_keys}, key="SHA256:new", restore_ssh=False) == []
    assert different({}, restore_ssh=False) == ["host keys", "host key shown"]


def test_unexpected_host_key_is_reported() -> None:
    assert different({}, key="SHA256:other") == ["host key shown"]


def test_comparison_is_shown_with_both_values() -> None:
    assert {row.name: (row.was, row.text()) for row in rows({})} == {
        "devices": ("2", "2"),
        "device files": ("2 files", "2 the same"),
        "address": ("10.1.1.43", "10.1.1.43"),
        "host keys": ("the old appliance's", "the old appliance's"),
        "host key shown": ("the old appliance's", "the old appliance's"),
        "updates' cron entry": ("in place", "in place"),
        "TSCM-Core": ("1.50-01", "1.50-01"),
        "modules": ("2", "2 there"),
        "log folder": ("writable", "writable"),
    }


@pytest.mark.parametrize(
    ("now", "given", "name", "text"),
    [
        ({"devices": ("b", "c")}, {}, "devices", "was 2, is 2, without a"),
        ({}, {"files": {"devices/a": "1" * 64}}, "device files", "was 2 files, is 1 missing or different: devices/b"),
        ({"interfaces": NEW.interfaces}, {}, "address", "was 10.1.1.43, is 10.1.1.50"),
        ({"host_keys": NEW.host_keys}, {}, "host keys", "was the old appliance's, is others"),
        ({}, {"key": "SHA256:other"}, "host key shown", "was the old appliance's, is SHA256:other"),
        ({}, {"restore_ssh": False}, "host keys", "was its own, is others"),
        ({"cron_entry": False}, {}, "updates' cron entry", "was in place, is missing"),
        ({"versions": (("TSCM-Core", "1.49"), ("ts-keyring", ""))}, {}, "TSCM-Core", "was 1.50-01, is 1.49"),
        ({"versions": (("TSCM-Core", "1.50-01"),)}, {}, "modules", "was 2, is without ts-keyring"),
        ({"log_writable": False}, {}, "log folder", "was writable, is not writable"),
    ],
)
def test_difference_shows_the_old_and_the_new_value(
    now: dict[str, Any], given: dict[str, Any], name: str, text: str
) -> None:
    assert {row.name: row.text() for row in rows(now, **given)}[name] == text


def test_new_appliance_keeps_its_address_with_bypass_netconf() -> None:
    assert different({}, network=False) == ["address"]
    assert different({"interfaces": NEW.interfaces}, network=False) == []


def test_additional_or_ipv6_address_is_not_reported() -> None:
    link = Interface("eth0", "fe80::1", 64)
    more = (*OLD.interfaces, Interface("eth1", "192.0.2.7", 24), link)
    found = {row.name: row for row in rows({"interfaces": more})}
    assert found["address"].same
    assert found["address"].text() == "10.1.1.43, 192.0.2.7"
    before = Before(replace(OLD, interfaces=(*OLD.interfaces, link)), NEW, FILES)
    assert different({}, before=before) == []


@pytest.mark.parametrize(
    ("was", "now", "names"),
    [
        ({"devices": None}, {}, {"devices"}),
        ({}, {"devices": None}, {"devices"}),
        ({"interfaces": ()}, {}, {"address"}),
        ({}, {"interfaces": ()}, {"address"}),
        ({"host_keys": ()}, {}, {"host keys", "host key shown"}),
        ({"versions": ()}, {}, {"modules"}),
        ({"log_writable": False}, {}, {"log folder"}),
    ],
)
def test_facts_unknown_on_one_side_are_not_compared(was: dict[str, Any], now: dict[str, Any], names: set[str]) -> None:
    every = {row.name for row in rows({})}
    assert {row.name for row in rows(now, before=Before(replace(OLD, **was), NEW, FILES))} == every - names


def test_unlisted_versions_are_not_missing_modules() -> None:
    found = [row.name for row in rows({"versions": ()})]
    assert "modules" not in found
    assert "TSCM-Core" in found


def test_no_files_are_compared_without_recorded_files() -> None:
    assert "device files" not in [row.name for row in rows({}, before=Before(OLD, NEW, {}))]
