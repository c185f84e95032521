"""What the entries of a journal say, put together: how a run stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One line; `at` is aware UTC."""

    n: int
    at: str
    event: str
    data: dict[str, Any]


@dataclass
class Record:
    """What the entries of a run say, put together.

    `notes`: what later steps need to know; `owners`: which step wrote a note, so that what is taken back is forgotten;
    `undo`: per step id, what `capture` saw before anything was changed; `started`, `done`, `reverted`: step ids in
    order; `locked`: names of the appliances that bear this run's lock; `failed`: what the last failure said.
    """

    run: str = ""
    old: str = ""
    new: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    step: str = ""
    failed: str = ""
    outcome: str = ""
    began: str = ""
    ended: str = ""

    def apply(self, entry: Entry) -> None:
        """Take one more entry into account; events that are not known are passed over."""
        data, step = entry.data, entry.data.get("step", "")
        match entry.event:
            case "run-started":
                self.run, self.old, self.new, self.began = data["run"], data["old"], data["new"], entry.at
                self.options, self.notes = data.get("options", {}), dict(data.get("notes", {}))
            case "run-resumed" | "rollback-started":
                self.outcome, self.step = "", ""
            case "noted":
                self._note(data["key"], data["value"])
            case "captured":
                self.undo.setdefault(step, data["undo"])
            case "locked":
                _add(self.locked, data["host"])
            case "unlocked":
                _drop(self.locked, data["host"])
            case "run-ended":
                self.outcome, self.ended = data.get("outcome", ""), entry.at
            case _ if step:
                self._step(entry.event, step, data)

    def _note(self, key: str, value: Any) -> None:
        self.notes[key] = value
        if self.step:
            self.owners[key] = self.step

    def _step(self, event: str, step: str, data: dict[str, Any]) -> None:
        match event:
            case "step-started":
                self.step = step
                _add(self.started, step)
                _drop(self.reverted, step)
            case "step-done":
                self.step = ""
                _add(self.done, step)
            case "step-failed" | "step-revert-failed":
                self.step, self.failed = "", data.get("error", "")
            case "step-reverted":
                _add(self.reverted, step)
                _drop(self.done, step)
                _drop(self.started, step)
                # What a step learned is no longer true once it is taken back.
                for key in [key for key, owner in self.owners.items() if owner == step]:
                    del self.owners[key]
                    self.notes.pop(key, None)


def _add(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def _drop(names: list[str], name: str) -> None:
    if name in names:
        names.remove(name)
