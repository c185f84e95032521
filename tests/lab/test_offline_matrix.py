"""Three ways to leave × SSH restored or not × bypass or not × encrypted or not: how each migration must end.

By default a covering subset runs: each pair of values occurs, and the most used ones. All 24: `TSCM_TEST_ALL=1`.
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
# way, SSH restored, bypass, encrypted: each value of one with each value of each other one
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


def named(row: tuple[str, bool, bool, bool]) -> str:
    way, ssh, bypass, encrypt = row
    return f"{way}-{'ssh' if ssh else 'own'}-{'bypass' if bypass else 'moves'}-{'gpg' if encrypt else 'plain'}"


def pinned(lab: NamespaceLab, address: str) -> list[str]:
    text = lab.inventory.with_name("known_hosts").read_text()
    return sorted(line.split(" ", 1)[1].strip() for line in text.splitlines() if line.split(" ")[0] == address)


def on_the_wire(lab: NamespaceLab, name: str) -> list[str]:
    """The addresses that it really has now, without the leash."""
    return re.findall(r"inet ([\d.]+)/", lab.on(name, "ip -4 -o addr show dev eth0 scope global").stdout)


def holders(lab: NamespaceLab, address: str, since: float) -> set[str]:
    names = {mac: name for name, mac in MACS.items()}
    return {names[one.mac] for one in lab.heard() if (one.ip, one.kind) == (address, "reply") and one.at >= since}


def attended(lab: NamespaceLab, *options: str) -> tuple[int, str]:
    """Somebody at a terminal, who says yes and pulls the plug of the old one when told to."""
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


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_every_way_of_leaving_ends_well(make_lab: MakeLab, row: tuple[str, bool, bool, bool]) -> None:
    way, ssh, bypass, encrypt = row
    lab = make_lab()
    files, keys = device_files(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    assert files
    assert keys["old"] != keys["new"]
    options = ["--offline", way]
    options += [] if ssh else ["--no-restore-ssh"]
    options += ["--bypass-netconf"] if bypass else []
    options += [] if encrypt else ["--no-encrypt"]
    if way == "manual":
        status, said = attended(lab, *options)
    else:
        result = lab.run_tool(*MIGRATE, "--yes", *options, env=ENV, timeout=400)
        status, said = result.returncode, result.stdout + result.stderr

    # a changed address is left to a person, as a checklist
    assert status == (4 if bypass else 0), said
    assert ("point the logging of" in said) == bypass, said
    assert lab.collisions() == []
    place = OWN if bypass else ADDRESS
    assert on_the_wire(lab, "new") == [place]
    if way == "isolate":
        state = "cat /var/lib/tscm-migrate/isolation/state"
        lab.wait(lambda: lab.on("old", state).stdout.strip() == "confirmed", "the timer to hear")
        assert on_the_wire(lab, "old") == []
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
    # whoever connects now finds the key that is pinned, at the address where it is
    assert pinned(lab, place) == keys_of(lab, "new")
    _forgotten(lab, said)


def _forgotten(lab: NamespaceLab, said: str) -> None:
    """What is kept on the new one for a rollback goes when that is given up; the tool still finds it, and gets in."""
    run = re.search(r"run (\d{8}-\d{6}-[0-9a-f]{4})", said)
    assert run, said
    result = lab.run_tool("run", "discard", run[1], "--yes", env=ENV)
    assert result.returncode == 0, result.stdout + result.stderr
    assert lab.on("new", "ls -A /var/lib/tscm-migrate").stdout == ""
