"""The pages of the help (front page, a group of commands, one command) and the manual page, from the command tree."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from invoke.collection import Collection
from invoke.parser.argument import Argument

from tscm_migrate import __version__
from tscm_migrate.errors import Exit
from tscm_migrate.tasks.base import ABOUT, GROUPS, SHARED, option_name

_INTRODUCTION = "Migrate a ThreatSTOP Centralized Manager to a new appliance over SSH."
_GLOBAL = ("inventory", "json", "yes", "quiet", "verbose")  # shown last, under a title of their own
_EVERYWHERE = (
    ("-h, --help", "Show this help, or that of a command."),
    ("-i, --inventory FILE", SHARED["inventory"][1]),
    ("--json", "Print JSON."),
    ("-y, --yes", SHARED["yes"][1]),
    ("-q, --quiet", SHARED["quiet"][1]),
    ("-v, --verbose", SHARED["verbose"][1]),
    ("--traceback", "Show a traceback with an error."),
    ("-V, --version", "Show the version."),
    ("-l, --list", "List all commands, one on each line."),
)
_NARROW, _WIDE = 40, 100  # columns of the terminal that are used


def front(root: Collection) -> str:
    """Return the front page."""
    lines = ["Usage: tscm-migrate COMMAND [options]", "", _INTRODUCTION]
    for title, names in groups(root).items():
        rows = [(name, summary(root, name)) for name in names]
        lines += ["", f"{title}:", *columns(rows, least=12)]
    lines += ["", "Global options, before or after the command:", *columns(_EVERYWHERE)]
    lines += ["", "Help on a command: tscm-migrate help COMMAND"]
    return "\n".join(lines)


def groups(root: Collection) -> dict[str, list[str]]:
    """Return the commands and groups of commands by their title; those without one are under the last title."""
    known = {*(name for name in root.task_names if "." not in name), *root.collections}
    titled = {title: [name for name in names if name in known] for title, names in GROUPS.items()}
    placed = {name for names in GROUPS.values() for name in names}
    titled[list(GROUPS)[-1]] += sorted(known - placed)
    return {title: names for title, names in titled.items() if names}


def summary(root: Collection, name: str) -> str:
    """Return what a command or a group of commands is for, in one line."""
    if name in root.collections:
        actions = ", ".join(root.collections[name].task_names)
        return f"{ABOUT.get(name, name.capitalize())}: {actions}"
    return first_line(root[name])


def group(root: Collection, name: str) -> str:
    """Return the page of a group of commands."""
    rows = [(f"{name} {action}", first_line(task)) for action, task in root.collections[name].tasks.items()]
    lines = [f"Usage: tscm-migrate {name} COMMAND [options]", "", f"{ABOUT.get(name, name.capitalize())}.", ""]
    return "\n".join([*lines, "Commands:", *columns(rows), "", f"Help on a command: tscm-migrate help {name} COMMAND"])


def command(task: Any, name: str) -> str:
    """Return the page of one command, which is typed as `name`: usage, description, arguments, options, examples."""
    arguments = task.get_arguments()
    given = places(arguments, task)
    options = [one for one in arguments if one not in given]
    words = [placed(one, task) for one in given] + (["[options]"] if options else [])
    about, examples = parts(task)
    lines = [" ".join(["Usage: tscm-migrate", name, *words]), "", *_fitting(about)]
    lines += _titled("Arguments", [(placed(one, task), one.help or "") for one in given])
    lines += _options(options, task)
    lines += ["", "Examples:", *(_example(line) for line in examples)] if examples else []
    return "\n".join(lines)


def places(arguments: list[Argument], task: Any) -> list[Argument]:
    """Return those arguments of a task that are given without the name of an option, in their order."""
    return [one for one in arguments if one.positional or option_name(one) == task.trailing]


def _by_subject(options: list[Argument], task: Any) -> dict[str, list[Argument]]:
    """Return the options by the titles of the task's subjects, those without one below "Options", global ones last."""
    by_name = {option_name(one): one for one in options}
    shared = [by_name.pop(name) for name in list(by_name) if name in _GLOBAL]
    titles = {title: [by_name.pop(name) for name in names if name in by_name] for title, names in task.subjects.items()}
    return {**titles, "Options": list(by_name.values()), "Global options": shared}


def _options(options: list[Argument], task: Any) -> Iterator[str]:
    for title, chosen in _by_subject(options, task).items():
        yield from _titled(title, [(flags(one, task), one.help or "") for one in chosen])


def _titled(title: str, rows: list[tuple[str, str]]) -> list[str]:
    return ["", f"{title}:", *columns(rows)] if rows else []


