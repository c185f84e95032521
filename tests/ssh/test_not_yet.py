"""While a restart is awaited, whatever is refused is "not yet"; another host key is not."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.sshd import Sshd
from tests.support.patience import PATIENT
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
    from collections.abc import Sequence
    from pathlib import Path

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
    """The first words of a shell that are asked for."""

    def __init__(self, boot: str) -> None:
        self.boot = boot

    def run(self, *_: object, **__: object) -> Any:
        return type("Result", (), {"stdout": self.boot})

    def close(self) -> None:
        pass

    host = AT_OLD


def wait(
    answers: dict[str, list[object]], places: tuple[Host, ...] = (AT_OLD,), clock: pytest.MonkeyPatch | None = None
) -> Any:
    """Wait for 600 s; with `clock`, each look takes 100 s of them."""
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
        sleep=lambda _seconds: None,
    )  # fmt: skip


def test_every_refusal_is_waited_out() -> None:
    found = wait({"10.1.1.43": [*REFUSALS, Booted("before"), Booted(""), Booted("after")]})
    assert found.shell.boot == "after"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_at_the_end_the_last_reason_is_told(refusal: SshError, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotReachableAgain) as caught:
        wait({"10.1.1.43": [Unreachable("new"), refusal]}, clock=monkeypatch)
    assert str(refusal) in str(caught.value)


def test_the_reasons_of_both_places_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, list[object]] = {"10.1.1.43": [AuthFailed("new", "key x")], "10.1.1.50": [Unreachable("new")]}
    with pytest.raises(NotReachableAgain, match=r"key x.*no SSH connection"):
        wait(answers, places=(AT_OLD, AT_OWN), clock=monkeypatch)


def test_another_host_key_at_the_foreseen_place_ends_it_at_once() -> None:
    with pytest.raises(HostKeyChanged):
        wait({"10.1.1.43": [AuthFailed("new"), HostKeyChanged("new"), Booted("after")]})


def test_a_host_that_is_off_is_tried_often_at_first_and_longer_the_longer_it_takes() -> None:
    # a connection begun too early completes only with the kernel's next packet, after 1, 3 or 7 seconds
    assert network.connect_timeout(0.0) <= 0.5
    later = [network.connect_timeout(waited) for waited in (0.0, 2.0, 20.0, 40.0, 3600.0)]
    assert later == sorted(later)
    assert later[2] >= 3, "a line that takes seconds to connect must get through as well"
    assert later[-1] == Timeouts().connect


def test_the_time_for_a_connection_is_given_to_the_dialler() -> None:
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
def test_a_real_server_that_refuses_the_key_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with Sshd(tmp_path / "s") as server:
        allowed = server.folder / "authorized_keys"
        text = allowed.read_text()
        allowed.write_text("")

        def dial(host: Host, _expect: Sequence[str] | None = None, **_: object) -> Shell:
            return connect(host, credentials=NoSecrets(), timeouts=PATIENT)

        opening = threading.Timer(1.0, allowed.write_text, (text,))
        opening.start()
        try:
            found = network.wait_for(
                dial, places=(server.host("new"),), expect=(), old_boot="another", timeout=60, emit=silent
            )
            found.shell.close()
        finally:
            opening.join()
