"""`tscm-migrate` as a program of invoke: our own options, our help, and usage errors with exit code 2.

The options of invoke itself (--dry, --echo, --warn-only …) would have no effect on our commands, so they do not exist.
"""

import os
import re
import sys
from typing import Any

from invoke.collection import Collection
from invoke.config import Config
from invoke.exceptions import Exit as InvokeExit
from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.program import Program

from tscm_migrate import __version__
from tscm_migrate.cli import arguments, completion
from tscm_migrate.cli import help_pages as pages
from tscm_migrate.cli.failures import TRACEBACK, say
from tscm_migrate.errors import UsageError
from tscm_migrate.tasks.tree import namespace
from tscm_migrate.util.text import suggestion


def program() -> "TscmProgram":
    """Return the program over our command tree."""
    return TscmProgram(namespace=namespace(), name="tscm-migrate", binary="tscm-migrate", version=__version__)


class TscmProgram(Program):
    """invoke's Program with our options, help and errors."""

    namespace: Collection

    def core_args(self) -> list[Argument]:
        """Return the options that need no command."""
        return [
            Argument(names=("help", "h"), optional=True),
            Argument(names=("list", "l"), kind=bool, default=False),
            Argument(names=("version", "V"), kind=bool, default=False),
            Argument(names=("traceback",), kind=bool, default=False),
        ]

    def create_config(self) -> None:
        """Read none of invoke's configuration files."""
        self.config = Config(lazy=True)

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002, FBT001, FBT002, ARG002
        """Parse and run; usage errors end with exit code 2."""
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
        """Rewrite the command line as invoke reads it."""
        first, *words = sys.argv if argv is None else argv
        super().normalize_argv([first, *arguments.for_invoke(words, self.namespace)])

    def parse_core(self, argv: list[str] | None) -> None:
        """Handle what needs no command."""
        words = (sys.argv if argv is None else argv)[1:]
        if words[:1] == ["__complete"]:
            for line in completion.candidates(words[1:], self.namespace):
                print(line)  # noqa: T201
            raise InvokeExit
        self.normalize_argv(argv)
        self.parse_core_args()
        if self.args.version.value:
            self.print_version()
            raise InvokeExit

    def parse_tasks(self) -> None:
        """Parse as invoke does; name the option if a value is not a number."""
        try:
            super().parse_tasks()
        except ValueError as error:
            match = re.search(r"'(.*)'\Z", str(error), re.DOTALL)
            value = match[1] if match else ""
            given = " ".join(self.core.unparsed)
            option = re.search(rf"(--[\w-]+)[= ]{re.escape(value)}(?: |\Z)", given)
            what = f"{option[1]} {value!r}" if option else repr(value)
            command = self.core.unparsed[0].replace(".", " ")
            raise UsageError(f"{what} is not a whole number", f"{self.binary} help {command}") from None

    def parse_cleanup(self) -> None:
        """Handle --help and --list; print the help if no command was given."""
        if self.args.traceback.value:
            os.environ[TRACEBACK] = "1"
        if self.args.list.value:
            for name in sorted(self.namespace.task_names):
                print(f"{name.replace('.', ' '):<24} {pages.first_line(self.namespace[name])}".rstrip())  # noqa: T201
            raise InvokeExit
        asked = self.args.help.value
        if isinstance(asked, str) and asked:
            self.print_task_help(asked)
            raise InvokeExit
        if asked or not self.tasks:
            print(pages.front(self.namespace))  # noqa: T201
            raise InvokeExit

    def print_task_help(self, name: str) -> None:
        """Print the page of a command or of a group of commands."""
        if name in self.namespace.collections:
            print(pages.group(self.namespace, name))  # noqa: T201
            return
        if name not in self.namespace.task_names:
            raise UsageError(f"unknown command {name!r}{suggestion(name, self._names())}", "tscm-migrate --list")
        print(pages.command(self.namespace[name], name.replace(".", " ")))  # noqa: T201

    def usage_error(self, error: ParseError) -> UsageError:
        """Return invoke's parse error in our words, with a similar name."""
        text = str(error.args[0] if error.args else error)
        context: ParserContext | None = getattr(error, "context", None)
        name = context.name if context is not None else None
        shown = f"{self.binary} {name.replace('.', ' ')}" if name else self.binary
        page = f"{shown} --help"
        if unknown := re.match(r"No idea what '(.*)' is!", text, re.DOTALL):
            return self._unknown(unknown[1], context, page)
        if flag := re.match(r"Flag (?:'|<Argument: )(.*?)(?: .*)?(?:'|>) needed value", text):
            return UsageError(f"--{flag[1].strip('-_').replace('_', '-')} needs a value", page)
        if missing := re.search(r"positional arguments: (.*)$", text):
            values: dict[str, str] = getattr(self.namespace[name], "values", {}) if name else {}
            names = re.findall(r"'([^']+)'", missing[1])
            return UsageError(f"missing argument: {', '.join(values.get(one, one.upper()) for one in names)}", page)
        return UsageError(text, page)

    def _unknown(self, word: str, context: ParserContext | None, page: str) -> UsageError:
        if word.startswith("-"):
            flags = [*context.flags, *context.inverse_flags] if context is not None else []
            return UsageError(f"unknown option {word!r}{suggestion(word.partition('=')[0], flags)}", f"options: {page}")
        if context is not None and context.name:
            fix = f"use --from OLD --to NEW; options: {page}" if "--from" in context.flags else page
            return UsageError(f"unexpected argument {word!r}", fix)
        return UsageError(f"unknown command {word!r}{suggestion(word, self._names())}", page)

    def _names(self) -> list[str]:
        names: Any = self.namespace.task_names
        return [*(name.replace(".", " ") for name in names), *self.namespace.collections]


def _wants_json(argv: list[str] | None) -> bool:
    return "--json" in (sys.argv if argv is None else argv)
