"""Check that only the user and root can change the files that this tool trusts."""

import getpass
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tscm_migrate.errors import UnsafeFile
from tscm_migrate.util.operator_command import quoted
from tscm_migrate.util.private import expanded, is_file

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check(path: Path, what: str) -> None:
    """Refuse a file that others own or can change; links are followed, and the folders of both ends are checked.

    A folder further up is refused if every user can write to it: they could exchange the folders in it at any time.

    Args:
        path: the file; a missing file is not checked.
        what: its name in the message, such as "the inventory".

    Raises:
        UnsafeFile: with the commands that make it safe. On Windows nothing is checked: modes have no meaning there.
    """
    if os.name == "nt":
        return
    path = Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - `resolve` would follow the link
    try:
        file = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return  # reading the file reports the problem
    faults = [*_all_faults(file, {file.parent: None, path.parent.resolve(): None})]
    if faults:
        raise UnsafeFile(
            f"{what} is not read: " + "; ".join(text for text, _ in faults),
            "read it first: its writer decides what is run as you; then: "
            + " && ".join(command for _, command in faults),
            file=str(path),
        )


def _all_faults(file: Path, folders: Mapping[Path, None]) -> Iterator[tuple[str, str]]:
    for place in (file, *folders):
        yield from _faults(place)
    for above in dict.fromkeys(each for folder in folders for each in folder.parents):
        if above not in folders:
            yield from _faults(above, everybody=True)


def _faults(place: Path, *, everybody: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a file or a folder, and the command that corrects it.

    If `everybody`, its owner and its group are not checked.
    """
    info = place.stat()
    own = getattr(os, "geteuid", lambda: 0)()
    sudo = "" if own == 0 else "sudo "
    if info.st_uid not in {0, own} and not everybody:
        yield f"{place} belongs to {_name_of(place)}", f"{sudo}chown {shlex.quote(_me())} {quoted(place)}"
    sticky = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX  # protects others' files
    if info.st_mode & (stat.S_IWOTH if everybody else _OTHERS) and not sticky:
        mine = "" if info.st_uid == own else sudo
        who = "o-w" if everybody else "go-w"
        yield f"others may write {place} (mode {stat.S_IMODE(info.st_mode):04o})", f"{mine}chmod {who} {quoted(place)}"


def _name_of(place: Path) -> str:
    try:
        return str(getattr(place, "owner")())  # noqa: B009 - not on Windows, where this is not called
    except (KeyError, NotImplementedError, OSError):
        return f"the user {place.stat().st_uid}"


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "$(id -u)"


def check_commands(lines: Iterable[tuple[str, str]], beside: Path) -> None:
    """Refuse commands of an inventory whose program or script is a file that others can change.

    Args:
        lines: command lines, each with its key.
        beside: the inventory's folder.

    Raises:
        UnsafeFile: as `check`. Words that are not paths are not checked.
    """
    for line, what in lines:
        for file in _files_in(line, beside):
            check(file, f"{file.name} of {what}")


def _files_in(line: str, beside: Path) -> Iterator[Path]:
    """Yield the files that a command line names by path: its program, and a script that it passes to an interpreter."""
    try:
        words = shlex.split(line, posix=os.name != "nt")
    except ValueError:
        return
    for word in words:
        if "/" not in word or "://" in word:
            continue
        for path in (expanded(word), beside / word):
            if is_file(path) and (word == words[0] or os.access(path, os.X_OK) or _is_script(path)):
                yield path
                break


def _is_script(path: Path) -> bool:
    return path.suffix in {".sh", ".py", ".pl", ".rb", ".ps1", ".toml"}
