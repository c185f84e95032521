"""Which processes are ts-update, or are about to be. Pure.

The documents' `ps -augx | grep ts-update` always matches itself, and `grep -v grep` hides real ones and counts
`tail -f ts-update.log` (fact 17). Here a process counts by what it runs: the basename of its program, of the script
that an interpreter or a wrapper runs, or of a command inside the text of a `sh -c`, which may first sleep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# ww: never cut; the columns without header. `args` is last because it has blanks.
PS_COMMAND = "ps -ww -eo pid=,ppid=,stat=,etimes=,args="

_WRAPPERS = {
    "perl", "python", "python2", "python3", "ruby", "sh", "bash", "dash", "ash", "ksh", "zsh", "env", "nice", "ionice",
    "timeout", "sudo", "flock", "setsid", "nohup", "stdbuf", "chrt", "taskset", "exec", "command",
    "time", "runuser", "su",
}  # fmt: skip
_SHELLS = {"sh", "bash", "dash", "ash", "ksh", "zsh", "su", "runuser"}
_INTERPRETERS = {"perl", "python", "python2", "python3", "ruby", *_SHELLS}
_OPTIONS_WITH_VALUE = {
    "nice": {"-n"}, "ionice": {"-c", "-n", "-p"}, "timeout": {"-k", "-s"}, "env": {"-u", "-C"},
    "sudo": {"-u", "-g", "-h", "-p", "-C", "-T"}, "flock": {"-w", "-E"}, "stdbuf": {"-i", "-o", "-e"},
}  # fmt: skip
_NUMBER = re.compile(r"(0x)?[\da-fA-F.]+[smhd]?")
_SEPARATORS = re.compile(r"\|\||&&|[;&|()\n{}]|\b(?:then|do|else|if|while|until)\b")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*")


@dataclass(frozen=True)
class Process:
    """One line of ps: `elapsed` in seconds since its start."""

    pid: int
    ppid: int
    stat: str
    elapsed: int
    args: str


def parse_ps(text: str) -> list[Process]:
    """Read the output of `PS_COMMAND`; lines that are not of its form are passed over."""
    found = []
    for line in text.splitlines():
        parts = line.split(None, 4)
        if len(parts) >= 4 and parts[0].isdigit() and parts[1].isdigit() and parts[3].isdigit():
            found.append(
                Process(int(parts[0]), int(parts[1]), parts[2], int(parts[3]), parts[4] if len(parts) > 4 else "")
            )
    return found


def _base(word: str) -> str:
    return PurePosixPath(word.strip("'\"-")).name.rstrip(":")


def _runs(words: list[str], programs: Collection[str], depth: int = 0) -> bool:
    """Whether this simple command runs one of `programs`, looking through interpreters and wrappers."""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or depth > 8:
        return False
    if _base(words[0]) in programs:
        return True
    wrapper = re.sub(r"[\d.]+$", "", _base(words[0])) or _base(words[0])
    if wrapper not in _WRAPPERS:
        return False
    rest = words[1:]
    if wrapper in _SHELLS and any(re.fullmatch(r"-[a-z]*c", word) for word in rest):
        start = next(i for i, word in enumerate(rest) if re.fullmatch(r"-[a-z]*c", word))
        return any(_runs(part.split(), programs, depth + 1) for part in _SEPARATORS.split(" ".join(rest[start + 1 :])))
    start = _first_operand(wrapper, rest)
    if wrapper in _INTERPRETERS:  # its script; what follows are the script's arguments
        return start < len(rest) and _base(rest[start]) in programs
    return _runs(rest[start:], programs, depth + 1)


def _first_operand(wrapper: str, words: list[str]) -> int:
    """Index of the first word that is no option, no option's value, no number or duration, no lock file."""
    skip = 1 if wrapper == "flock" else 0
    index = 0
    while index < len(words):
        word = words[index]
        if word in _OPTIONS_WITH_VALUE.get(wrapper, ()):
            index += 2
        elif word.startswith("-") or _NUMBER.fullmatch(word) or _ASSIGNMENT.fullmatch(word):
            index += 1
        elif skip:
            skip, index = 0, index + 1
        else:
            break
    return index


def updates_among(processes: list[Process], own: int | None, *programs: str) -> list[Process]:
    """Which processes run one of `programs`, or are a shell that will.

    Args:
        processes: all of the appliance's.
        own: the pid of the shell that looked; it, its ancestors and its descendants do not count. None: nothing is
            left out.
        programs: the basenames to look for; ts-update where none is given.

    Returns:
        Those that count, in the order given. Zombies are over and do not count.
    """
    by_pid = {process.pid: process for process in processes}
    ours: set[int] = set()
    walk = own
    while walk is not None and walk in by_pid and walk not in ours:
        ours.add(walk)
        walk = by_pid[walk].ppid
    below = {own} if own is not None else set()
    grown = True
    while grown:
        more = {process.pid for process in processes if process.ppid in below} - below
        below |= more
        grown = bool(more)
    skip = ours | below
    return [
        process
        for process in processes
        if process.pid not in skip
        and not process.stat.startswith("Z")
        and _counts(process.args, programs or ("ts-update",))
    ]


def _counts(args: str, programs: Collection[str]) -> bool:
    words = args.split()
    # "sudo", "CRON -f" and login shells ("-bash") come as they are; a title such as "ts-update: worker" counts too.
    return bool(words) and _runs(words, programs)


def started_by(entry: str, program: str = "ts-update") -> frozenset[str]:
    """What a cron entry starts that goes by the program's name: itself, and wrappers of it such as `ts-update-all`.

    A wrapper may have the program's work inside of it, so that no process ever bears the program's own name.

    Args:
        entry: the text of a file of /etc/cron.d.
        program: the basename of the program.
    """
    named = re.compile(rf"{re.escape(program)}(?:[-_.]\w[\w.-]*)?")
    found = {program}
    for line in entry.splitlines():
        words = line.split()
        fields = 2 if line.lstrip().startswith("@") else 6
        if line.lstrip().startswith("#") or len(words) <= fields:
            continue
        for part in _SEPARATORS.split(" ".join(words[fields:])):
            candidates = {base for word in part.split() if named.fullmatch(base := _base(word))}
            found |= {base for base in candidates if _runs(part.split(), (base,))}
    return frozenset(found)
