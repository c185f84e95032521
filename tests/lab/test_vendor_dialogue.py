"""Unattended migrations between appliances like the vendor's: Perl with the real Term::Prompt, without learning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.lab.test_term_prompt import perl
from tests.support.migrations import MIGRATE, all_output, keys_of, needed
from tests.support.programs import install_program

if TYPE_CHECKING:
    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

missing = pytest.mark.skipif(not perl(), reason="libterm-prompt-perl and libterm-readkey-perl are missing")
pytestmark = [*needed(600), missing]

PASSPHRASE = "Grüße & 'Quotes' $HOME"
USUAL = ("edge-asa", "branch-isr", "dc-pan")
WITH_BIND = "edge-asa:asa dc-pan:pan ns1:bind"


@dataclass(frozen=True)
class Row:
    """Settings of the appliances and options of the migration; each value occurs at least once."""

    settings: dict[str, str]
    options: tuple[str, ...] = ()
    names: tuple[str, ...] = USUAL
    already: str = ""  # a device that tscm-new has before the migration
    delay: float = 0.0  # seconds between the command that restarts tscm-new and its effect


ROWS = {
    "yn-walk": Row(  # its restore takes longer than the proof that tscm-old is offline is valid, and ends before the restart
        {"style": "yn", "walk": "yes", "reboot": "asks", "forgets_file": "yes", "heading": "Firewall", "applying": "4"},
        delay=1.0,
    ),
    "yn-late": Row(
        {"style": "yn", "reboot": "unasked", "applying": "4", "warn": "late", "list": "none", "devices": WITH_BIND},
        ("--no-encrypt", "--restore-cron"), ("edge-asa", "dc-pan", "ns1"), "dc-pan", delay=1.0,
    ),
    "yn-line": Row(
        {"style": "yn", "reboot": "asks", "warn": "first", "warnstyle": "line", "each": "yes", "ends": "killed"},
        ("--no-restore-ssh",), USUAL, "edge-asa", delay=1.0,
    ),
    "tp-narrow": Row(
        {"style": "tp", "width": "60", "reboot": "tells", "warn": "first", "devices": WITH_BIND, "ends": "restarts"},
        ("--no-encrypt", "--no-restore-ssh", "--restore-cron"), ("edge-asa", "dc-pan", "ns1"), "ns1", delay=1.0,
    ),
    "tp-walk": Row(
        {"style": "tp", "walk": "yes", "reboot": "asks", "forgets_file": "yes", "list": "none", "menuprompt": ">",
         "listdefault": "1"},
    ),
    "yn-restarts": Row(  # at an unknown question where it is hung up, and once more at the end of its second pass
        {"style": "yn", "reboot": "hung up", "ends": "restarts"}, ("--no-encrypt",),
    ),
    "tp-wide": Row(
        {"style": "tp", "width": "500", "reboot": "asks", "warn": "late", "warnstyle": "line", "each": "yes"},
        ("--restore-cron",), USUAL, "branch-isr",
    ),
}  # fmt: skip


def etc_of(lab: NamespaceLab, name: str) -> str:
    script = "cd /opt/threatstop/etc && find . -type f ! -name '.backup*' -exec sha256sum {} + | sort -k2"
    return lab.on(name, script).stdout


def update_log(lab: NamespaceLab) -> str:
    return lab.on("new", "cat /var/log/threatstop/vendor.log").stdout


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_an_appliance_like_the_vendors_migrates_unattended(make_lab: MakeLab, row: Row) -> None:
    lab = make_lab(shutdown_delay=row.delay)
    install_program(lab, "vendor", **row.settings)
    etc, keys = etc_of(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    cron = lab.on("old", "cat /etc/cron.d/multidevice-core").stdout
    if row.already:
        lab.on("new", f"printf 'name={row.already}\\ntype=asa\\ntdid=x\\n' > /opt/threatstop/etc/{row.already}.conf; "
               "chown threatstop: /opt/threatstop/etc/*")  # fmt: skip
    result = lab.run_tool(*MIGRATE, "--yes", *row.options, env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=400)
    assert result.returncode == 0, all_output(result)

    assert (lab.addresses(), lab.collisions()) == ({"old": None, "new": "10.1.1.43"}, [])
    assert etc_of(lab, "new") == etc
    assert keys_of(lab, "new") == keys["new" if "--no-restore-ssh" in row.options else "old"]
    assert lab.on("new", "cat /etc/cron.d/multidevice-core").stdout == cron
    assert set(re.findall(r"^updated (\S+)$", update_log(lab), re.MULTILINE)) == set(row.names), all_output(result)
    assert ("the restore may restart it" in result.stdout) == (row.delay > 0 and "ends" in row.settings), all_output(
        result
    )
    assert PASSPHRASE not in result.stdout + result.stderr
    assert ("a DNS outage for its clients" in result.stdout) == ("ns1" in row.names), all_output(result)