def placed(argument: Argument, task: Any) -> str:
    """Return a positional argument as the usage shows it."""
    value = task.values.get(option_name(argument), option_name(argument).upper())
    if argument.positional:
        return str(value)
    return f"[{value} ...]" if argument.kind is list else f"[{value}]"


def flags(argument: Argument, task: Any) -> str:
    """Return an option as it is typed, with the name of its value: `-i, --inventory FILE`, `--[no-]encrypt`."""
    long = option_name(argument)
    if argument.kind is bool:
        shown = f"--[no-]{long}" if argument.default is True else f"--{long}"
    else:
        shown = f"--{long} {task.values.get(long, long.upper())}"
    short = [f"-{name}" for name in argument.names if len(name) == 1]
    return ", ".join([*short, shown])


def first_line(task: Any) -> str:
    """Return the first line of a task's description, without its full stop."""
    return (inspect.getdoc(task) or "").partition("\n")[0].removesuffix(".")


def parts(task: Any) -> tuple[str, list[str]]:
    """Return a task's description and its examples."""
    about, _, examples = (inspect.getdoc(task) or "").partition("Examples:\n")
    return about.strip(), textwrap.dedent(examples).splitlines()


def _width() -> int:
    """Return how many columns are used: those of the terminal or of COLUMNS, within limits."""
    return max(_NARROW, min(shutil.get_terminal_size().columns, _WIDE))


def _example(line: str) -> str:
    """Return an example, continued on further lines where it is too long; it can still be copied into a shell."""
    parts = textwrap.wrap(line, _width() - 6, break_on_hyphens=False, break_long_words=False, subsequent_indent="    ")
    return " \\\n".join(f"    {part}" for part in parts)


def columns(rows: Sequence[tuple[str, str]], least: int = 0) -> Iterator[str]:
    """Yield lines of two columns, the right one wrapped; a long left cell has a line of its own."""
    width = _width()
    left = max(least, *(len(cell) for cell, _ in rows if len(cell) <= width // 2 - 8), 8) + 4
    for cell, text in rows:
        lines = textwrap.wrap(text, width - left, break_on_hyphens=False, break_long_words=False) or [""]
        if len(cell) + 4 > left:
            yield f"  {cell}"
        else:
            yield f"  {cell:<{left - 2}}{lines.pop(0)}".rstrip()
        yield from (f"{'':<{left}}{line}" for line in lines)


def _fitting(text: str) -> list[str]:
    """Wrap paragraphs to the terminal's width; indented ones are commands and stay as they are."""
    width = _width()
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            lines += [paragraph, ""]
        else:
            lines += [*textwrap.wrap(paragraph, width, break_on_hyphens=False, break_long_words=False), ""]
    return lines[:-1]


def manual(root: Collection) -> str:
    """Return the manual page, tscm-migrate(1), as roff."""
    lines = [f'.TH TSCM-MIGRATE 1 "" "tscm-migrate {__version__}" "User Commands"', ".SH NAME"]
    lines += [r"tscm\-migrate \- migrate a ThreatSTOP Centralized Manager to a new appliance", ".SH SYNOPSIS"]
    lines += [".B tscm-migrate", ".I COMMAND", "[options]"]
    for title, names in groups(root).items():
        lines.append(f".SH {title.upper()}")
        for name in names:
            inner = [f"{name}.{action}" for action in root.collections[name].tasks] if name in root.collections else []
            for task in inner or [name]:
                lines += _manual_entry(root, task)
    codes = ", ".join(f"{int(code)} {code.name.lower().replace('_', ' ')}" for code in Exit)
    lines += [".SH EXIT STATUS", *_wrapped(f"{codes}.")]
    return "\n".join(lines) + "\n"


def _manual_entry(root: Collection, name: str) -> Iterator[str]:
    task = root[name]
    arguments = task.get_arguments()
    given = places(arguments, task)
    words = " ".join([name.replace(".", " "), *(placed(one, task) for one in given)])
    yield f".SS {_roff(words)}"
    about, examples = parts(task)
    for line in about.splitlines():
        yield from _wrapped(line) if line else [".PP"]
    yield from [".PP", ".nf", *(_roff(line) for line in examples), ".fi"] if examples else []
    for one in arguments:
        shown = placed(one, task) if one in given else flags(one, task)
        yield from [".TP", rf"\fB{_roff(shown)}\fR", *_wrapped(one.help or "")]


def _wrapped(text: str) -> list[str]:
    return [_roff(line) for line in textwrap.wrap(text, 72, break_on_hyphens=False)]


def _roff(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    text = re.sub(r"[^\x00-\x7f]", lambda sign: rf"\[u{ord(sign[0]):04X}]", text)
    return rf"\&{text}" if text.startswith((".", "'")) else text
