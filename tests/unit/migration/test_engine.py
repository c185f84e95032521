"""The engine with test steps: what it writes before an action, where it stops, and what it undoes."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.support.local_shell import RUN, migration
from tscm_migrate.errors import ApplianceError, DialogueSilent, RehearsalUnknownPrompt, StateUnwritable, UnknownPrompt
from tscm_migrate.events import ActionFinished, ActionStarted, Message, StepFinished, StepStarted
from tscm_migrate.migration import engine as engines
from tscm_migrate.migration import journal as journals
from tscm_migrate.migration.context import Action
from tscm_migrate.migration.engine import Engine
from tscm_migrate.model import Hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tscm_migrate.migration.context import Actions, Migration


class Step(engines.Step):
    """A step that records its calls; `fails` names the parts that raise an error."""

    title = "Test"

    def __init__(self, name: str, done: list[str], *, cutover: bool = False, fails: str = "", reverts: bool = True):
        self.id = name  # type: ignore[misc]
        self.cutover = cutover  # type: ignore[misc]
        self.revert_summary = f"{name} is undone" if reverts else ""  # type: ignore[misc]
        self.done, self.fails = done, fails
        self.during: Callable[[], object] = lambda: None

    def _act(self, what: str) -> str:
        self.done.append(f"{self.id} {what}")
        self.during()
        if what in self.fails.split():
            raise ApplianceError("tscm-old", f"{self.id} {what} failed")
        return what

    def capture(self, _m: Migration) -> dict[str, Any]:
        return {"seen": self._act("capture"), "times": len(self.done)}

    def apply(self, _m: Migration) -> Actions:
        first = yield Action("tscm-old", "first action", lambda: self._act("first"), "planned")
        yield Action("tscm-old", f"second action after {first}", lambda: self._act("second"))

    def revert(self, _m: Migration, undo: dict[str, Any]) -> Actions:
        yield Action("tscm-old", f"undo what was {undo.get('times')}", lambda: self._act("revert"))


def events_of(m: Migration) -> list[str]:
    rows = [json.loads(line) for line in m.journal.path.read_text(encoding="utf-8").splitlines()]
    return [f"{row['event']} {row['data'].get('step', '')}".strip() for row in rows]


def test_step_is_written_to_the_journal_before_it_is_applied(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    done: list[str] = []
    step = Step("one", done)
    written: list[str] = []
    step.during = lambda: written.append(events_of(m)[-1])
    Engine(m, [step]).run()
    assert done == ["one capture", "one first", "one second"]
    assert written == ["run-started", "action-started one", "action-started one"]
    assert events_of(m)[1:3] == ["captured one", "step-started one"], (
        "the undo data is on the disk before the step starts"
    )
    assert events_of(m)[-2:] == ["action-done one", "step-done one"]
    assert [e.detail for e in seen if isinstance(e, StepFinished)] == [""]
    assert [e.describes for e in seen if isinstance(e, ActionStarted)] == ["first action", "second action after first"]
    assert [(e.step, e.title) for e in seen if isinstance(e, StepStarted)] == [("one", "Test")]


@pytest.mark.parametrize("part", ["capture", "first", "second"])
def test_error_in_any_part_of_a_step_stops_the_run(tmp_path: Path, part: str) -> None:
    m, seen = migration(tmp_path)
    done: list[str] = []
    with pytest.raises(ApplianceError, match=f"one {part} failed"):
        Engine(m, [Step("one", done, fails=part), Step("two", done)]).run()
    assert done[-1] == f"one {part}", "no later part of this step or the next is done"
    assert events_of(m)[-1] == "step-failed one"
    assert m.journal.record.done == []
    assert m.journal.record.started == ([] if part == "capture" else ["one"])
    assert [(e.step, e.state) for e in seen if isinstance(e, StepFinished)] == [("one", "failed")]
    last = json.loads(m.journal.path.read_text(encoding="utf-8").splitlines()[-1])["data"]
    assert last["code"] == ApplianceError.code
    assert last["error"].endswith(f"one {part} failed")


def test_resume_skips_done_steps_and_keeps_the_first_captured_state(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    done: list[str] = []
    with pytest.raises(ApplianceError):
        Engine(m, [Step("one", done), Step("two", done, fails="second")]).run()
    m.journal = journals.Journal.open(RUN, tmp_path)
    captured = m.journal.record.undo["two"]
    again: list[str] = []
    Engine(m, [Step("one", again), Step("two", again)]).run()
    assert again == ["two first", "two second"]
    assert m.journal.record.undo["two"] == captured, "the state is not captured again from the changed appliance"


def test_interrupt_stops_before_the_next_action_or_step(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    done: list[str] = []
    one, two = Step("one", done), Step("two", done)

    def request() -> None:
        m.interrupts.asked = "SIGTERM"

    one.during = lambda: request() if done[-1] == "one first" else None
    with m.interrupts.careful(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        Engine(m, [one, two]).run()
    assert done == ["one capture", "one first"]
    assert events_of(m)[-1] == "step-failed one"
    m.interrupts.asked = ""
    one.during = lambda: request() if done[-1] == "one second" else None
    with m.interrupts.careful(), pytest.raises(KeyboardInterrupt):
        Engine(m, [one, two]).run()
    assert done[-1] == "one second"
    assert events_of(m)[-1] == "step-done one"


def test_dry_run_does_nothing_and_uses_planned_results(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    done: list[str] = []
    Engine(m, [Step("one", done)]).dry_run()
    assert done == []
    assert events_of(m) == ["run-started"]
    assert [type(e) for e in seen] == [StepStarted, ActionStarted, ActionStarted, StepFinished]
    shown = [e.describes for e in seen if isinstance(e, ActionStarted)]
    assert shown == ["first action", "second action after planned"]
    assert [e.state for e in seen if isinstance(e, StepFinished)] == ["planned"]


class Beside(engines.Step):
    """A step with one action and a simultaneous check; each waits until the other has started."""

    id = "beside"
    title = "Test"

    def __init__(self, *, fails: bool = False) -> None:
        self.together = threading.Barrier(2, timeout=30)
        self.fails, self.result, self.ended = fails, "", False

    def _wait(self) -> str:
        self.together.wait()
        self.ended = True
        return "waited"

    def _check(self) -> str:
        self.together.wait()
        if self.fails:
            raise ApplianceError("tscm-new", "two hosts answer")
        return "checked"

    def apply(self, _m: Migration) -> Actions:
        check = Action("tscm-new", "check", self._check, "planned")
        self.result = yield Action("tscm-old", "wait", self._wait, "planned", beside=(check,))


def test_check_runs_at_the_same_time_as_its_action(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    step = Beside()
    planned = Engine(m, [step]).plan()
    assert [action.describes for _, actions in planned for action in actions] == ["wait", "check"]
    Engine(m, [step]).run()
    assert step.result == "waited", "the check's result is not the action's"
    assert events_of(m)[-5:] == [*["action-started beside"] * 2, *["action-done beside"] * 2, "step-done beside"]
    assert [e.describes for e in seen if isinstance(e, ActionStarted)] == ["wait", "check"]


def test_failed_check_fails_the_step_after_its_action_has_ended(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    step = Beside(fails=True)
    with pytest.raises(ApplianceError, match="two hosts answer"):
        Engine(m, [step]).run()
    assert step.ended
    assert events_of(m)[-1] == "step-failed beside"


def rolled_back(root: Path, *, bypass: bool) -> tuple[list[str], list[str], Migration]:
    m, _ = migration(root, bypass=bypass)
    done: list[str] = []
    steps = [
        Step("stage", done), Step("silent", done, reverts=False), Step("away", done, cutover=True),
        Step("pass", done, cutover=True, fails="revert"), Step("last", done),
    ]  # fmt: skip
    engine = Engine(m, steps)
    engine.run()
    done.clear()
    failed = engine.roll_back()
    return done, [step for step, _ in failed], m


def test_failed_undo_of_the_cutover_keeps_its_earlier_steps(tmp_path: Path) -> None:
    done, failed, m = rolled_back(tmp_path, bypass=False)
    assert done == ["last revert", "pass revert", "stage revert"], "two hosts must never have the old address"
    assert failed == ["pass"]
    assert m.journal.record.started == ["away", "pass"], "a later rollback starts with these"
    assert "step-revert-failed pass" in events_of(m)


def test_all_steps_are_undone_despite_a_failure_when_no_address_moves(tmp_path: Path) -> None:
    done, failed, m = rolled_back(tmp_path, bypass=True)
    assert done == ["last revert", "pass revert", "away revert", "stage revert"]
    assert failed == ["pass"]
    assert m.journal.record.started == ["pass"]
    assert m.journal.record.reverted == ["last", "away", "silent", "stage"]


def test_revert_gets_the_captured_state(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    engine = Engine(m, [Step("one", [])])
    engine.run()
    assert engine.roll_back() == []
    assert [e.describes for e in seen if isinstance(e, ActionStarted)][-1] == "undo what was 1"
    assert engine.to_roll_back() == []


def test_full_disk_stops_a_run_but_not_a_rollback(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    done: list[str] = []
    engine = Engine(m, [Step("one", done)])
    engine.run()
    m.journal.folder = tmp_path / "gone"  # as if the disk with the state folder were removed
    done.clear()
    assert engine.roll_back() == []
    assert done == ["one revert"]
    assert m.journal.record.reverted == ["one"], "this process knows that the step is reverted"
    assert any(isinstance(e, Message) and e.level == "warning" for e in seen)
    with pytest.raises(StateUnwritable):
        Engine(m, [Step("two", done)]).run()
    assert done == ["one revert", "two capture"], "no change is made without a journal entry"


def test_disk_failure_between_two_actions_stops_the_run(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    done: list[str] = []
    step = Step("one", done)

    def lose_the_disk() -> None:
        if done[-1] == "one first":
            m.journal.folder = tmp_path / "gone"

    step.during = lose_the_disk
    with pytest.raises(StateUnwritable):
        Engine(m, [step]).run()
    assert done == ["one capture", "one first"]


def test_cut_over_is_true_after_a_step_of_the_cutover_has_started(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    engine = Engine(m, [Step("one", []), Step("two", [], cutover=True, fails="first")])
    assert not engine.cut_over
    with pytest.raises(ApplianceError):
        engine.run()
    assert engine.cut_over


class Clock:
    """A clock that advances by 0.123456 s at each reading."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 0.123456
        return self.now


