"""Turn errors into text, a remedy and an exit code: the one place where that is done.

`tscm-migrate COMMAND` and, in a checkout, `invoke COMMAND` run the same tasks. Each task runs in `guarded`, so both end
with the same exit codes.
"""

import contextlib
import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from tscm_migrate import errors
from tscm_migrate.inventory import inventory
from tscm_migrate.secrets import blank_environment
from tscm_migrate.ui.console import fit, mute, write
from tscm_migrate.util import redact
from tscm_migrate.util.operator_command import completed, use_inventory

TRACEBACK = "TSCM_TRACEBACK"
_FULL = {errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT}
_SHOWN = 2000  # characters of one message; an appliance's words may be long


def guarded(body: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Run a task's body, show the user any error that it raises, and return the exit code."""
    _quiet_libraries()
    blank_environment()
    as_json = bool(kwargs.get("json"))
    name_inventory(as_json=as_json)
    use_inventory(kwargs.get("inventory"))
    try:
        status = body(*args, **kwargs)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, so that an output that cannot be written is an error of this tool
    except errors.MigrateError as error:
        return say(error, as_json=as_json)
    except KeyboardInterrupt:
        return say(errors.Interrupted(), as_json=as_json)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - a user never sees a traceback
        return say_unforeseen(error, as_json=as_json)
    return int(status) if isinstance(status, int) else int(errors.Exit.DONE)


def name_inventory(*, as_json: bool) -> None:
    """Name the inventory of the current folder where it is read: in the first line, or on stderr beside JSON."""
    inventory.on_current_folder = _Naming(as_json=as_json)


class _Naming:
    """Name the inventory of the current folder once, before anything else: the user may not have meant it."""

    def __init__(self, *, as_json: bool) -> None:
        self._print, self._done = _stderr if as_json else write, False

    def __call__(self, path: Path) -> None:
        if not self._done:
            self._done = True
            self._print(_clean(f"inventory: {path.absolute()} (of the current folder)") + "\n")


def say(error: errors.MigrateError, *, as_json: bool = False) -> int:
    """Show an error; return its exit code."""
    if as_json:
        _print_json(error, _clean(error.message()), _clean(completed(_remedy(error))))
    _stderr(as_text(error))
    _traceback(error)
    return int(error.exit_code)


def _remedy(error: errors.MigrateError) -> str:
    """Return the error's remedy; for a host that a migration has moved, where it is."""
    if isinstance(error, errors.Unreachable):
        from tscm_migrate.migration.afterwards import whereabouts

        return whereabouts(error.host) or error.remedy()
    return error.remedy()


def as_text(error: errors.MigrateError) -> str:
    """Return what is printed for an error: its message, what to do, its code and exit code."""
    message, remedy = _clean(error.message()), _clean(completed(_remedy(error)))
    if isinstance(error, errors.Cancelled):
        return message
    lines = [f"error: {_quoted(message)}"]
    if remedy:
        lines.append(f"  what to do: {_quoted(remedy)}")
    return "\n".join([*lines, f"  ({error.code}, exit code {int(error.exit_code)})"])


def _print_json(error: errors.MigrateError, message: str, remedy: str) -> None:
    fields = {"v": 1, "event": "error", "code": error.code, "exit": int(error.exit_code)}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with _ignoring_closed(sys.stdout):
        write(json.dumps({**fields, "message": message, "remedy": remedy, "time": now}) + "\n")


def say_unforeseen(error: Exception, *, as_json: bool = False) -> int:
    """Show an error that is not one of our classes: what it means for the user, or that it is a bug."""
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:  # a file of this tool has a name
        mute(sys.stdout)
        return say(errors.OutputLost(error.strerror or str(error)))
    if isinstance(error, RuntimeError) and "home dir" in str(error):
        fix = "set HOME to a folder of yours (TSCM_STATE names another place for the state folder)"
        return say(errors.UsageError("HOME is not set, and this user has no home folder", fix), as_json=as_json)
    if isinstance(error, MemoryError):
        return say(errors.OutOfMemory(), as_json=as_json)
    message = f"Internal error (a bug): {_clean(f'{type(error).__name__}: {error}')}"
    remedy = "run it again with --traceback, and report what it prints"
    if as_json:
        _print_json(errors.MigrateError(), message, remedy)
    _stderr(f"error: {_quoted(message)}\n  what to do: {remedy}")
    _traceback(error)
    return int(errors.Exit.FAILED)


def _traceback(error: BaseException) -> None:
    if os.environ.get(TRACEBACK, "") not in {"", "0"}:
        import traceback

        _stderr(redact.clean("".join(traceback.format_exception(error))))


def _clean(text: str) -> str:
    text = redact.clean(text).strip()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"


def _quoted(text: str) -> str:
    """Mark further lines of a text, so that text of an appliance cannot look like our own lines."""
    return text.replace("\n", "\n      | ")


def _stderr(text: str) -> None:
    with _ignoring_closed(sys.stderr):
        print(fit(text, sys.stderr).rstrip("\n"), file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def _ignoring_closed(stream: TextIO) -> Iterator[None]:
    """Keep a closed stream from changing the exit code."""
    try:
        yield
    except (OSError, ValueError):
        mute(stream)


def _quiet_libraries() -> None:
    """Keep Python from printing the log records of libraries to stderr."""
    for name in ("paramiko", "gnupg", "invoke"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
