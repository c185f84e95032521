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
        return self.attended and self._says_yes(f"{question} [y/N] ")

    def answer(self, host: str, prompt: str, context: str, *, hint: str = "") -> str | None:
        """Show a remote prompt, with the lines before it and what a rule would say.

        Returns:
            None where the run shall stop: a lone `!`, or no line at all.
        """
        if not self.attended:
            return None
        shown = "\n".join(f"  | {line}" for line in redact.outside(context, lines=True).splitlines()[-12:])
        with screen.paused():
            self._tell(f"\n{host} asks{'' if hint else ' something that no rule knows'}:\n{shown}\n")
            if hint:
                self._tell(f"  ({hint})\n")
            asked = redact.outside(prompt)
            to = f" to {asked!r}" if re.search(r"\w", asked) else ""
            question = f"your answer{to} (! stops the run): "
            unseen = _asks_for_a_secret(prompt if to else " ".join(shown.splitlines()[-2:]))
            typed = self._ask(question, unseen=unseen)
        return None if typed is None or typed.strip() == "!" else typed

    def instruct(self, text: str) -> bool:
        """Ask for something to be done by hand."""
        return self.attended and self._says_yes(f"{text}\ndone? [y/N] ")

    def _says_yes(self, question: str) -> bool:
        return (self._ask(question) or "").strip().lower() in {"y", "yes"}

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _ask(self, question: str, *, unseen: bool = False) -> str | None:
        """The line that is typed; None at the end of the input, which is no answer."""
        with screen.paused():
            try:
                return screen.ask_unseen(question) if unseen else screen.ask(question)
            except EOFError:
                return None