def test_seconds_of_actions_and_steps_are_in_journal_and_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "time", Clock())
    m, seen = migration(tmp_path)
    engine = Engine(m, [Step("one", [])])
    engine.run()
    assert engine.roll_back() == []
    with pytest.raises(ApplianceError):
        Engine(m, [Step("two", [], fails="second")]).run()
    rows = [json.loads(line) for line in m.journal.path.read_text(encoding="utf-8").splitlines()]
    timed = [(row["event"], row["data"]["seconds"]) for row in rows if "seconds" in row["data"]]
    action = ("action-done", 0.123)
    assert timed == [action, action, ("step-done", 0.617), action, action, ("step-failed", 0.494)]
    assert [e.seconds for e in seen if isinstance(e, ActionFinished)] == [0.123] * 4
    finished = [(e.step, e.state, e.seconds) for e in seen if isinstance(e, StepFinished)]
    assert finished == [("one", "done", 0.617), ("one", "reverted", 0.37), ("two", "failed", 0.494)]


def test_failed_undo_is_an_event_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "time", Clock())
    m, seen = migration(tmp_path)
    engine = Engine(m, [Step("one", [], fails="revert")])
    engine.run()
    seen.clear()
    ((step, error),) = engine.roll_back()
    assert (step, type(error)) == ("one", ApplianceError)
    assert [e.title for e in seen if isinstance(e, StepStarted)] == ["undo: Test"]
    (finished,) = [e for e in seen if isinstance(e, StepFinished)]
    assert (finished.state, finished.seconds, finished.detail) == ("failed", 0.247, str(error))


