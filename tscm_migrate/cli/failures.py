"""Turn errors into text, a remedy and an exit code: the one place where that is done.

`tscm-migrate COMMAND` and, in a checkout, `invoke COMMAND` run the same tasks. Each task runs in `guarded`, so both end
with the same exit codes.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from tscm_migrate import inventory
from tscm_migrate.errors import Exit, Interrupted, MigrateError, OutOfMemory, OutputLost, UsageError
from tscm_migrate.secrets import blank_environment
from tscm_migrate.ui.resilient import mute
from tscm_migrate.ui.wrap import fit
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRACEBACK = "TSCM_TRACEBACK"
_FULL = {errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT}
_SHOWN = 2000  # characters of one message; an appliance's words may be long


def guarded(body: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Run a task's body; whatever it raises is told to the operator, and the exit code comes back."""
    _quiet_libraries()
    blank_environment()
    as_json = bool(kwargs.get("json"))
    name_inventory(as_json=as_json)
    try:
        status = body(*args, **kwargs)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is told, and not found by Python at its end
    except MigrateError as error:
        return say(error, as_json=as_json)
    except KeyboardInterrupt:
        return say(Interrupted(), as_json=as_json)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for an operator
        return say_unforeseen(error, as_json=as_json)
    return int(status) if isinstance(status, int) else int(Exit.DONE)


def name_inventory(*, as_json: bool) -> None:
    """Name the inventory of the current folder where it is read: in the first line, or on stderr beside JSON."""
    inventory.found_here = _Naming(as_json=as_json)


class _Naming:
    """Names, once and before anything else, the inventory that lies in the current folder: nobody may have meant it."""

    def __init__(self, *, as_json: bool) -> None:
        self._stream, self._told = sys.stderr if as_json else sys.stdout, False

    def __call__(self, path: Path) -> None:
        if not self._told:
            self._told = True
            print(_clean(f"inventory: {path.absolute()} (of the current folder)"), file=self._stream, flush=True)


def say(error: MigrateError, *, as_json: bool = False) -> int:
    """Print an error; return its exit code."""
    if as_json:
        _print_json(error, _clean(error.message()), _clean(error.remedy()))
    _stderr(as_text(error))
    _traceback(error)
    return int(error.exit_code)


def as_text(error: MigrateError) -> str:
    """Return what is printed for an error: its message, what to do, its code and exit code."""
    message, remedy = _clean(error.message()), _clean(error.remedy())
    lines = [f"error: {_quoted(message)}"]
    if remedy:
        lines.append(f"  what to do: {_quoted(remedy)}")
    return "\n".join([*lines, f"  ({error.code}, exit code {int(error.exit_code)})"])


def _print_json(error: MigrateError, message: str, remedy: str) -> None:
    told = {"v": 1, "event": "error", "code": error.code, "exit": int(error.exit_code)}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _print(json.dumps({**told, "message": message, "remedy": remedy, "time": now}), sys.stdout)


def say_unforeseen(error: Exception, *, as_json: bool = False) -> int:
    """An error of no kind of ours: what it comes to for the operator, or that it is a defect, and how to get more."""
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:  # a file of ours has a name
        mute(sys.stdout)
        return say(OutputLost(error.strerror or str(error)))
    if isinstance(error, RuntimeError) and "home dir" in str(error):
        fix = "set HOME to a folder of yours (TSCM_STATE names another place for the state folder)"
        return say(UsageError("HOME is not set, and this user has no home folder", fix), as_json=as_json)
    if isinstance(error, MemoryError):
        return say(OutOfMemory(), as_json=as_json)
    message = f"this should not have happened: {_clean(f'{type(error).__name__}: {error}')}"
    remedy = f"run again with {TRACEBACK}=1 and report it"
    if as_json:
        _print_json(MigrateError(), message, remedy)
    _stderr(f"error: {_quoted(message)}\n  what to do: {remedy}")
    _traceback(error)
    return int(Exit.FAILED)


def _traceback(error: BaseException) -> None:
    if os.environ.get(TRACEBACK, "") not in {"", "0"}:
        import traceback

        _stderr(redact.clean("".join(traceback.format_exception(error))))


def _clean(text: str) -> str:
    text = redact.clean(text).strip()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"


def _quoted(text: str) -> str:
    """A text whose further lines cannot look like lines of ours: part of it may come from an appliance."""
    return text.replace("\n", "\n      | ")


def _stderr(text: str) -> None:
    _print(fit(text, sys.stderr).rstrip("\n"), sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """A stream that is closed must not change the exit code."""
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        mute(stream)


def _quiet_libraries() -> None:
    """Without a handler, Python's last resort would print paramiko's records to stderr."""
    for name in ("paramiko", "gnupg", "invoke"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
