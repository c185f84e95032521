"""Run steps one after another, write the journal before each change, and undo steps in reverse order."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from tscm_migrate.errors import DialogueSilent, MigrateError, RehearsalUnknownPrompt, StateUnwritable, UnknownPrompt
from tscm_migrate.events import ActionFinished, ActionStarted, Message, StepFinished, StepStarted
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.journal import RunRecord

_DONE_ALREADY = "it is done already"
_LAST_LINES = 20  # lines of a dialogue with tsadmin that are shown when it could not be continued


class Step:
    """One step of a migration.

    `id` is the journal's key and never renamed; `cutover`: from this step on the old appliance is offline, so that
    nothing is undone unless that is requested. `revert_summary` describes the result of `revert`, with the fields old,
    new, address and known_hosts; "": `revert` does nothing.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    cutover: ClassVar[bool] = False
    revert_summary: ClassVar[str] = ""

    def capture(self, _m: Migration) -> dict[str, Any]:
        """Return what `revert` needs; it is written to the journal before `apply` runs, once for a run."""
        return {}

    def apply(self, _m: Migration) -> Actions:
        """Yield the actions that are still to do; none if the step is done already, as after a resume."""
        raise NotImplementedError

    def revert(self, _m: Migration, _undo: dict[str, Any]) -> Actions:
        """Yield the actions that restore the state returned by `capture`."""
        yield from ()


Planned = list[tuple[Step, list[Action]]]  # steps that have something to do, with their actions


class Engine:
    """Runs the steps of one migration; the journal tells which are done."""

    def __init__(self, m: Migration, steps: Sequence[Step]) -> None:
        self.m = m
        self.steps = steps

    @property
    def cut_over(self) -> bool:
        """Whether a step of the cutover has begun; from then on nothing is undone automatically."""
        return any(step.cutover for step in self.steps if step.id in self.m.journal.record.started)

    @property
    def complete(self) -> bool:
        """Whether every step is done."""
        return all(step.id in self.m.journal.record.done for step in self.steps)

    def run(self) -> None:
        """Run the steps that are not done yet. Errors propagate; the journal names the failed step."""
        for step in self.steps:
            if step.id not in self.m.journal.record.done:
                self.m.interrupts.check()
                self.run_step(step)

    def dry_run(self) -> Planned:
        """Emit and return the steps and actions that would be done, from the code that does them; change nothing."""
        planned = self.plan()
        for step, actions in planned:
            self.m.emit(StepStarted(step.id, step.title))
            for action in actions:
                self.m.emit(ActionStarted(step.id, action.host, action.describes))
            self.m.emit(StepFinished(step.id, "planned"))
        return planned

    def plan(self) -> Planned:
        """Return the steps that have something to do, with their actions; the appliances are read, not changed."""
        planned = []
        for step in self.steps:
            actions: list[Action] = []
            generator = step.apply(self.m)
            with contextlib.suppress(StopIteration):
                action = next(generator)
                while True:
                    actions += (action, *action.beside)
                    action = generator.send(action.planned)
            if actions:
                planned.append((step, actions))
        return planned

    def roll_back(self) -> list[tuple[str, MigrateError]]:
        """Undo every step that began, the last one first.

        Returns:
            The steps that could not be undone, each with the error; the other steps are undone nevertheless.
        """
        failed: list[tuple[str, MigrateError]] = []
        for step in self.to_roll_back():
            # Two hosts must never have the old address: after a failure no other step of the cutover is undone.
            if failed and step.cutover and self.m.restores_network:
                continue
            if not step.revert_summary:
                self._write("step-reverted", step=step.id)
                continue
            error = self._revert(step)
            if error is not None:
                failed.append((step.id, error))
        return failed

    def to_roll_back(self) -> list[Step]:
        """Return the steps that began, the last one first."""
        return [step for step in reversed(self.steps) if step.id in self.m.journal.record.started]

    def _revert(self, step: Step) -> MigrateError | None:
        began = time.monotonic()
        self.m.emit(StepStarted(step.id, f"undo: {step.title}"))
        try:
            self._drive(step, step.revert(self.m, self.m.journal.record.undo.get(step.id, {})), back=True)
            self._write("step-reverted", step=step.id)
        except MigrateError as error:
            self._write("step-revert-failed", step=step.id, code=error.code, error=str(error))
            self.m.emit(StepFinished(step.id, "failed", round(time.monotonic() - began, 3), str(error)))
            return error
        self.m.emit(StepFinished(step.id, "reverted", round(time.monotonic() - began, 3)))
        return None

    def _write(self, event: str, **data: Any) -> None:
        """Write an entry while steps are undone; continue if the workstation's disk refuses it."""
        try:
            self.m.journal.write(event, **data)
        except StateUnwritable as error:
            self.m.journal.remember(event, **data)
            self.m.emit(Message(f"{error}; continuing without it", "warning"))

    def run_step(self, step: Step) -> None:
        """Run one step; called directly to repeat a step of a run that is over."""
        journal, began = self.m.journal, time.monotonic()
        self.m.emit(StepStarted(step.id, step.title))
        try:
            if step.id not in journal.record.undo:
                journal.write("captured", step=step.id, undo=step.capture(self.m))
            journal.write("step-started", step=step.id)
            acted = self._drive(step, step.apply(self.m))
        except BaseException as error:
            seconds = round(time.monotonic() - began, 3)
            code = error.code if isinstance(error, MigrateError) else type(error).__name__
            self._write("step-failed", step=step.id, code=code, error=str(error), seconds=seconds)
            self.m.emit(StepFinished(step.id, "failed", seconds, str(error)))
            if isinstance(error, UnknownPrompt | DialogueSilent) and error.transcript.strip():
                self.m.emit(Message(_last_lines(error.host, error.transcript), "warning"))
            raise
        seconds = round(time.monotonic() - began, 3)
        why = "" if acted else skip_reason(self.m, step.id)
        journal.write("step-done", step=step.id, seconds=seconds, **({} if acted else {"skipped": why}))
        self.m.emit(StepFinished(step.id, "done" if acted else "skipped", seconds, why))

    def _drive(self, step: Step, actions: Actions, *, back: bool = False) -> int:
        """Do one action after another, each written to the journal before; return how many there were."""
        count = 0
        write = self._write if back else self.m.journal.write
        result: Any = None
        while True:
            try:
                action = actions.send(result)
            except StopIteration:
                return count
            together = (action, *action.beside)
            count += len(together)
            for one in together:
                self.m.emit(ActionStarted(step.id, one.host, one.describes))
            self.m.interrupts.check()
            for one in together:
                write("action-started", step=step.id, host=one.host, describes=one.describes)
            result = None
            for one, (got, seconds) in zip(together, _done(together), strict=True):
                result = got if one is action else result
                write("action-done", step=step.id, describes=one.describes, seconds=seconds)
                self.m.emit(ActionFinished(step.id, one.host, one.describes, seconds))