def test_step_without_actions_is_skipped(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    done: list[str] = []
    step = Step("one", done)
    step.apply = lambda _m: _nothing()  # type: ignore[method-assign]
    Engine(m, [step]).run()
    assert done == ["one capture"]
    (finished,) = [e for e in seen if isinstance(e, StepFinished)]
    assert finished.state == "skipped"
    last = json.loads(m.journal.path.read_text(encoding="utf-8").splitlines()[-1])
    assert "skipped" in last["data"]


def _nothing() -> Actions:
    return
    yield


def test_repeated_step_keeps_the_first_captured_state(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    done: list[str] = []
    engine = Engine(m, [Step("one", done)])
    engine.run()
    engine.run()
    assert done == ["one capture", "one first", "one second"], "a finished step is not repeated"
    engine.run_step(engine.steps[0])
    assert done[3:] == ["one first", "one second"]


class Asks(engines.Step):
    """A step whose dialogue cannot be continued."""

    id: ClassVar[str] = "asks"
    title: ClassVar[str] = "Test"

    def __init__(self, kind: type[UnknownPrompt | DialogueSilent], transcript: str) -> None:
        self.kind, self.transcript = kind, transcript

    def apply(self, _m: Migration) -> Actions:
        more = {"prompt": "Format the disk?"} if self.kind is UnknownPrompt else {}
        raise self.kind("tscm-new", "a question that no row knows", transcript=self.transcript, **more)
        yield


@pytest.mark.parametrize("kind", [UnknownPrompt, DialogueSilent])
def test_last_twenty_lines_of_a_failed_dialogue_are_shown(
    tmp_path: Path, kind: type[UnknownPrompt | DialogueSilent]
) -> None:
    m, seen = migration(tmp_path)
    lines = [*(f"line {n}" for n in range(29)), "x" * 300, "Format the disk? "]
    with pytest.raises(kind):
        Engine(m, [Asks(kind, "\n \n".join(lines))]).run()
    (shown,) = [e.text for e in seen if isinstance(e, Message)]
    expected = [*(f"  | line {n}" for n in range(11, 29)), "  | " + "x" * 200, "  | Format the disk? "]
    assert shown.splitlines() == ["the last lines from tscm-new:", *expected]


def test_silent_dialogue_has_no_last_lines(tmp_path: Path) -> None:
    m, seen = migration(tmp_path)
    with pytest.raises(DialogueSilent):
        Engine(m, [Asks(DialogueSilent, " \n")]).run()
    assert [e for e in seen if isinstance(e, Message)] == []


DONE = "it is done already"
SKIPPED: list[tuple[str, dict[str, Any], str]] = [
    ("hold-updates", {}, DONE),
    ("update-packages", {"update_packages": True}, DONE),
    ("update-packages", {"update_packages": False}, "--update-packages was not given"),
    ("rehearse-restore", {"rehearsal": True}, DONE),
    ("rehearse-restore", {"rehearsal": False}, "--no-rehearsal was given"),
    ("prepare-network", {"network": "prepared"}, DONE),
    ("prepare-network", {}, "--network prepared was not given"),
    ("check-window", {"not_after": datetime(2024, 5, 1, tzinfo=UTC)}, DONE),
    ("check-window", {}, "--not-after was not given"),
    ("reboot", {"bypass_netconf": True}, "tscm-new keeps its own address"),
    ("reboot", {"bypass_netconf": False}, DONE),
    ("update-devices", {"devices": "none"}, "--devices none was given"),
    ("update-devices", {"devices": "all"}, "no source names a device"),
]


@pytest.mark.parametrize(("step", "options", "reason"), SKIPPED)
def test_skipped_step_has_a_reason(tmp_path: Path, step: str, options: dict[str, Any], reason: str) -> None:
    m, _ = migration(tmp_path)
    m.options = replace(m.options, **options)
    assert engines.skip_reason(m, step) == reason


def test_missing_hook_is_the_reason_for_a_skipped_snapshot(tmp_path: Path) -> None:
    for number, (hooks, reason) in enumerate(
        [(Hooks(), "the inventory has no hook `snapshot`"), (Hooks(snapshot="x"), DONE)]
    ):
        m, _ = migration(tmp_path / str(number), hooks=hooks)
        assert engines.skip_reason(m, "snapshot") == reason


def test_unknown_question_is_refused_with_the_command_to_teach_it(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    with pytest.raises(RehearsalUnknownPrompt) as refused, engines.refusing_unknown(m):
        raise UnknownPrompt("tscm-new", "a question", prompt="Format the disk?", transcript="Format the disk?")
    assert refused.value.prompt == "Format the disk?"
    assert m.options.learn_command in refused.value.remedy()


def test_step_is_outside_the_cutover_by_default() -> None:
    assert not engines.Step.cutover


def test_only_a_step_left_out_by_this_run_was_not_applied() -> None:
    record = journals.RunRecord(skipped={"done before": DONE, "left out": "--update-packages was not given"})
    steps = ("done before", "left out", "never skipped")
    assert [engines.applied(record, step) for step in steps] == [True, False, True]
