"""Where the output of our script begins and ends; a login may print before and behind it, on any stream; pure."""

from __future__ import annotations

_LONGEST = 1 << 20  # bytes before a script; a login that prints more has not run it
_DIGITS = 3  # of the exit status behind the end mark


class Frame:
    """Keeps what stands between two marks.

    Args:
        begin: the mark before the output; "": it begins at once.
        end: the mark behind the output, followed by the exit status in three digits; "": there is none.

    Attributes:
        begun: whether the first mark has come.
        status: the exit status behind the end mark; None: that mark has not come.
    """

    def __init__(self, begin: str = "", end: str = "") -> None:
        self._begin, self._end = begin.encode(), end.encode()
        self._held = b""
        self._lost = False
        self.begun = not begin
        self.status: int | None = None

    @property
    def ended(self) -> bool:
        """Whether the end mark has come."""
        return self.status is not None

    def take(self, data: bytes) -> bytes:
        """Return what of `data`, and of what was held back before, belongs to the script."""
        if self.ended or self._lost:
            return b""
        data, self._held = self._held + data, b""
        if not self.begun:
            _, mark, behind = data.partition(self._begin)
            if not mark:
                self._held = data[:_LONGEST]
                self._lost = len(data) > _LONGEST
                return b""
            self.begun, data = True, behind
        return self._until_end(data) if self._end else data

    def _until_end(self, data: bytes) -> bytes:
        own, mark, behind = data.partition(self._end)
        if not mark:
            kept = _overlap(data, self._end)
            self._held = data[len(data) - kept :]
            return data[: len(data) - kept]
        if len(behind) < _DIGITS:
            self._held = data[len(own) :]
        elif behind[:_DIGITS].isdigit():  # bytes: ASCII digits only
            self.status = int(behind[:_DIGITS])
        return own

    def rest(self) -> bytes:
        """At the end of the stream: what was held back; all of the stream where the first mark never came."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, mark: bytes) -> int:
    """How many of the last bytes may be the beginning of the mark."""
    longest = min(len(mark) - 1, len(data))
    return next((size for size in range(longest, 0, -1) if data.endswith(mark[:size])), 0)
