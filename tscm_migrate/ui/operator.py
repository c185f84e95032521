"""The person at the terminal: is asked once before anything changes, and about prompts that no rule knows."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from tscm_migrate import redact
from tscm_migrate.ui import screen


@dataclass(frozen=True)
class Terminal:
    """Asks on stderr and reads stdin; `attended` False: nobody is there, so every question is answered by "no"."""

    attended: bool

    def confirm(self, question: str) -> bool:
        """Yes or no."""
        return self.attended and self._says_yes(f"{question} [y/N] ")

    def answer(self, host: str, prompt: str, context: str) -> str | None:
        """Show a remote prompt that no rule knows, with the lines before it; a lone `!`, or no line, stops the run."""
        if not self.attended:
            return None
        shown = "\n".join(f"  | {line}" for line in redact.printable(context).splitlines()[-12:])
        with screen.paused():
            self._tell(f"\n{host} asks something that no rule knows:\n{shown}\n")
            asked = redact.printable(prompt)
            to = f" to {asked!r}" if re.search(r"\w", asked) else ""
            typed = self._ask(f"your answer{to} (! stops the run): ")
        return None if typed is None or typed.strip() == "!" else typed

    def instruct(self, text: str) -> bool:
        """Ask for something to be done by hand."""
        return self.attended and self._says_yes(f"{text}\ndone? [y/N] ")

    def _says_yes(self, question: str) -> bool:
        return (self._ask(question) or "").strip().lower() in {"y", "yes"}

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _ask(self, question: str) -> str | None:
        """The line that is typed; None at the end of the input, which is no answer."""
        with screen.paused():
            print(question, end="", file=sys.stderr, flush=True)  # noqa: T201
            try:
                return input()
            except EOFError:
                return None
