"""Confines the calling thread and what it starts to writing below some folders, with Landlock of Linux 5.13 and later.

The programs of an embedded appliance are this machine's own, with this user's rights: without it, a script that names
/etc would change this machine.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls; the numbers are the same on all processors
_VERSION = 1  # flag: return the version of the interface
_PATH_BENEATH = 1  # type of a rule
_NO_NEW_PRIVS = 38
_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_DEVICES = ("/dev", "/proc")  # terminals, /dev/null: may be written, nothing can be made there


class _Rule(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def available() -> bool:
    """Return whether this system can confine a thread."""
    return _version() > 0


def to(folders: Iterable[Path]) -> None:
    """Allow the calling thread to write below these folders only; do nothing where the system cannot do this.

    Raises:
        OSError: the system can, but it failed.
    """
    version = _version()
    if version <= 0:
        return
    files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    everything = files | _MAKE_AND_REMOVE | (_REFER if version >= 2 else 0)
    handled = ctypes.c_uint64(everything)
    rules = _checked(_call(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0))
    try:
        for path, access in (*((str(folder), everything) for folder in folders), *((path, files) for path in _DEVICES)):
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                _checked(_call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(_Rule(access, folder)), 0))
            finally:
                os.close(folder)
        _checked(_libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_call(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _version() -> int:
    return _call(_CREATE_RULESET, None, 0, _VERSION) if sys.platform == "linux" else 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    return int(_libc().syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
