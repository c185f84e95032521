"""Transfers to a login that prints text before each command: tar works, rsync and sftp report the cause."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING

import pytest

from tests.support.pair import NAME, Box, available, box, sha
from tscm_migrate.errors import SshError, TransferError
from tscm_migrate.transfer import api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no pair of appliances: {available()}")


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Box, Box]]:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    login = tmp_path / "login"
    login.write_text('#!/bin/sh\necho "Welcome to the machine"\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    login.chmod(0o755)
    with (
        box(tmp_path / "old", "old") as old,
        box(tmp_path / "new", "new", options=(f"ForceCommand {login}",)) as new,
    ):
        yield old, new


def test_tar_transfers_an_archive_although_the_login_prints(pair: tuple[Box, Box]) -> None:
    old, new = pair
    archive = old.put(NAME, 3_000_000)
    api.copy(old.appliance, new.appliance, [archive], options=api.TransferOptions(method="tar"))
    assert sha(new.backups / NAME) == sha(old.backups / NAME)


def test_rsync_reports_that_the_login_prints(tmp_path: Path) -> None:
    with box(tmp_path / "old", "old") as old, box(tmp_path / "new", "new") as new:
        (new.folder / "home/.bashrc").write_text('echo "Welcome to the machine"\n')
        if not pwd.getpwnam(new.sshd.user).pw_shell.endswith("bash"):
            pytest.skip("the login shell on this machine does not read ~/.bashrc for a command")
        with pytest.raises(TransferError, match="the login shell of new prints output") as caught:
            api.copy(old.appliance, new.appliance, [old.put(NAME, 3000)], options=api.TransferOptions(method="rsync"))
    assert "--method tar" in caught.value.remedy()


def test_sftp_reports_that_the_login_prints(pair: tuple[Box, Box]) -> None:
    old, new = pair
    with pytest.raises(SshError, match="new: the login shell prints output") as caught:
        api.copy(old.appliance, new.appliance, [old.put(NAME, 3000)], options=api.TransferOptions(method="sftp"))
    assert "~/.bashrc" in caught.value.remedy()
