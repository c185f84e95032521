"""Dialects of the simulated programs, learned from their recorded questions without a program that runs.

tests/data/unknown_questions.json has the questions that `prompts learn` asked for each program of tests/lab/programs,
with the answers and kinds that were typed. A program that is changed needs its questions recorded again: the tests that
migrate its appliances fail at the first question that is not known.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.model import Secret
from tscm_migrate.tsadmin.dialect import Kind, load
from tscm_migrate.tsadmin.intent import Intent
from tscm_migrate.tsadmin.reader import QuestionReader, dialects
from tscm_migrate.tsadmin.teaching import Lesson, learn

if TYPE_CHECKING:
    from tscm_migrate.tsadmin.dialect import Dialect

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "unknown_questions.json").read_text(encoding="utf-8")
)
PASSPHRASE = "Grüße & 'Quotes' $HOME"


def recorded_intent(program: str, **changes: bool) -> Intent:
    """Return what the recorded run wanted: a rehearsal, so neither SSH nor cron."""
    archive = RECORDED[program]["archive"]
    return Intent(archive=archive, there=frozenset({archive}), passphrase=Secret(PASSPHRASE), **changes)


def reader_of(program: str, dialogue: str, file: Path | None, **changes: bool) -> QuestionReader:
    """Return a reader with the shipped dialects, and with that in the file."""
    site: tuple[Dialect, ...] = (load(file),) if file is not None and file.exists() else ()
    return QuestionReader(recorded_intent(program, **changes), (*site, *dialects()), dialogue)


def typed(question: dict[str, Any]) -> str:
    """Return the answer that was typed to a recorded question."""
    return PASSPHRASE if question["kind"] == "passphrase" else str(question["typed"])


def teach(program: str, file: Path) -> None:
    """Write the dialect that a person's answers to the recorded questions of a program give, as `prompts learn` does."""
    for question in RECORDED[program]["questions"]:
        one = reader_of(program, question["dialogue"], file)
        understood = one.read(question["lines"])
        assert understood.kind is None, f"{question['lines'][-1]!r} is known already"
        lesson = Lesson(understood, typed(question), question["lines"], one.intent, question["dialogue"])
        kind = Kind(question["kind"])
        assert kind in lesson.kinds, lesson.kinds
        assert "remembered" in learn(lesson, kind, file, one)
