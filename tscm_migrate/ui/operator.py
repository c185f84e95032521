"""The person at the terminal: is asked once before anything changes, and about prompts that no rule knows."""

from __future__ import annotations

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
        return self.attended and self._ask(f"{question} [y/N] ").strip().lower() in {"y", "yes"}

    def answer(self, host: str, prompt: str, context: str) -> str | None:
        """Show a remote prompt that no rule knows, with the lines before it; an empty `!` line stops the run."""
        if not self.attended:
            return None
        shown = "\n".join(f"  | {line}" for line in redact.printable(context).splitlines()[-12:])
        with screen.paused():
            self._tell(f"\n{host} asks something that no rule knows:\n{shown}\n")
            typed = self._ask(f"your answer to {redact.printable(prompt)!r} (! stops the run): ")
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
