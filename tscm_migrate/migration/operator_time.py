"""Measure how long a run waited for the operator: that time is not the run's own."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tscm_migrate.migration.context import Operator
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.tsadmin.dialect import Kind
    from tscm_migrate.tsadmin.intent import Understood


def waited(operator: Operator) -> float:
    """Return the seconds in which this process waited for the operator's answers; 0 where they are not measured."""
    return operator.waited if isinstance(operator, TimedOperator) else 0.0


@dataclass
class TimedOperator:
    """Pass every question on to `operator`, and add up how long the answers took; prompts of `secrets` count, too."""

    operator: Operator
    secrets: Secrets
    _waited: float = 0.0

    @property
    def waited(self) -> float:
        """Seconds in which a question stood open."""
        return self._waited + self.secrets.waited

    @property
    def attended(self) -> bool:
        """Whether there is anybody to ask."""
        return self.operator.attended

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        with self._open_question():
            return self.operator.confirm(question)

    def instruct(self, text: str) -> bool:
        """Ask for something to be done by hand."""
        with self._open_question():
            return self.operator.instruct(text)

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Ask for the answer to a question of `tsadmin`."""
        with self._open_question():
            return self.operator.answer(host, understood, shown, unseen=unseen)

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """Ask whether and as what an answer is remembered."""
        with self._open_question():
            return self.operator.remember(host, question, kinds)

    def told(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show a line."""
        self.operator.told(text, question, saved=saved)

    @contextlib.contextmanager
    def _open_question(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - began
