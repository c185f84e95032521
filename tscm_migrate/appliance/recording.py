"""A dialogue written down: what was asked, who answered, and rules for the inventory; it can be replayed as a test."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance.listing import asks_for_archive
from tscm_migrate.appliance.prompts import Table, asked_of
from tscm_migrate.errors import UsageError
from tscm_migrate.util import private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tscm_migrate.appliance.prompts import Rule
    from tscm_migrate.site import PromptRule

FORMAT = 1


@dataclass(frozen=True)
class Asked:
    """One question, and the lines before it; `rule` answered it ("operator": a person), `answer` "" for a secret."""

    prompt: str
    before: tuple[str, ...]
    rule: str
    answer: str = ""


@dataclass
class Recording:
    """A dialogue of one kind (restore, backup) on one host; no secret is in it."""

    host: str
    dialogue: str
    asked: list[Asked] = field(default_factory=list)
    status: int | None = None

    def write(self, path: Path) -> None:
        """As JSON, readable by the owner alone: a transcript tells much of a site."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"
        private.write(path, text)

    @classmethod
    def read(cls, path: Path) -> Recording:
        """A recording that was written before.

        Raises:
            UsageError: it is none.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            asked = [Asked(a["prompt"], tuple(a["before"]), a["rule"], a["answer"]) for a in data["asked"]]
            return cls(data["host"], data["dialogue"], asked, data["status"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is no recording: {error}", "make one: tscm-migrate prompts record HOST"
            ) from error


def proposed(recording: Recording) -> list[str]:
    """Lines for the inventory: a rule for each question that a person had to answer; the person fills the answer in."""
    lines = []
    for one in recording.asked:
        if one.rule == "operator":
            asks = asked_of(one.prompt, one.before)
            if not re.search(r"\w", asks):
                lines += [f"# no rule can know a question without a word: {asks}", ""]
                continue
            pattern = pattern_of(asks)
            lines += [
                f"[[hosts.{recording.host}.prompts]]",
                f"pattern = {json.dumps(pattern)}",
                f"answer = {json.dumps(one.answer)}"
                if one.answer
                else 'answer = ""  # what you typed is not written down',
                f'dialogue = "{recording.dialogue}"',
                "",
            ]
    return lines


def pattern_of(prompt: str) -> str:
    """A regular expression that fits this question again, with other numbers, addresses and names of archives."""
    text = re.escape(prompt.strip())
    text = re.sub(r"threatstop_backup_[\w\\-]+\\\.tsbak(?:\\\.gpg)?", r"threatstop_backup_\\S+", text)
    return re.sub(r"\d+", r"\\d+", text)


def replay(
    recording: Recording,
    rules: Sequence[Rule],
    values: Mapping[str, Any],
    site: Sequence[PromptRule] = (),
    wishes: Mapping[str, bool] = MappingProxyType({}),
) -> list[tuple[str, str]]:
    """What today's rules would do with a recorded dialogue.

    Returns:
        Each question with the name of the rule that would answer, or "" where a person would have to.
    """
    table = Table(rules, values, site, wishes)
    found = []
    shown: list[str] = []
    for one in recording.asked:
        shown += one.before
        choice = table.choose(one.prompt, one.before)
        if choice is not None:
            table.sent(choice, one.prompt)
        chosen = "archive" if asks_for_archive(one.prompt, shown) else ""  # looked up in the list
        found.append((asked_of(one.prompt, one.before), choice.rule if choice else chosen))
    return found
