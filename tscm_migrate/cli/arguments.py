"""Rewrite the command line for invoke's parser: groups, global options, old names, arguments that may be left out.

To invoke, `host pin NAME` is the task `host.pin`, an option belongs behind its task, and a positional argument is
always required.
"""

import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from invoke.collection import Collection
from invoke.parser.argument import Argument

from tscm_migrate.errors import UsageError
from tscm_migrate.tasks.base import RENAMED, RENAMED_OPTIONS
from tscm_migrate.util.text import suggestion

CORE = {"--help", "-h", "--list", "-l", "--version", "-V", "--traceback", "--complete"}  # without a command, too
VALUED = {"--inventory", "-i"}  # global options that take the next word
# Global options that change nothing about a command that does not have them.
_HARMLESS = {"--inventory", "-i", "--yes", "-y", "--quiet", "-q", "--verbose", "-v"}
_HELP = {"--help", "-h"}


def for_invoke(words: list[str], root: Collection) -> list[str]:
    """Return the words after `tscm-migrate` as invoke reads them.

    Raises:
        UsageError: no command, a group has no such command, or an option is given twice.
    """
    words = _old_options(words, "")
    at = command_at(words)
    before, rest = words[:at], words[at:]
    rest = _old_names(_help_first(rest))
    if not rest:
        return _without_command(before)
    rest = _old_options(rest, rest[0])
    if rest[0] in root.collections:
        rest = _in_group(rest, root.collections[rest[0]])
        if rest[0] == "--help":
            return rest
    if _HELP & set(rest[1:]) or _HELP & set(before):  # before a missing argument takes it for its value
        return ["--help", *(word for word in rest[:1] if word not in CORE)]
    core, own = [word for word in before if word in CORE], [word for word in before if word not in CORE]
    return [*core, *_for_task([*rest, *own], root)]


def _help_first(words: list[str]) -> list[str]:
    """Read `help COMMAND` as `COMMAND --help`."""
    if words[:1] != ["help"]:
        return words
    return ["--help"] if words[1:] in ([], ["help"]) else [*words[1:], "--help"]


def _without_command(words: list[str]) -> list[str]:
    """Return the options of a command line that has no command.

    Raises:
        UsageError: an option belongs to a command.
    """
    if unknown := [word for word in words if word.partition("=")[0] in {*_HARMLESS, "--json"}]:
        raise UsageError(f"missing command after {unknown[0]}", "tscm-migrate --help")
    return words


def _for_task(words: list[str], root: Collection) -> list[str]:
    """Adapt the words of a command to the options that it has; an unknown command is left to invoke's parser."""
    if words[0] not in root.task_names:
        return words
    task = root[words[0]]
    arguments = task.get_arguments()
    flags = {flag(name): argument for argument in arguments for name in argument.names}
    words = _without_harmless(words, flags)
    _refuse_repeated(words, flags)
    return _positional(words, task)


def _without_harmless(words: list[str], flags: Mapping[str, Argument]) -> list[str]:
    """Leave out global options that the command does not have and that change nothing about it."""
    kept: list[str] = []
    skipping = False
    for at, word in enumerate(words):
        name, equals, _ = word.partition("=")
        is_value = bool(at) and words[at - 1] in flags and flags[words[at - 1]].takes_value
        if skipping or (name in _HARMLESS and name not in flags and not is_value):
            skipping = not skipping and name in VALUED and not equals
            continue
        kept.append(word)
    return kept


def _refuse_repeated(words: list[str], flags: Mapping[str, Argument]) -> None:
    seen: set[str] = set()
    for at, word in enumerate(words):
        name = word.partition("=")[0]
        argument = flags.get(name)
        is_value = bool(at) and words[at - 1] in flags and flags[words[at - 1]].takes_value
        if argument is None or is_value or argument.kind is list or not argument.takes_value:
            continue
        if argument.names[0] in seen:
            raise UsageError(f"{flag(argument.names[0])} is given twice", "leave one of them out")
        seen.add(argument.names[0])


def command_at(words: list[str]) -> int:
    """Return where the command begins: after global options and their values."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in VALUED else 1
    return at


def _old_names(words: list[str]) -> list[str]:
    """Replace the old name of a command, and print a line with the new name."""
    for length in (2, 1):
        old = " ".join(words[:length])
        if old in RENAMED and len(words) >= length:
            new, rest = RENAMED[old].split(), words[length:]
            _renamed(f"tscm-migrate {old}", f"tscm-migrate {RENAMED[old]}")
            return [*new, *_host_first(rest)] if old in {"pull", "push"} else [*new, *rest]
    return words


def _host_first(words: list[str]) -> list[str]:
    """Move the host of `--host HOST`, which used to be an option, to the front."""
    for at, word in enumerate(words):
        if word == "--host" and at + 1 < len(words):
            return [words[at + 1], *words[:at], *words[at + 2 :]]
        if word.startswith("--host="):
            return [word.removeprefix("--host="), *words[:at], *words[at + 1 :]]
    return words


def _old_options(words: list[str], command: str) -> list[str]:
    known = RENAMED_OPTIONS.get(command, {})
    replaced: list[str] = []
    for word in words:
        old, equals, value = word.partition("=")
        if old in known:
            _renamed(old, known[old])
        replaced.append(f"{known.get(old, old)}{equals}{value}")
    return replaced


def _renamed(old: str, new: str) -> None:
    line = f"note: {old} is now: {new} (the old name works until the next release)"
    print(line, file=sys.stderr)  # noqa: T201


def _in_group(words: list[str], group: Collection) -> list[str]:
    name, *rest = words
    if not rest or rest[0].startswith("-"):
        return ["--help", name]
    if rest[0] not in group.task_names:
        near = suggestion(rest[0], group.task_names)
        names = ", ".join(sorted(group.task_names))
        raise UsageError(f"{name!r} has no {rest[0]!r}{near}", f"{name} has: {names}")
    return [f"{name}.{rest[0]}", *rest[1:]]


def _positional(words: list[str], task: Any) -> list[str]:
    """Give its option to each word of the argument that may be left out, which follows the other arguments."""
    name, *rest = words
    trailing = getattr(task, "trailing", "")
    if not trailing:
        return words
    if name == "prompts.explain":
        rest = _each_set(rest)
    arguments = task.get_arguments()
    many = any(one.kind is list for one in arguments if one.names[0] == trailing)
    option = flag(trailing)
    if not many and option in {word.partition("=")[0] for word in rest}:
        return words
    places = free(rest, arguments)[sum(argument.positional for argument in arguments) :]
    for at in reversed(places if many else places[:1]):
        rest.insert(at, option)
    return [name, *rest]


def free(words: list[str], arguments: list[Argument]) -> list[int]:
    """Return the places of the words that are neither options nor values of one."""
    valued = {flag(name) for argument in arguments if argument.takes_value for name in argument.names}
    pairs = enumerate(pairwise(["", *words]))
    return [at for at, (before, word) in pairs if not word.startswith("-") and before not in valued]


def flag(name: str) -> str:
    """Return an option as it is typed."""
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def _each_set(words: list[str]) -> list[str]:
    """Repeat `--set` for each of the values that follow one, and drop the dash that stands for the standard input."""
    given: list[str] = []
    setting = False
    for word in words:
        if word == "-":
            continue
        if setting and "=" in word and not word.startswith("-") and given[-1] != "--set":
            given.append("--set")
        setting = word == "--set" or (setting and not word.startswith("-"))
        given.append(word)
    return given
