"""The marks that a test server has to print so that the tool takes its text as the output of a script."""

from __future__ import annotations

import re

_MARK = re.compile(r"printf tscm-%s-%s:\S* (out|end) ([0-9a-f]+)")


def begin(command: str | None) -> bytes:
    """Return the mark that the tool's command line prints before the script's output, on both streams."""
    return f"tscm-out-{dict(_MARK.findall(command or ''))['out']}:".encode()


def end(command: str | None, status: int = 0) -> bytes:
    """Return the mark that it prints after the script's output."""
    return f"tscm-end-{dict(_MARK.findall(command or ''))['end']}:{status:03d}".encode()


def terminal(command: str | None) -> bytes:
    """Return the mark that it prints first on a terminal."""
    match = re.search(r"tty ([0-9a-f]{16})", command or "")
    return f"tscm-tty-{match[1] if match else ''}:\r\n".encode()
