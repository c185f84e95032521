"""`prompts record` and `prompts replay`: records a dialogue that a person answers, and reads it again later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance import facts
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.archive.select import newest
from tscm_migrate.errors import UnknownPrompt, UsageError
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.connect import connect
from tscm_migrate.tsadmin.explaining import intent as sample_intent
from tscm_migrate.tsadmin.reader import QuestionReader, dialects
from tscm_migrate.tsadmin.session import OPERATOR, OperatorPort, converse
from tscm_migrate.util import private, redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell
    from tscm_migrate.tsadmin.dialect import Kind
    from tscm_migrate.tsadmin.intent import Understood

FORMAT = 1
DIALOGUES = ("restore", "backup")


@dataclass(frozen=True)
class Recorded:
    """One question, and the lines before it; `rule`: its kind, or "operator"; `answer`: "" for a secret."""

    prompt: str
    before: tuple[str, ...]
    rule: str
    answer: str = ""


@dataclass
class Recording:
    """A dialogue of one kind (restore, backup) on one host; it contains no secret."""

    host: str
    dialogue: str
    asked: list[Recorded] = field(default_factory=list)
    status: int | None = None

    def write(self, path: Path) -> None:
        """Write it as JSON, readable by the owner only, because a transcript describes the site."""
        text = json.dumps(redact.tree({"format": FORMAT, **asdict(self)}), indent=1, ensure_ascii=False) + "\n"
        private.write(path, text)

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read a recording.

        Raises:
            UsageError: the file is not a valid recording.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            asked = [Recorded(a["prompt"], tuple(a["before"]), a["rule"], a["answer"]) for a in data["asked"]]
            return cls(data["host"], data["dialogue"], asked, data["status"])
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror}", "name a file that `prompts record` wrote"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is not a valid recording: {error}", "make one: tscm-migrate prompts record HOST"
            ) from error


class _Recorder:
    """Passes questions to the person, and records questions and answers."""

    attended = True

    def __init__(self, operator: OperatorPort, record: Recording) -> None:
        self._operator, self._record = operator, record

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        typed = self._operator.answer(host, understood, shown, unseen=unseen)
        if typed is None:
            return None
        by_row = not typed and understood.kind is not None
        answer = (understood.answer if by_row else typed) or ""
        hidden = unseen or understood.secret
        by = str(understood.kind) if by_row else OPERATOR
        self._record.asked.append(Recorded(shown[-1].strip(), tuple(shown[:-1]), by, "" if hidden else answer))
        return typed

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        return self._operator.remember(host, question, kinds)

    def inform(self, text: str, question: str = "", *, saved: bool = True) -> None:
        self._operator.inform(text, question, saved=saved)


def record(host: Host, dialogue: str, operator: OperatorPort) -> Recording:
    """Run one dialogue on an appliance; the person at the terminal answers every question.

    Args:
        host: where; the answers take effect there.
        dialogue: restore or backup.
        operator: must be attended.

    Returns:
        Questions and answers, without secrets, also if the person stopped the dialogue.

    Raises:
        UsageError: no terminal exists, or the dialogue is unknown. SshError: the connection failed.
    """
    if dialogue not in DIALOGUES:
        raise UsageError(f"--dialogue {dialogue!r} is unknown", f"one of: {', '.join(DIALOGUES)}")
    if not operator.attended:
        raise UsageError("a dialogue is recorded while a person answers it", "run it on a terminal")
    secrets = Secrets(interactive=True)

    def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
        return connect(host, credentials=secrets, expect=expect)

    appliance = Appliance(host, dial)
    made = Recording(host.name, dialogue)
    try:
        reader = reader_for(facts.gather(appliance), host, dialogue)
        command = f"{appliance.paths.tsadmin} {dialogue}"
        talked = converse(appliance, command, reader, _Recorder(operator, made), display=command, always=True)
        made.status = talked.status
    except UnknownPrompt:
        pass  # the person stopped it; what was recorded until then is kept
    finally:
        appliance.close()
    return made


def reader_for(known: Facts | None, host: Host, dialogue: str) -> QuestionReader:
    """Return a reader with the host's dialects, and with sample values for those of a real run."""
    made = sample_intent([], dialogue)
    if known is not None:
        own = next((i for i in known.interfaces if i.address == host.address), None)
        latest = newest(known.archives)
        made = replace(
            made, passphrase=None, sudo=None, address=host.address, here=host.address, prefix=own.prefix if own else 24, interface=own.name if own else "eth0",
            gateway=known.gateway or None, dns=known.dns, dhcp=known.dhcp, hostname=known.hostname,
            archive=latest.name if latest else None, there=frozenset(archive.name for archive in known.archives),
        )  # fmt: skip
    return QuestionReader(made, dialects(host.dialect), dialogue)


def replay(recording: Recording, host: Host) -> list[tuple[str, str]]:
    """Return how the present dialects understand a recorded dialogue.

    Returns:
        Each question with its kind, or "" if a person would have to answer.
    """
    reader = reader_for(None, host, recording.dialogue)
    found = []
    for one in recording.asked:
        lines = (*one.before, one.prompt)
        understood = reader.read(lines, suggest=False)
        found.append((understood.question, str(understood.kind or "")))
        reader.sent(understood, lines, by_person=understood.kind is None)
    return found
