"""Turns an unknown question and a person's answer into an exact row, with slots, of the site's dialect."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tscm_migrate.errors import DialectError
from tscm_migrate.tsadmin import archive_list
from tscm_migrate.tsadmin.dialect import SECRET, SLOTS, UNKNOWN_CHOICE, YES_NO, Kind, parse
from tscm_migrate.tsadmin.spelling import Choice, is_rule, joined, plain, take_apart
from tscm_migrate.util import private, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tscm_migrate.tsadmin.intent import Intent, Understood
    from tscm_migrate.tsadmin.reader import QuestionReader

_SECRET = re.compile(
    r"pass\s*-?(?:phrase|word|code)|\bsecret\b|\b(?:en|de)cryption\s+key|\bprivate\s+key|\bpin\b", re.IGNORECASE
)
_OPTION = re.compile(r"\W*(?:\d{1,2}|[a-z])\s*[)\].:=-]", re.IGNORECASE | re.ASCII)
_SLOTTED = re.compile(
    rf"(?P<archive>{SLOTS['archive']})|(?P<cidr>{SLOTS['cidr']})|(?P<ip>{SLOTS['ip']})|(?P<label>{SLOTS['label']})"
    r"|(?<![\w.-])(?P<n>\d{1,6})(?![\w.-]\w|\w)",
    re.ASCII,
)
# With one of these words, "yes" or an option leaves things as they are.
_KEEPS = re.compile(
    r"\b(?:do\s+not|don't|never|keep\w*|leav(?:es?|ing)|skip\w*|without|retain\w*|preserv\w*|unchanged)\b",
    re.IGNORECASE,
)
_KEEPING_OPTION = re.compile(rf"^\W*\w+\W+(?:no|n)\b|{_KEEPS.pattern}", re.IGNORECASE)
# What a line above the question says about one of the answers: "Press y to skip, n to restore."
_LEGEND = re.compile(
    rf"\b(?P<answer>y|yes|n|no)\b\W+(?:(?:to|will|means)\W+)?(?:(?P<keeps>{_KEEPS.pattern})|(?:restor|replac|overwrit|reinstat|import|appl)\w+)",
    re.IGNORECASE | re.ASCII,
)
_KEY = re.compile(r"\W*(\d{1,2}|[a-z])\s*[)\].:=-]", re.IGNORECASE | re.ASCII)
_MOST_LINES = 24
_ITEM = re.compile(r" {2,}\S+(?: \(.*\))? *")  # a name in a list, perhaps with its type
_ENOUGH = 8  # number of words with which a question is clear without the list above it
_SHORT = ("y", "n", "yes", "no")
_TAUGHT = [Kind.SSH, Kind.CRON, Kind.NETWORK, Kind.ARCHIVE, Kind.DEVICES_EXIST, Kind.PROCEED, Kind.REBOOT, Kind.ENCRYPT]


def asks_for_a_secret(question: str) -> bool:
    """Return whether the input should be hidden; "Show the password? [y/n]" does not ask for a secret."""
    asked = take_apart(question)
    yes_no = asked.choice is not None or (asked.default or "").lower() in {"y", "n", "yes", "no"}
    return bool(_SECRET.search(question)) and not yes_no


class NotRemembered(Exception):
    """An answer cannot be saved in a dialect; the message is the reason."""


@dataclass(frozen=True)
class Lesson:
    """A question that no row knows, and the answer that a person has typed.

    `unseen`: the input was hidden, so it may be a secret. `below`: the lines above the question belong to it.
    """

    understood: Understood
    typed: str = field(repr=False)
    lines: Sequence[str]
    intent: Intent
    dialogue: str
    unseen: bool = False
    below: bool = False

    @property
    def kinds(self) -> list[Kind]:
        """The kinds as which it can be saved: the one that is certain, else all; the first is proposed.

        Empty for a secret that is not the known passphrase: the passphrase must not be sent to this question the next
        time.
        """
        if secrets := self._secrets():
            return secrets
        if self.unseen:
            return [Kind.PASSPHRASE, Kind.SUDO] if self.intent.passphrase is None else []
        if self._is_archive():
            return [Kind.ARCHIVE]
        if self.understood.suggestion == self.typed and self.understood.suggested is not None:
            return [self.understood.suggested]
        if self.typed and re.search(rf"\({re.escape(self.typed)}\) to confirm", self.text):
            return [Kind.CONFIRM]
        first = [Kind.LITERAL, *_TAUGHT]
        return [*first, *(kind for kind in Kind if kind not in first)]

    def _secrets(self) -> list[Kind]:
        known = ((Kind.PASSPHRASE, self.intent.passphrase), (Kind.SUDO, self.intent.sudo))
        return [kind for kind, secret in known if secret is not None and secret.reveal() == self.typed][:1]

    @property
    def text(self) -> str:
        """The complete question: with its menu, and with the lines above it if it has no content of its own."""
        lines = [line for line in self.lines if line.strip()] or [""]
        start = self._with_menu(lines)
        if self.understood.bare or self.below:
            start = min(start, self._paragraph(lines))
        return joined(lines[start:])

    def _with_menu(self, lines: Sequence[str]) -> int:
        """Return the index of the first line of a question with its menu."""
        start = len(lines) - 1
        while start and lines[start].startswith("\t"):
            start -= 1
        while start and (self._is_bare(joined(lines[start:])) or _is_option(lines[start - 1])):
            if len(lines) - start >= _MOST_LINES or archive_list.is_row(lines[start - 1]):
                break
            start -= 1
        menu = start < len(lines) - 1 and _is_option(lines[start])
        # the line above a menu is its question
        return start - 1 if menu and start and not archive_list.is_row(lines[start - 1]) else start

    def _paragraph(self, lines: Sequence[str]) -> int:
        """Return the index of the first line that belongs to a question without content of its own."""
        start = len(lines) - 1
        while start and len(lines) - start < _MOST_LINES and not archive_list.is_row(lines[start - 1]):
            if _ITEM.fullmatch(lines[start - 1]) and len(joined(lines[start:]).split()) >= _ENOUGH:
                break  # a list of devices will differ the next time
            start -= 1
        return start

    def _is_bare(self, text: str) -> bool:
        return not re.search(r"[A-Za-z]{2}", take_apart(text).words)

    def _is_archive(self) -> bool:
        archive = self.intent.archive
        if archive is None or not archive_list.has_rows(self.lines):
            return False
        entry = archive_list.pick(self.lines, archive, self.intent.folder, self.intent.there)
        return entry is not None and entry.number == self.typed


def _is_option(line: str) -> bool:
    return not is_rule(line) and _OPTION.match(plain(line)) is not None and not archive_list.is_row(line)


def row(lesson: Lesson, kind: Kind) -> str:
    """Return the row as written to a dialect."""
    text, typed = lesson.text, lesson.typed
    if kind is Kind.CONFIRM:
        text = text.replace(f"({typed})", "({hostname})")
    asked = take_apart(text)
    if asked.default is not None and asked.choice is None:
        text = asked.words  # a default may differ the next time, and is parsed separately
    ips: list[str] = []
    slotted = _SLOTTED.sub(lambda found: _slot(found, lesson.intent, ips), text)
    fields: dict[str, str | list[str]] = {"kind": kind.value, "text": slotted}
    if kind is Kind.LITERAL:
        fields["answer"] = typed
    elif kind in YES_NO:
        fields |= dict(_of_yes_no(lesson, kind))
    if ips:
        fields["ips"] = ips
    fields |= {"dialogue": lesson.dialogue, "source": f"taught on {datetime.now(UTC).date().isoformat()}"}
    made = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return "\n[[question]]\n" + "\n".join(made) + "\n"


def _slot(match: re.Match[str], intent: Intent, ips: list[str]) -> str:
    kind = str(match.lastgroup)
    if kind in ("ip", "cidr"):
        shown = match[0].partition("/")[0]
        ips.append("address" if shown == intent.address else "here" if shown == intent.here else "any")
    return f"{{{kind}}}"


def _of_two_options(lesson: Lesson) -> Iterator[tuple[str, str]]:
    """Yield both answers if the question shows just two options, of which one leaves things as they are."""
    shown = [plain(line) for line in lesson.lines if _is_option(line)]
    found = [(match[1], text) for text in shown if (match := _KEY.match(text))]
    kept = {key: _KEEPING_OPTION.search(text) is not None for key, text in found}
    if len(found) == len(kept) == 2 and lesson.typed in kept and sum(kept.values()) == 1:
        for key, keeps in kept.items():
            yield "leaves" if keeps else "does", key


def _of_yes_no(lesson: Lesson, kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield the meaning of yes, from the typed answer and the intent.

    A rehearsal wants neither SSH nor cron, the migration perhaps both, and it is not known which of them the person has
    in mind: then the words of the question decide.
    """
    asked = take_apart(lesson.text)
    wanted = lesson.intent.wants(kind) is not False
    choice = None if UNKNOWN_CHOICE.search(asked.words) else asked.yes_no
    if kind in (Kind.SSH, Kind.CRON) and not wanted:
        if both := dict(_of_two_options(lesson)):
            yield from both.items()
            return
        if choice is not None and not choice.words:
            yield "yes", "leaves" if _yes_keeps(asked.words) else "does"
            return
    yield _of_typed(lesson.typed, choice, wanted=wanted)


