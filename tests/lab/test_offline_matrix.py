"""Migrations with each offline method, SSH identity restored or not, --bypass-netconf or not, encrypted or not.

By default a subset runs that has each pair of values and the usual combinations; `TSCM_TEST_ALL=1` runs all 24.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.namespaces.lab import MACS
from tests.support.migrations import MIGRATE, device_files, keys_of, needed
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

ENV = {"TSCM_PASSPHRASE": "pass phrase of the lab"}
ADDRESS, OWN = "10.1.1.43", "10.1.1.50"
NO, YES = False, True
# offline method, SSH restored, bypass, encrypted: each value together with each value of the others
COVERING = [
    ("poweroff", YES, NO, YES),  # the default
    ("poweroff", NO, NO, NO),
    ("poweroff", YES, YES, YES),
    ("isolate", NO, NO, YES),
    ("isolate", YES, YES, NO),
    ("isolate", YES, NO, YES),
    ("manual", NO, YES, NO),
    ("manual", YES, NO, YES),
]
ALL = list(itertools.product(("poweroff", "isolate", "manual"), (YES, NO), (NO, YES), (YES, NO)))
ROWS = ALL if os.environ.get("TSCM_TEST_ALL") else COVERING


def case_id(row: tuple[str, bool, bool, bool]) -> str:
    method, ssh, bypass, encrypt = row
    return f"{method}-{'ssh' if ssh else 'own'}-{'bypass' if bypass else 'moves'}-{'gpg' if encrypt else 'plain'}"


def pinned(lab: NamespaceLab, address: str) -> list[str]:
    text = lab.inventory.with_name("known_hosts").read_text()
    return sorted(line.split(" ", 1)[1].strip() for line in text.splitlines() if line.split(" ")[0] == address)


def addresses_of(lab: NamespaceLab, name: str) -> list[str]:
    """Return the present addresses of an appliance, without the rescue address."""
    return re.findall(r"inet ([\d.]+)/", lab.on(name, "ip -4 -o addr show dev eth0 scope global").stdout)


def holders(lab: NamespaceLab, address: str, since: float) -> set[str]:
    names = {mac: name for name, mac in MACS.items()}
    return {names[one.mac] for one in lab.heard() if (one.ip, one.kind) == (address, "reply") and one.at >= since}


def attended(lab: NamespaceLab, *options: str) -> tuple[int, str]:
    """Migrate on a terminal; an operator confirms, and powers tscm-old off when asked to."""
    screen = Terminal(lab.workstation.tool(*MIGRATE, *options), {**lab.env(), **ENV})
    try:
        screen.wait_for("Migrate tscm-old to tscm-new now?", limit=60)
        screen.type("y")
        screen.wait_for("Take tscm-old (10.1.1.43) offline now", limit=120)
        lab.power_off("old")
        screen.type("y")
        return screen.finish(180), screen.shown
    finally:
        screen.close()


@pytest.mark.parametrize("row", ROWS, ids=case_id)
def test_a_migration_with_each_offline_method_completes(make_lab: MakeLab, row: tuple[str, bool, bool, bool]) -> None:
    method, ssh, bypass, encrypt = row
    lab = make_lab()
    files, keys = device_files(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    assert files
    assert keys["old"] != keys["new"]
    options = ["--offline", method]
    options += [] if ssh else ["--no-restore-ssh"]
    options += ["--bypass-netconf"] if bypass else []
    options += [] if encrypt else ["--no-encrypt"]
    if method == "manual":
        status, output = attended(lab, *options)
    else:
        result = lab.run_tool(*MIGRATE, "--yes", *options, env=ENV, timeout=400)
        status, output = result.returncode, result.stdout + result.stderr

    # with another address, the operator gets a list of what to change
    assert status == (4 if bypass else 0), output
    assert ("point the logging of" in output) == bypass, output
    assert lab.collisions() == []
    place = OWN if bypass else ADDRESS
    assert addresses_of(lab, "new") == [place]
    if method == "isolate":
        state = "cat /var/lib/tscm-migrate/isolation/state"
        lab.wait(lambda: lab.on("old", state).stdout.strip() == "confirmed", "the timer to be confirmed")
        assert addresses_of(lab, "old") == []
    else:
        assert not lab.is_on("old")
    since = time.time()
    lab.wait(lambda: bool(holders(lab, place, since)), f"an answer at {place}")
    assert holders(lab, place, since) == {"new"}
    assert holders(lab, ADDRESS, since) == (set() if bypass else {"new"})

    assert device_files(lab, "new") == files
    assert keys_of(lab, "new") == keys["old" if ssh else "new"]
    suffix = r"\.tsbak\.gpg" if encrypt else r"\.tsbak"
    assert re.search(rf"threatstop_backup_[\d_-]+{suffix}\n", lab.on("new", "ls /opt/threatstop/backup").stdout)
    # the host key at the address is the pinned one
    assert pinned(lab, place) == keys_of(lab, "new")
    _assert_discard_removes_all(lab, output)


def _assert_discard_removes_all(lab: NamespaceLab, output: str) -> None:
    """Discard the run, and assert that the files for a rollback are deleted on tscm-new; the login still works."""
    run = re.search(r"run (\d{8}-\d{6}-[0-9a-f]{4})", output)
    assert run, output
    result = lab.run_tool("run", "discard", run[1], "--yes", env=ENV)
    assert result.returncode == 0, result.stdout + result.stderr
    assert lab.on("new", "ls -A /var/lib/tscm-migrate").stdout == ""
