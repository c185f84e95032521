"""Servers that allow few sessions on a connection: requests wait for a free session."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from paramiko import ChannelException

from tests.harness.sshd import Sshd
from tscm_migrate.errors import SessionsRefused
from tscm_migrate.ssh import sessions
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


def test_concurrent_dialogues_wait_for_a_free_session(
    few: tuple[Sshd, int], open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    server, most = few
    shell = open_shell(server.host())
    assert shell.sessions(5) == most
    log = tmp_path / "log"  # counted on the server: here a thread may look only long after its session has ended
    script = f"echo 1 >>{log}; printf 'Name? '; read a; sleep 0.1; echo -1 >>{log}; echo got $a"

    def one(number: int) -> tuple[str, int | None]:
        def decide(pending: Pending) -> Answer | Wait:
            return Answer(str(number)) if pending.line == "Name? " else WAIT

        result = shell.converse(script, decide, pace=DialoguePace(idle=30))
        return result.text.splitlines()[-1], result.status

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(one, range(5)))
    assert [text for text, _ in answers] == [f"got {number}" for number in range(5)]
    assert {status for _, status in answers} == {0}
    highest = max(itertools.accumulate(map(int, log.read_text().split())))
    assert highest == most


class _Channel:
    closed = False


class _BusyTransport:
    """A connection whose server refuses sessions; `steps` run at the refusals, and after the last one it opens one."""

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self.steps = steps

    def open_session(self, *_: object, **__: object) -> Any:
        if not self.steps:
            return _Channel()
        self.steps.pop(0)()
        raise ChannelException(4, "open failed")


def test_long_waits_for_other_threads_are_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that has just ended still counts on the server, also after a wait for it that was long."""
    clock = [0.0]
    monkeypatch.setattr(
        sessions,
        "time",
        SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda s: clock.__setitem__(0, clock[0] + s)),
    )
    theirs = _Channel()

    def wait_long() -> None:
        clock[0] += 20.0

    def end() -> None:
        theirs.closed = True

    transport = _BusyTransport([wait_long, end, end])
    some = sessions.Sessions("tscm-old", cast("Any", transport), 1.0, None)
    some._open[cast("Any", theirs)] = -1
    assert not some.open(None, None).closed
    assert transport.steps == []


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
