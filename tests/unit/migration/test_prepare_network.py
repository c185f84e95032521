"""Prepared network settings, with recorded answers: the file is announced, written, and removed by a rollback."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.local_shell import LocalShell, appliance_of, migration
from tscm_migrate.errors import Unreachable
from tscm_migrate.migration.steps.last_checks import PrepareNetwork
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.engine import Actions

LIVE, STAGED = "/etc/network/interfaces", "/etc/network/.tscm-migrate.interfaces.staged"
SAVED = f"{LIVE} {base64.b64encode(b'auto eth0' + bytes([10]) + b'iface eth0 inet dhcp').decode()}" + chr(10)


def run_of(root: Path) -> tuple[Migration, LocalShell]:
    """Return a run with --network prepared, and the simulated connection to the new appliance."""
    m, _ = migration(root)
    m.options = replace(m.options, network="prepared")
    answers = {"read its saved": SAVED, "write ": "", "check ": "", "remove ": ""}
    shell = LocalShell(Host("tscm-new", "127.0.0.50"), "SHA256:new", {**answers}, runs_here=False)
    m.new = appliance_of(shell)
    return m, shell


def carried_out(actions: Actions) -> int:
    count = 0
    for action in actions:
        action.do()
        count += 1
    return count


@pytest.mark.parametrize("cut", ["write ", "check "])
def test_file_written_before_a_lost_connection_is_removed(tmp_path: Path, cut: str) -> None:
    m, shell = run_of(tmp_path)

    def lost() -> str:
        raise Unreachable("tscm-new", "the connection was lost")

    shell.recorded[cut] = lost
    with pytest.raises(Unreachable):
        carried_out(PrepareNetwork().apply(m))
    assert carried_out(PrepareNetwork().revert(m, {})) == 1
    assert shell.displays[-1] == f"remove {STAGED}"


def test_file_is_announced_before_it_is_written_once(tmp_path: Path) -> None:
    m, shell = run_of(tmp_path)
    announced: list[str] = []

    def written() -> str:
        announced.append(m.get_note("preparing_network")["staged"])
        return ""

    shell.recorded["write "] = written
    assert carried_out(PrepareNetwork().apply(m)) == 1
    assert announced == [STAGED]
    assert m.get_note("prepared_network")["live"] == LIVE
    assert carried_out(PrepareNetwork().apply(m)) == 0
    assert carried_out(PrepareNetwork().revert(m, {})) == 1


def test_network_is_not_prepared_without_the_option(tmp_path: Path) -> None:
    m, shell = run_of(tmp_path)
    m.options = replace(m.options, network="restore")
    assert carried_out(PrepareNetwork().apply(m)) == carried_out(PrepareNetwork().revert(m, {})) == 0
    assert shell.displays == []
