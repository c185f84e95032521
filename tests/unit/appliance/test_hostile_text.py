"""Hostile text of an appliance: no parser raises an error, and only ASCII digits are numbers."""

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
def test_parsers_accept_hostile_numbers_without_an_error(shape: str, text: str) -> None:
    output = shape.replace("{0}", text)
    for fact in FACTS:
        fact.parser(output, Paths())
    assert all(process.pid >= 0 for process in processes.parse_ps(output))
    processes.judge(output, "token")
    archives.parse_listing(output)
    network_config.settings(
        {
            "etc/network/interfaces": output,
            "etc/netplan/x.yaml": output,
            "etc/sysconfig/network-scripts/ifcfg-x": output,
        }
    )
    parsers.version_key(output)
    sections(f"m a\n{output}\nm = {text}", "m")
    assert (
        ApplianceLock.parse(f'{{"run":"","role":"","owner":"","workstation":"","since":"","pid":{text}}}') is not None
    )


def test_deeply_nested_lock_file_is_read_as_empty() -> None:
    assert ApplianceLock.parse("[" * 100_000) == ApplianceLock()


@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: text[:8])
def test_number_has_only_ascii_digits(text: str) -> None:
    assert number(text) is None
    assert number("0123") == 123


@pytest.mark.parametrize("when", [("25", "99"), ("²", "3"), ("9" * 5000, "1")])
def test_purge_time_after_an_invalid_hour_is_the_default(when: tuple[str, str]) -> None:
    assert backup_schedule._later(*when) == "59 0 * * *"


def test_names_with_the_first_and_last_date_are_read() -> None:
    ends = [f"threatstop_backup_{day}_0{hour}_00_00.tsbak" for day in ("0001-01-01", "9999-12-31") for hour in (0, 9)]
    corrected = names.corrected(
        [("threatstop_backup_2024-05-01_12_00_00.tsbak", 1714521600.0)] * 5 + [(n, 0.0) for n in ends]
    )
    assert {taken.timestamp() for taken in corrected.taken[:5]} == {1714521600.0}
    assert len(corrected.taken) == 5 + len(ends)
