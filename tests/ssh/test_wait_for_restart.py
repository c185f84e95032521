"""The wait for a restarted host: each refusal is tried again, except another host key."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.harness.sshd import Sshd
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.appliance import network
from tscm_migrate.errors import (
    AuthFailed,
    CommandFailed,
    CommandNotRun,
    CommandTimeout,
    ConnectionLost,
    HostKeyChanged,
    LoginsClosed,
    NoCommonAlgorithm,
    NotReachableAgain,
    OutputCut,
    PasswordExpired,
    ServerFull,
    SshError,
    SudoFailed,
    Unreachable,
)
from tscm_migrate.events import silent
from tscm_migrate.model import Host
from tscm_migrate.ssh.connect import NoSecrets, Timeouts, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.ssh.shell import Shell

AT_OLD, AT_OWN = Host("new", "10.1.1.43"), Host("new", "10.1.1.50")
REFUSALS = [
    kind("new", "for now")
    for kind in (
        AuthFailed, CommandFailed, CommandTimeout, ConnectionLost, LoginsClosed, NoCommonAlgorithm, CommandNotRun, OutputCut,
        PasswordExpired, ServerFull, SshError, SudoFailed, Unreachable,
    )
]  # fmt: skip


class Booted:
    """A shell that returns a boot id."""

    def __init__(self, boot: str) -> None:
        self.boot = boot

    def run(self, *_: object, **__: object) -> Any:
        return type("Result", (), {"stdout": self.boot})

    def close(self) -> None:
        pass

    host = AT_OLD


def wait(
    answers: dict[str, list[object]],
    places: tuple[Host, ...] = (AT_OLD,),
    clock: pytest.MonkeyPatch | None = None,
    again: Callable[[], object] | None = None,
) -> Any:
    """Wait for 600 s; with `clock` each attempt takes 100 s."""
    now = itertools.count(0.0, 100.0)
    if clock:
        clock.setattr(network, "time", SimpleNamespace(monotonic=lambda: next(now)))

    def dial(host: Host, _expect: Sequence[str] | None = None, **_: object) -> Any:
        left = answers[host.address]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return network.wait_for(
        dial, places=places, expect=["SHA256:x"], old_boot="before", timeout=600, emit=silent,
        again=again, sleep=lambda _seconds: None,
    )  # fmt: skip


def test_the_wait_continues_after_each_refusal() -> None:
    reappeared = wait({"10.1.1.43": [*REFUSALS, Booted("before"), Booted(""), Booted("after")]})
    assert reappeared.shell.boot == "after"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_the_timeout_error_names_the_last_reason(refusal: SshError, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotReachableAgain) as caught:
        wait({"10.1.1.43": [Unreachable("new"), refusal]}, clock=monkeypatch)
    assert str(refusal) in str(caught.value)


def test_the_timeout_error_names_the_reasons_of_both_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, list[object]] = {"10.1.1.43": [AuthFailed("new", "key x")], "10.1.1.50": [Unreachable("new")]}
    with pytest.raises(NotReachableAgain, match=r"key x.*no SSH connection"):
        wait(answers, places=(AT_OLD, AT_OWN), clock=monkeypatch)


def test_another_host_key_at_the_expected_address_ends_the_wait() -> None:
    with pytest.raises(HostKeyChanged):
        wait({"10.1.1.43": [AuthFailed("new"), HostKeyChanged("new"), Booted("after")]})


@pytest.mark.parametrize("lost", [None, ConnectionLost("new"), CommandFailed("new")], ids=["told", "lost", "failed"])
def test_the_command_is_sent_once_more_if_the_restart_does_not_begin(
    monkeypatch: pytest.MonkeyPatch, lost: SshError | None
) -> None:
    sent: list[str] = []

    def again() -> None:
        sent.append("reboot")
        if lost:
            raise lost

    at_own: list[object] = [Booted("before"), Booted("before"), Booted("after")]
    answers: dict[str, list[object]] = {"10.1.1.43": [Unreachable("new")], "10.1.1.50": at_own}
    assert wait(answers, places=(AT_OLD, AT_OWN), clock=monkeypatch, again=again).shell.boot == "after"
    assert sent == ["reboot"]


@pytest.mark.parametrize(
    "answer", [Booted(""), Unreachable("new"), AuthFailed("new")], ids=["unknown", "off", "refused"]
)
def test_the_command_is_not_sent_again_to_a_host_that_may_be_restarting(
    monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    sent: list[int] = []
    with pytest.raises(NotReachableAgain):
        wait({"10.1.1.43": [answer]}, clock=monkeypatch, again=lambda: sent.append(1))
    assert sent == []


@pytest.mark.parametrize(
    ("answers", "down"),
    [
        ([CommandTimeout("new"), CommandTimeout("new"), Booted("before")], False),
        ([CommandTimeout("new"), Booted("after")], True),
        ([Booted("before"), LoginsClosed("new")], True),
        ([Booted("before"), ConnectionLost("new")], True),
    ],
    ids=["slow", "slow and restarted", "logins closed", "lost"],
)
def test_a_slow_appliance_is_not_taken_for_one_that_restarts(
    monkeypatch: pytest.MonkeyPatch, answers: list[object], down: object
) -> None:
    now = itertools.count(0.0, 5.0)
    monkeypatch.setattr(network, "time", SimpleNamespace(monotonic=lambda: next(now), sleep=lambda _: None))

    def read(*_: object, **__: object) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Booted):
            return answer.run()
        raise cast("Exception", answer)

    appliance = cast("Appliance", SimpleNamespace(shell=SimpleNamespace(run=read, host=AT_OWN)))
    assert network.goes_down(appliance, was="before") is down


def test_the_connect_timeout_grows_with_the_time_waited() -> None:
    # a connection that starts too early is completed by the kernel's next attempt, after 1, 3 or 7 seconds
    assert network.connect_timeout(0.0) <= 0.5
    later = [network.connect_timeout(waited) for waited in (0.0, 2.0, 20.0, 40.0, 3600.0)]
    assert later == sorted(later)
    assert later[2] >= 3, "slow networks need several seconds for a connection"
    assert later[-1] == Timeouts().connect


def test_the_connect_timeout_is_passed_to_the_dialler() -> None:
    given: list[float | None] = []

    def dial(_host: Host, _expect: Sequence[str] | None = None, *, within: float | None = None) -> Any:
        given.append(within)
        if len(given) < 3:
            raise Unreachable("new")
        return Booted("after")

    network.wait_for(
        dial, places=(AT_OLD,), expect=["SHA256:x"], old_boot="before", timeout=600, emit=silent,
        sleep=lambda _seconds: None,
    )  # fmt: skip
    assert len(given) == 3
    assert all(network.connect_timeout(0.0) <= one for one in given if one is not None)
    assert None not in given


@pytest.mark.slow
def test_a_server_that_refuses_the_key_for_a_time_is_waited_for(tmp_path: Path) -> None:
    with Sshd(tmp_path / "s") as server:
        allowed = server.folder / "authorized_keys"
        text = allowed.read_text()
        allowed.write_text("")

        def dial(host: Host, _expect: Sequence[str] | None = None, **_: object) -> Shell:
            return connect(host, credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)

        opening = threading.Timer(1.0, allowed.write_text, (text,))
        opening.start()
        try:
            reappeared = network.wait_for(
                dial, places=(server.host("new"),), expect=(), old_boot="another", timeout=60, emit=silent
            )
            with closing(reappeared.shell) as shell:
                assert shell.run("echo ready").stdout == "ready\n"
        finally:
            opening.join()
