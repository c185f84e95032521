"""The events at the start of a session, and the time of the operator, which does not count for the run."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.events import silent
from tscm_migrate.migration import context, plan, resume
from tscm_migrate.migration.context import TimedOperator
from tscm_migrate.migration.journal import RunRecord
from tscm_migrate.migration.participants import Participants
from tscm_migrate.model import Host
from tscm_migrate.secrets import Secrets
from tscm_migrate.ui.operator import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from tscm_migrate.events import RunStarted
    from tscm_migrate.ssh.shell import Shell


def test_time_of_questions_and_of_the_passphrase_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0.0, 30.0)  # each reading of the clock is 30 s later
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    secrets = Secrets(interactive=True, environ={}, ask=lambda _: "pass phrase")
    operator = TimedOperator(Terminal(attended=False), secrets)
    assert context.waited(operator) == 0.0
    assert not operator.confirm("Migrate?")
    assert not operator.instruct("Power it off.")
    assert context.waited(operator) == 60.0
    assert secrets.passphrase(Host("tscm-old", "10.1.1.43")) is not None
    assert context.waited(operator) == 90.0
    assert context.waited(operator.operator) == 0.0, "a question that is not measured"


def started(verb: str, record: RunRecord) -> RunStarted:
    def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
        raise AssertionError((host, expect))

    old, new = (Appliance(Host(name, "10.1.1.43"), dial, silent) for name in ("tscm-old", "tscm-new"))
    return resume._started(record, verb, Participants(old, new))


def test_resume_event_has_all_steps_done_steps_and_downtime_start() -> None:
    record = RunRecord(run="r", started=["hold-updates", "backup"], done=["hold-updates"])
    record.notes["offline_began"] = 1700000000.0
    record.done.append("snapshot")
    record.skipped["snapshot"] = "the inventory has no hook `snapshot`"
    event = started("resume", record)
    assert event.skipped == ("snapshot",)
    assert event.steps == tuple((step.id, step.title) for step in plan.steps())
    assert (event.done, event.offline_since) == (("hold-updates", "snapshot"), 1700000000.0)


def test_rollback_event_has_the_steps_to_undo_in_reverse_order() -> None:
    record = RunRecord(run="r", started=["hold-updates", "backup", "transfer", "prepare-network", "take-offline"])
    record.skipped |= {"prepare-network": "--network prepared was not given", "transfer": "it is done already"}
    event = started("rollback", record)
    assert [step for step, _ in event.steps] == ["take-offline", "transfer", "hold-updates"]  # a backup stays
    assert event.done == ()
    assert started("forget", RunRecord(run="r", started=["backup"])).steps == ()
