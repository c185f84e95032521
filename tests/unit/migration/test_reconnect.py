"""After the restore sshd begins anew: who is refused meanwhile tries again, and not for ever."""

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
    """One whose connections end so, one after the other; the last again and again."""
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


def test_an_sshd_that_begins_anew_is_waited_for() -> None:
    told: list[Event] = []
    refused = Unreachable("tscm-new", "Connection refused")
    assert (
        host_keys.dial_while_sshd_restarts(migration(refused, refused, "a shell", told=told), HOST, ["key"])
        == "a shell"
    )
    assert [type(event) for event in told] == [Waiting, Waiting]


def test_it_is_not_waited_for_for_ever_and_another_key_at_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_keys, "_SSHD_RESTARTS_WITHIN", 0.0)
    with pytest.raises(Unreachable):
        host_keys.dial_while_sshd_restarts(migration(Unreachable("tscm-new"), told=[]), HOST, ["key"])
    told: list[Event] = []
    with pytest.raises(HostKeyChanged):
        host_keys.dial_while_sshd_restarts(migration(HostKeyChanged("tscm-new"), told=told), HOST, ["key"])
    assert told == []


def test_the_key_of_before_is_passed_over_where_the_keys_are_just_being_read_again() -> None:
    before = HostKeyChanged("tscm-new")
    assert (
        host_keys.dial_while_sshd_restarts(migration(before, "a shell", told=[]), HOST, ["key"], rereads=True)
        == "a shell"
    )