def _yes_keeps(words: str) -> bool:
    """Return whether "yes" leaves things as they are, by the words of a question and of the lines above it."""
    if found := _LEGEND.search(words):
        return (found["answer"].lower() in ("y", "yes")) == (found["keeps"] is not None)
    return _KEEPS.search(words) is not None


def _of_typed(typed: str, choice: Choice | None, *, wanted: bool) -> tuple[str, str]:
    """Return the meaning of yes if the typed answer is what is wanted."""
    lower = typed.lower()
    if choice is not None and not choice.words and lower in (choice.yes, choice.no, *_SHORT):
        yes = lower[0] == "y" if lower in _SHORT else lower == choice.yes
        return "yes", "does" if yes == wanted else "leaves"
    if choice is not None and lower == (choice.yes if wanted else choice.no):
        return "yes", "words"
    return "does" if wanted else "leaves", typed


def learn(lesson: Lesson, kind: Kind, file: Path | None, reader: QuestionReader) -> str:
    """Save an answer: in the file of the dialect if there is one, and for this dialogue.

    Returns:
        Where it is saved, for the person.

    Raises:
        NotRemembered: it cannot be saved.
    """
    made = row(lesson, kind)
    if redact.known(made) != made:
        raise NotRemembered("there is a secret in it")
    old = ""
    if file is not None and file.is_file():
        old = file.read_text(encoding="utf-8")
    text = (old or "# Questions of this site's appliances, with their answers. Taught by a person.\n") + made
    try:
        dialect = parse(text, str(file or "(taught)"), file.stem if file else "taught")
    except DialectError as error:
        raise NotRemembered(error.problem) from error
    reader.teach(dialect)
    if reader.read(lesson.lines).kind is None and kind not in SECRET:
        if not lesson.below:  # for example an address above a question about the network
            return learn(replace(lesson, below=True), kind, file, reader)
        raise NotRemembered("its row would not match the question")
    if file is None:
        return "remembered for this dialogue; without an inventory there is no file to keep it in"
    private.write(file, text)
    return f"remembered as kind {kind} in {file}"
