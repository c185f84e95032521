"""Where the output of our script begins: a login may have printed before it, on any stream; pure."""

from __future__ import annotations

_LONGEST = 1 << 20  # bytes of talk before a script; whoever prints more has not run it


class Opening:
    """Takes away what comes before a mark, and the mark."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._held = b""
        self._begun = not mark

    def take(self, data: bytes) -> bytes:
        """What of `data` belongs to the script; nothing until the mark has come."""
        if self._begun:
            return data
        self._held += data
        _, mark, behind = self._held.partition(self._mark)
        if mark or len(self._held) > _LONGEST:
            self._begun = True
            held, self._held = self._held, b""
            return behind if mark else held
        return b""

    def rest(self) -> bytes:
        """At the end: all that came where the mark never did, which says why the script did not begin."""
        held, self._held = self._held, b""
        return held
