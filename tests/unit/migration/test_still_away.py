"""Before the new appliance takes the old address, the proof that the old appliance is gone must be recent."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.local_shell import LocalShell, Network, migration
from tscm_migrate.errors import StillOnline
from tscm_migrate.migration.steps import offline

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.migration.context import Migration


def run_with(root: Path, answer: str) -> tuple[Migration, LocalShell]:
    """Return a run whose new appliance gets this answer when it probes the old address."""
    m, _ = migration(root, network=Network())
    shell = LocalShell(m.new.host, recorded={"probe 127.0.0.43": f"asked arp\n{answer}"}, runs_here=False)
    m.new.moved(replace(m.new.host), shell)  # type: ignore[arg-type]
    return m, shell


def test_recent_proof_is_not_repeated(tmp_path: Path) -> None:
    m, shell = run_with(tmp_path, "")
    m.set_note("offline_proved", time.time())
    offline.still_away(m)
    assert shell.displays == []


@pytest.mark.parametrize("proved", [None, -3600.0, -10.0, 600.0], ids=["none", "an hour", "ten seconds", "the future"])
def test_older_proof_is_repeated(tmp_path: Path, proved: float | None) -> None:
    m, shell = run_with(tmp_path, "")
    if proved is not None:
        m.set_note("offline_proved", time.time() + proved)
    offline.still_away(m)
    assert shell.displays == ["probe 127.0.0.43"]


def test_returned_host_stops_the_restart(tmp_path: Path) -> None:
    m, _ = run_with(tmp_path, "arp\n")
    m.set_note("offline_proved", time.time() - 10)
    with pytest.raises(StillOnline, match=r"arp answers at 127\.0\.0\.43: it has returned"):
        offline.keep_away(m)
