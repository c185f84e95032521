"""The person at the terminal: is asked once before anything changes, and about prompts that no rule knows."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from tscm_migrate import redact
from tscm_migrate.ui import screen

_SECRET = re.compile(
    r"pass\s*-?(?:phrase|word|code)|\bsecret\b|\b(?:en|de)cryption\s+key|\bprivate\s+key|\bpin\b", re.IGNORECASE
)
_YES_OR_NO = re.compile(r"\b(?:y|n|yes|no)\b", re.IGNORECASE)


def _asks_for_a_secret(prompt: str) -> bool:
    """Whether what is typed should not be seen; "Show the password? [y/n]" asks for none."""
    return bool(_SECRET.search(prompt)) and not _YES_OR_NO.search(prompt)


@dataclass(frozen=True)
class Terminal:
    """Asks on stderr and reads stdin; `attended` False: nobody is there, so every question is answered by "no"."""

    attended: bool

    def confirm(self, question: str) -> bool:
        """Yes or no."""
        return self.attended and self._ask(f"{question} [y/N] ").strip().lower() in {"y", "yes"}

    def answer(self, host: str, prompt: str, context: str, *, hint: str = "") -> str | None:
        """Show a remote prompt, with the lines before it and what a rule would say; a `!` alone stops the run."""
        if not self.attended:
            return None
        shown = "\n".join(f"  | {line}" for line in redact.printable(context).splitlines()[-12:])
        with screen.paused():
            self._tell(f"\n{host} asks{'' if hint else ' something that no rule knows'}:\n{shown}\n")
            if hint:
                self._tell(f"  ({hint})\n")
            question = f"your answer to {redact.printable(prompt).strip()!r} (! stops the run): "
            typed = screen.ask_unseen(question) if _asks_for_a_secret(prompt) else self._ask(question)
        return None if typed.strip() == "!" else typed

    def instruct(self, text: str) -> bool:
        """Ask for something to be done by hand."""
        return self.attended and self._ask(f"{text}\ndone? [y/N] ").strip().lower() in {"y", "yes"}

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _ask(self, question: str) -> str:
        with screen.paused():
            print(question, end="", file=sys.stderr, flush=True)  # noqa: T201
            try:
                return input()
            except EOFError:
                return ""
