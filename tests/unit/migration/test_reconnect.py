"""After the restore sshd restarts: a refused connection is tried again, with a limit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tscm_migrate.errors import HostKeyChanged, Unreachable
from tscm_migrate.events import Event, Waiting
from tscm_migrate.migration import host_keys
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = Host("tscm-new", "10.1.1.50")


def migration(*answers: object, told: list[Event]) -> Any:
    """Return a migration whose connections have these results in turn; the last one repeats."""
    left = list(answers)

    def dial(_host: Host, _keys: Sequence[str]) -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return cast("Any", SimpleNamespace(dial=dial, emit=told.append, new=SimpleNamespace(name="tscm-new")))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_keys, "_PAUSE", 0.0)


def test_connection_is_retried_while_sshd_restarts() -> None:
    told: list[Event] = []
    refused = Unreachable("tscm-new", "Connection refused")
    assert (
        host_keys.dial_while_sshd_restarts(migration(refused, refused, "a shell", told=told), HOST, ["key"])
        == "a shell"
    )
    assert [type(event) for event in told] == [Waiting, Waiting]


def test_retries_are_limited_and_another_key_is_never_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_keys, "_SSHD_RESTARTS_WITHIN", 0.0)
    with pytest.raises(Unreachable):
        host_keys.dial_while_sshd_restarts(migration(Unreachable("tscm-new"), told=[]), HOST, ["key"])
    told: list[Event] = []
    with pytest.raises(HostKeyChanged):
        host_keys.dial_while_sshd_restarts(migration(HostKeyChanged("tscm-new"), told=told), HOST, ["key"])
    assert told == []


def test_former_host_key_is_ignored_while_keys_are_reloaded() -> None:
    before = HostKeyChanged("tscm-new")
    assert (
        host_keys.dial_while_sshd_restarts(migration(before, "a shell", told=[]), HOST, ["key"], rereads=True)
        == "a shell"
    )
