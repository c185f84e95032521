"""Servers that allow few sessions on a connection: requests wait for a free session."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd
from tscm_migrate.errors import SessionsRefused
from tscm_migrate.ssh.dialogue import WAIT, Answer, DialoguePace, Pending, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[1, 2])
def few(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, int]]:
    with Sshd(tmp_path_factory.mktemp("few"), options=[f"MaxSessions {request.param}"]) as server:
        yield server, request.param


def test_concurrent_dialogues_wait_for_a_free_session(few: tuple[Sshd, int], open_shell: Callable[..., Shell]) -> None:
    server, most = few
    shell = open_shell(server.host())
    assert shell.sessions(5) == most
    inside, highest, lock = 0, 0, threading.Lock()

    def one(number: int) -> tuple[str, int | None]:
        nonlocal inside, highest

        def decide(pending: Pending) -> Answer | Wait:
            nonlocal inside, highest
            if pending.line != "Name? ":
                return WAIT
            with lock:
                inside += 1
                highest = max(highest, inside)
            return Answer(str(number))

        result = shell.converse("printf 'Name? '; read a; sleep 0.1; echo got $a", decide, pace=DialoguePace(idle=30))
        with lock:
            inside -= 1
        return result.text.splitlines()[-1], result.status

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(one, range(5)))
    assert [text for text, _ in answers] == [f"got {number}" for number in range(5)]
    assert {status for _, status in answers} == {0}
    assert highest <= most + 1


def test_a_nested_session_uses_a_second_connection(
    few: tuple[Sshd, int], open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    shell = open_shell(few[0].host())
    with shell.reader("head -c 3000000 /dev/zero") as reader, shell.writer(f"cat >{tmp_path}/copy") as writer:
        for chunk in reader:
            writer.write(chunk)
            assert shell.run("echo inside").stdout == "inside\n"
        writer.finish()
    with shell.sftp() as client:
        assert client.stat(f"{tmp_path}/copy").st_size == 3_000_000
        assert shell.run("echo inside").stdout == "inside\n"
    assert shell.run("echo after").stdout == "after\n"


def test_a_secret_is_answered_with_a_limit_on_sessions(few: tuple[Sshd, int], open_shell: Callable[..., Shell]) -> None:
    def decide(pending: Pending) -> Answer | Wait:
        return Answer("hush-hush", secret=True) if pending.line == "Key: " else WAIT

    result = open_shell(few[0].host()).converse(
        "stty -echo; printf 'Key: '; read a; stty echo; echo ${#a}", decide, pace=DialoguePace(idle=30)
    )
    assert (result.status, result.text.split()[-1]) == (0, "9")


def test_a_server_that_refuses_all_sessions_is_reported(tmp_path: Path, open_shell: Callable[..., Shell]) -> None:
    with Sshd(tmp_path / "s", options=["MaxSessions 0"]) as server:
        shell = open_shell(server.host())
        assert shell.sessions(5) == 0
        with pytest.raises(SessionsRefused) as caught:
            shell.run("true")
        assert "MaxSessions" in caught.value.remedy()
