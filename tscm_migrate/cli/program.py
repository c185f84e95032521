"""`tscm-migrate` as an invoke Program: only our own options, errors with exit code 2 and the near-miss, `host pin`.

invoke's own core options (--dry, --debug, --echo, --warn-only…) would be taken without any effect on our tasks, so
they do not exist here: what is accepted means something.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from invoke.config import Config
from invoke.exceptions import Exit as InvokeExit
from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.program import Program
from invoke.terminals import pty_size

from tscm_migrate import __version__
from tscm_migrate.errors import UsageError
from tscm_migrate.tasks import namespace
from tscm_migrate.util.suggest import suggestion

from .main import TRACEBACK, say

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.parser.context import ParserContext

_ABOUT = "Move a ThreatSTOP Centralized Manager to a new appliance over SSH: safely, resumably, with proof."


def program() -> TscmProgram:
    """The program over our namespace."""
    return TscmProgram(namespace=namespace(), name="tscm-migrate", binary="tscm-migrate", version=__version__)


_RUN_MAY_FOLLOW = {"resume", "rollback", "report.open", "report.show", "devices.update", "verify", "host.adopt"}


class TscmProgram(Program):
    """invoke's Program with our manners."""

    namespace: Collection

    def core_args(self) -> list[Argument]:
        """The options that may stand before a task."""
        return [
            Argument(names=("help", "h"), optional=True, help="Show this help, or that of a task: --help TASK."),
            Argument(names=("list", "l"), kind=bool, default=False, help="List the tasks, one a line."),
            Argument(names=("version", "V"), kind=bool, default=False, help="Show the version."),
            Argument(names=("debug-traceback",), kind=bool, default=False, help="Show a traceback with an error."),
            Argument(names=("complete",), kind=bool, default=False, help="Print completions (for shells)."),
            Argument(names=("print-completion-script",), kind=str, default="", help="For bash, zsh or fish."),
        ]

    def create_config(self) -> None:
        """No configuration files of invoke's: the inventory is ours."""
        self.config = Config(lazy=True)

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002, FBT001, FBT002, ARG002
        """As invoke does, but with usage errors told as ours (exit code 2)."""
        try:
            self.create_config()
            self.parse_core(argv)
            self.parse_collection()
            self.parse_tasks()
            self.parse_cleanup()
            self.execute()
            sys.stdout.flush()
        except ParseError as error:
            sys.exit(say(self.usage_error(error), as_json=_wants_json(argv)))
        except UsageError as error:
            sys.exit(say(error, as_json=_wants_json(argv)))
        except InvokeExit as done:
            if done.message:
                print(done.message, file=sys.stderr)  # noqa: T201
            sys.stdout.flush()
            sys.exit(done.code)

    def normalize_argv(self, argv: list[str] | None) -> None:
        """`host pin NAME` is `host.pin NAME` to invoke."""
        words = list(sys.argv if argv is None else argv)
        first = next((i for i, word in enumerate(words[1:], start=1) if not word.startswith("-")), None)
        if first is not None and words[first] in self.namespace.collections:
            collection = words[first]
            inner = self.namespace.collections[collection].task_names
            action = words[first + 1] if first + 1 < len(words) else "--help"
            if action in {"--help", "-h"}:
                words = [words[0], "--help", collection]
            elif action not in inner:
                raise UsageError(
                    f"{collection!r} has no {action!r}{suggestion(action, inner)}", _what(collection, inner)
                )
            else:
                words[first : first + 2] = [f"{collection}.{action}"]
        if first is not None and words[first] in _RUN_MAY_FOLLOW:
            wanting = {
                f"--{one.name.replace('_', '-')}"
                for one in self.namespace[words[first]].get_arguments()
                if one.takes_value
            }
            words[first + 1 :] = _named(words[first + 1 :], wanting)
        if first is not None and words[first] == "prompts.explain":
            words[first + 1 :] = _each_set(words[first + 1 :])
        if first is not None and {"--help", "-h"} & set(words[first + 1 :]):
            words = [words[0], "--help", words[first]]  # before a missing positional takes it for its value
        if words[1:] in (["help"], ["help", "help"]):
            words[1:] = ["--help"]
        super().normalize_argv(words)

    def parse_core(self, argv: list[str] | None) -> None:
        """Handle what needs no task."""
        self.normalize_argv(argv)
        self.parse_core_args()
        if self.args.version.value:
            self.print_version()
            raise InvokeExit
        if self.args["print-completion-script"].value:
            from invoke.completion.complete import print_completion_script

            print_completion_script(shell=self.args["print-completion-script"].value, names=["tscm-migrate"])
            raise InvokeExit

    def parse_tasks(self) -> None:
        """As invoke does; where a number is none, it names the option."""
        try:
            super().parse_tasks()
        except ValueError as error:
            found = re.search(r"'(.*)'\Z", str(error), re.DOTALL)
            value = found[1] if found else ""
            given = " ".join(self.core.unparsed)
            option = re.search(rf"(--[\w-]+)[= ]{re.escape(value)}(?: |\Z)", given)
            what = f"{option[1]} {value!r}" if option else repr(value)
            raise UsageError(f"{what} is no whole number", f"{self.binary} --help") from None

    def parse_cleanup(self) -> None:
        """Handle --help, --list and completion; without a task there is help."""
        if self.args["debug-traceback"].value:
            os.environ[TRACEBACK] = "1"
        if self.args.list.value:
            for name, about in self._tasks():
                print(f"{name:<24} {about}".rstrip())  # noqa: T201
            raise InvokeExit
        if self.args.complete.value:
            from invoke.completion.complete import complete

            complete(["tscm-migrate"], self.core, self.initial_context, self.collection, self._make_parser())
        asked = self.args.help.value
        if isinstance(asked, str) and asked:
            self.print_task_help(asked)
            raise InvokeExit
        if asked or not self.tasks:
            self.print_help()
            raise InvokeExit

    def print_help(self) -> None:
        """The front page."""
        print(f"Usage: {self.binary} TASK [options]\n\n{_ABOUT}\n\nTasks:")  # noqa: T201
        self.print_columns(self._tasks())
        print("Options:")  # noqa: T201
        shown = [a for a in self.core_args() if a.name not in {"complete", "print-completion-script"}]
        self.print_columns([(f"--{a.name}", a.help) for a in shown])
        print("Each task explains itself: tscm-migrate TASK --help")  # noqa: T201

    def print_task_help(self, name: str) -> None:
        """One task's page: usage, its docstring, its options; for a group of tasks, their list."""
        inner = self.namespace.collections.get(name)
        if inner is not None:
            print(f"Usage: {self.binary} {name} ACTION [options]\n\nActions:")  # noqa: T201
            self.print_columns([(n, about) for n, about in self._tasks() if n.startswith(f"{name} ")])
            return
        context = self.parser.contexts.get(name)
        if context is None:
            raise UsageError(f"there is no task {name!r}{suggestion(name, self._names())}", "tscm-migrate --list")
        positional = "".join(f" {a.name.upper()}" for a in context.positional_args)
        rows = context.help_tuples()
        options = [(flag.replace("=STRING", "=…"), text) for flag, text in rows if not _is_positional(flag, context)]
        arguments = [(a.name.upper(), a.help or "") for a in context.positional_args]
        suffix = " [options]" if options else ""
        print(f"Usage: {self.binary} {name.replace('.', ' ')}{positional}{suffix}\n")  # noqa: T201
        print("\n".join(_fitting(inspect.getdoc(self.collection[name]) or "")))  # noqa: T201
        print()  # noqa: T201
        for title, shown in (("Arguments", arguments), ("Options", options)):
            if shown:
                print(f"{title}:")  # noqa: T201
                self.print_columns(shown)

    def usage_error(self, error: ParseError) -> UsageError:
        """Invoke's parse error in our words, with the near one."""
        text = str(error.args[0] if error.args else error)
        context: ParserContext | None = getattr(error, "context", None)
        unknown = re.match(r"No idea what '(.*)' is!", text, re.DOTALL)
        name = context.name if context is not None else None
        shown = f"{self.binary} {name.replace('.', ' ')}" if name else self.binary
        if unknown and unknown[1].startswith("-"):
            flags = [*context.flags, *context.inverse_flags] if context is not None else []
            near = suggestion(unknown[1].partition("=")[0], flags)
            return UsageError(f"unknown option {unknown[1]!r}{near}", f"the options: {shown} --help")
        if unknown:
            what = f"{unknown[1]!r} is not expected here" if name else f"there is no task {unknown[1]!r}"
            return UsageError(what + ("" if name else suggestion(unknown[1], self._names())), f"{shown} --help")
        flag = re.match(r"Flag (?:'|<Argument: )(.*?)(?: .*)?(?:'|>) needed value", text)
        if flag:
            return UsageError(f"--{flag[1].strip('-_').replace('_', '-')} wants a value", f"{shown} --help")
        missing = re.search(r"positional arguments: (.*)$", text)
        if missing:
            names = missing[1].replace("'", "").upper()
            return UsageError(f"something is missing: {names}", f"{shown} --help")
        return UsageError(text, f"{shown} --help")

    def _names(self) -> list[str]:
        return [name for name, _ in self._tasks()] + list(self.namespace.collections)

    def _tasks(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for name in sorted(self.namespace.task_names):
            about: Any = inspect.getdoc(self.namespace[name]) or ""
            found.append((name.replace(".", " "), about.partition("\n")[0]))
        return found


def _each_set(words: list[str]) -> list[str]:
    """`--set a=1 b=2 -` as `--set a=1 --set b=2`: several values may follow, and a lone dash is the standard input."""
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


def _named(words: list[str], wanting: set[str]) -> list[str]:
    """`resume RUN` is `resume --run RUN` to invoke, which has no positional argument that may be left out.

    Args:
        words: what stands after the task.
        wanting: the options that take the next word for their value.
    """
    if any(word.partition("=")[0] == "--run" for word in words):
        return words
    for place, word in enumerate(words):
        if not word.startswith("-") and not (place and words[place - 1] in wanting):
            return [*words[:place], "--run", *words[place:]]
    return words


def _wants_json(argv: list[str] | None) -> bool:
    return "--json" in (sys.argv if argv is None else argv)


def _what(collection: str, inner: dict[str, Any]) -> str:
    return f"{collection} has: {', '.join(sorted(inner))}"


def _fitting(text: str) -> list[str]:
    """A docstring's paragraphs in the terminal's width; its examples as they are, to be copied."""
    about, title, examples = text.partition("Examples:\n")
    width = pty_size()[0]
    lines = []
    for paragraph in about.strip().split("\n\n"):
        lines += [*textwrap.wrap(paragraph, width, break_on_hyphens=False, break_long_words=False), ""]
    return [*lines, title + examples.rstrip()] if title else lines[:-1]


def _is_positional(spec: str, context: ParserContext) -> bool:
    return any(spec.split("=", maxsplit=1)[0] == f"--{a.name}" for a in context.positional_args)
