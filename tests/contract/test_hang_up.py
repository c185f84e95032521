"""A dialogue that ends early: tsadmin is killed, and the file with the passphrase is deleted."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.pair import NAME, Box, available, box
from tscm_migrate.errors import MigrateError, UnknownPrompt
from tscm_migrate.model import Secret
from tscm_migrate.tsadmin import backup, restore
from tscm_migrate.tsadmin.session import NoOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no appliance: {available()}")

# Like a shell's `read`, this program treats the end of input as an answer, and continues.
TSADMIN = """#!/bin/bash
echo $$ > {folder}/pid
cp {shm}/.tscm*/passphrase {folder}/held
printf 'Shall the moon be painted green? [y/n] '
read a
[ "$a" = y ] || echo "continued" > {folder}/note
for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; done
echo "continued to the end" > {folder}/note
"""


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Box]:
    with box(tmp_path / "box", "new") as made:
        tsadmin = made.folder / "bin/tsadmin"
        tsadmin.write_text(TSADMIN.format(folder=made.folder, shm=made.folder / "shm"))
        tsadmin.chmod(0o755)
        yield made


def request(folder: Path) -> restore.RestoreRequest:
    return restore.RestoreRequest(
        NAME, str(folder), Secret("correct horse"), "eth0", restore_ssh=True, restore_cron=False, bypass_netconf=False,
        force_apply_netconf=False, debug=None, leave_tmp_files=False, address="10.1.1.43", prefix=24,
        gateway="10.1.1.1", dns=(), dhcp=False, hostname="tsclient",
    )  # fmt: skip


def wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_restore_is_killed_at_an_unknown_prompt(appliance: Box) -> None:
    with pytest.raises(UnknownPrompt):
        restore.run(appliance.appliance, request(appliance.backups), NoOperator())
    pid = int((appliance.folder / "pid").read_text())
    wait(lambda: not alive(pid), "it still runs")
    assert (appliance.folder / "held").read_text() == "correct horse\n"
    assert not (appliance.folder / "note").exists()
    wait(lambda: not list((appliance.folder / "shm").iterdir()), "the passphrase is still there")


def test_a_restore_is_killed_when_its_connection_is_cut(appliance: Box) -> None:
    class CutsConnection(NoOperator):
        attended = True

        def answer(self, *_: object, **__: object) -> str | None:
            appliance.cutter.cut()
            wait(lambda: not alive(int((appliance.folder / "pid").read_text())), "it still runs")
            return "n"

    assert restore.run(appliance.appliance, request(appliance.backups), CutsConnection()).lost
    assert not (appliance.folder / "note").exists()
    wait(lambda: not list((appliance.folder / "shm").iterdir()), "the passphrase is still there")


def test_the_passphrase_file_is_deleted_when_a_backup_ends(appliance: Box) -> None:
    (appliance.folder / "bin/tsadmin").write_text(
        f"#!/bin/sh\ncp {appliance.folder}/shm/.tscm*/passphrase {appliance.folder}/held\n"
    )
    with pytest.raises(MigrateError, match="no new archive"):
        backup.create(appliance.appliance, backup.BackupRequest("eth0", Secret("correct horse")), NoOperator())
    assert (appliance.folder / "held").read_text() == "correct horse\n"
    assert not list((appliance.folder / "shm").iterdir())
