"""Text of an appliance that is made to stumble over: no parser raises, and no number is what it is not."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance import archives, backup_schedule, parsers, processes
from tscm_migrate.appliance.facts import FACTS, sections
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.archive import names, network_config
from tscm_migrate.model import Paths
from tscm_migrate.util.text import number

NUMBERS = ("²", "٣", "-1", "1e400", "9" * 5000, "9" * 400, "0x10", "", "Infinity", "1_000", "१२")
SHAPES = (
    "{0}", "{0} {0} {0} {0} {0}", "{0}.{0}", "2: eth0    inet 10.0.0.1/{0} brd 1.1.1.1 scope global eth0",
    "/x fs {0} {0} {0} {0}% /x", "{0}\t/x", "ts-core {0}.{0}", "PRETTY_NAME={0}", "{0} * * * * root x",
    "@file\t-rw\t{0}\t{0}\t/b/threatstop_backup_2024-05-01_03_00_00.tsbak", "nameserver {0}", "default via {0} dev {0}",
    "iface eth0 inet static\n address 10.0.0.1/{0}\n netmask {0}", "      - 10.0.0.1/{0}", "PREFIX={0}\nIPADDR=1.1.1.1",
    "up {0}", "clock {0}\nown {0}\nlisting\n{0} {0} S {0} x\ntoken",
)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: text[:8])
def test_no_parser_stumbles_over_a_number(shape: str, text: str) -> None:
    told = shape.replace("{0}", text)
    for fact in FACTS:
        fact.parser(told, Paths())
    assert all(process.pid >= 0 for process in processes.parse_ps(told))
    processes.judge(told, "token")
    archives.parse_listing(told)
    network_config.settings(
        {"etc/network/interfaces": told, "etc/netplan/x.yaml": told, "etc/sysconfig/network-scripts/ifcfg-x": told}
    )
    parsers.version_key(told)
    sections(f"m a\n{told}\nm = {text}", "m")
    assert (
        ApplianceLock.parse(f'{{"run":"","role":"","owner":"","workstation":"","since":"","pid":{text}}}') is not None
    )


def test_a_mark_may_be_nested_as_deep_as_it_likes() -> None:
    assert ApplianceLock.parse("[" * 100_000) == ApplianceLock()


@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: text[:8])
def test_a_number_has_ascii_digits_only(text: str) -> None:
    assert number(text) is None
    assert number("0123") == 123


@pytest.mark.parametrize("when", [("25", "99"), ("²", "3"), ("9" * 5000, "1")])
def test_an_hour_that_is_none_gets_no_time_behind_it(when: tuple[str, str]) -> None:
    assert backup_schedule._later(*when) == "59 0 * * *"


def test_names_at_the_ends_of_time_are_read() -> None:
    ends = [f"threatstop_backup_{day}_0{hour}_00_00.tsbak" for day in ("0001-01-01", "9999-12-31") for hour in (0, 9)]
    found = names.corrected(
        [("threatstop_backup_2024-05-01_12_00_00.tsbak", 1714521600.0)] * 5 + [(n, 0.0) for n in ends]
    )
    assert {taken.timestamp() for taken in found.taken[:5]} == {1714521600.0}
    assert len(found.taken) == 5 + len(ends)