def _done(together: Sequence[Action]) -> list[tuple[Any, float]]:
    """Do actions at the same time, the first one in this thread; return the result and the seconds of each.

    Raises the first error, after all have ended.
    """
    first, *others = together
    if not others:
        return [_timed(first)]
    with ThreadPoolExecutor(len(others), thread_name_prefix="beside") as pool:
        begun = [pool.submit(_timed, one) for one in others]
        return [_timed(first), *(one.result() for one in begun)]


def _timed(action: Action) -> tuple[Any, float]:
    began = time.monotonic()
    result = action.do()
    return result, round(time.monotonic() - began, 3)


def _last_lines(host: str, transcript: str) -> str:
    """Return the last lines of a dialogue, which show what was asked; secrets are masked in them already."""
    lines = [line for line in transcript.splitlines() if line.strip()][-_LAST_LINES:]
    return "\n".join([f"the last lines from {host}:", *(f"  | {line[:200]}" for line in lines)])


def _address_stays(m: Migration) -> str:
    return "" if m.restores_network else f"{m.new.name} keeps its own address"


def _no_devices_named(m: Migration) -> str:
    return "--devices none was given" if m.options.devices == "none" else "no source names a device"


_SKIP_REASONS: dict[str, Callable[[Migration], str]] = {
    "update-packages": lambda m: "" if m.options.update_packages else "--update-packages was not given",
    "rehearse-restore": lambda m: "" if m.options.rehearsal else "--no-rehearsal was given",
    "snapshot": lambda m: "" if m.hooks.snapshot else "the inventory has no hook `snapshot`",
    "assure": lambda _: "one host answered while the updates were paused; the rehearsal reads the archive list",
    "prepare-network": lambda m: "" if m.options.prepares_network else "--network prepared was not given",
    "check-window": lambda m: "" if m.options.not_after else "--not-after was not given",
    "restore-network": _address_stays,
    "reboot": _address_stays,
    "come-back": _address_stays,
    "update-devices": _no_devices_named,
    "release-updates": lambda _: "there is no cron entry of updates to put in place",
}


def applied(record: RunRecord, step: str) -> bool:
    """Return whether a step had something to do in this run: a step that was skipped may have been done before."""
    return record.skipped.get(step, _DONE_ALREADY) == _DONE_ALREADY


def skip_reason(m: Migration, step: str) -> str:
    """Return why a step yielded no action."""
    reason = _SKIP_REASONS.get(step)
    return (reason(m) if reason else "") or _DONE_ALREADY


@contextlib.contextmanager
def refusing_unknown(m: Migration) -> Iterator[None]:
    """Refuse the migration on an unknown question while the old appliance serves; the remedy is to teach it."""
    try:
        yield
    except UnknownPrompt as unknown:
        asked = {"prompt": unknown.prompt, "transcript": unknown.transcript}
        raise RehearsalUnknownPrompt(unknown.host, unknown.detail, **asked, learn=m.options.learn_command) from unknown
