"""What a server that runs nothing has to print so that its words count as a script's output."""

from __future__ import annotations

import re

_MARK = re.compile(r"printf tscm-%s-%s:\S* (out|end) ([0-9a-f]+)")


def begin(command: str | None) -> bytes:
    """What our command line prints before the script's output, on either stream."""
    return f"tscm-out-{dict(_MARK.findall(command or ''))['out']}:".encode()


def end(command: str | None, status: int = 0) -> bytes:
    """What it prints behind it."""
    return f"tscm-end-{dict(_MARK.findall(command or ''))['end']}:{status:03d}".encode()


def terminal(command: str | None) -> bytes:
    """What it prints first on a terminal."""
    found = re.search(r"tty ([0-9a-f]{16})", command or "")
    return f"tscm-tty-{found[1] if found else ''}:\r\n".encode()
