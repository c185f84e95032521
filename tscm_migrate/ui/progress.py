"""Compute rate and time left of a transfer from its progress events. Pure; the clock is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tscm_migrate.util.text import duration_text

if TYPE_CHECKING:
    from tscm_migrate.events import Progress

EVERY = 10.0  # seconds between two lines of a log
_WINDOW = 30.0  # seconds over which the rate is taken


@dataclass
class Meter:
    """Follows one file at a time; a new name, or fewer bytes than before, starts a new measurement."""

    what: str = ""
    _seen: list[tuple[float, int]] = field(default_factory=list)
    _said: float = 0.0

    def add(self, event: Progress, now: float) -> None:
        """Take one event; `now` is in monotonic seconds."""
        if event.what != self.what or (self._seen and event.done < self._seen[-1][1]):
            self.what, self._seen, self._said = event.what, [], now
        self._seen.append((now, event.done))
        while len(self._seen) > 2 and self._seen[0][0] < now - _WINDOW:
            del self._seen[0]

    @property
    def rate(self) -> float:
        """Return bytes a second over the last half minute; 0 while there are too few events."""
        (begin, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def due(self, event: Progress, now: float) -> bool:
        """Whether to write a line to a log: every ten seconds, and at the end of a file that had one before."""
        self.add(event, now)
        over = event.total and event.done >= event.total and now - self._seen[0][0] >= EVERY
        if now - self._said < EVERY and not over:
            return False
        self._said = now
        return True

    def text(self, event: Progress) -> str:
        """Return `NAME: 512.0 of 1073.7 MB (47%), 92.3 MB/s, 6 s left`."""
        told = f"{event.what}: {event.done / 1e6:.1f}"
        told += f" of {event.total / 1e6:.1f} MB ({100 * event.done // event.total}%)" if event.total else " MB"
        if self.rate > 0:
            told += f", {self.rate / 1e6:.1f} MB/s"
            if event.total > event.done:
                told += f", {duration_text((event.total - event.done) / self.rate)} left"
        return told
