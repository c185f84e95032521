from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    reason = Sshd.available()
    if reason:
        pytest.skip(reason)
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def shell(sshd: Sshd) -> Iterator[Shell]:
    with connect(sshd.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS) as shell:
        yield shell


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server whose logins print text on both streams before each command, as an echo in ~/.bashrc does."""
    talk = 'echo "Welcome. Password: "; echo "Your licence ends soon" >&2; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    folder = tmp_path_factory.mktemp("noisy")
    (folder / "login").write_text(f"#!/bin/sh\n{talk}\n")
    (folder / "login").chmod(0o755)
    with Sshd(folder, options=(f"ForceCommand {folder}/login",)) as server:
        yield server


@pytest.fixture
def open_shell() -> Iterator[Callable[..., Shell]]:
    opened: list[Shell] = []

    def make(host: Host, **options: object) -> Shell:
        options = {"credentials": NoSecrets(), "timeouts": LONG_TIMEOUTS, **options}
        opened.append(connect(host, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def no_known_hosts(tmp_path: Path) -> Path:
    path = tmp_path / "empty_known_hosts"
    path.write_text("# nothing\n")
    return path
