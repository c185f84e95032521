"""What all commands share: names and old names, options and their help, exit codes, confirmation, the view of a run.

`command` makes a task of a function, with an exit code for each error, also under plain `invoke`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from invoke.context import Context
from invoke.exceptions import Exit as InvokeExit
from invoke.parser.argument import Argument
from invoke.tasks import Task, task

from tscm_migrate.cli import failures
from tscm_migrate.errors import Cancelled, Unconfirmed, UsageError
from tscm_migrate.events import Emit
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.secrets import Secrets
from tscm_migrate.ui.console import Steady
from tscm_migrate.util.private import expanded

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Session
    from tscm_migrate.ui.operator import Terminal

# Options that mean the same in every command: parameter → name of its value, help.
SHARED: dict[str, tuple[str, str]] = {
    "inventory": ("FILE", "Inventory file (default: TSCM_INVENTORY, ./inventory/hosts.toml, or your config folder)."),
    "host": ("HOST", "The appliance: a name in the inventory, or [user@]address[:port]."),
    "group": ("GROUP", "All hosts of a group in the inventory."),
    "run": ("RUN", "ID of the run, as `run list` shows it (default: the newest)."),
    "json": ("", "Print JSON."),
    "yes": ("", "Don't ask for confirmation (required without a terminal)."),
    "quiet": ("", "Print warnings, errors and the result only."),
    "verbose": ("", "Also print each command and each wait."),
    "passphrase_file": (
        "FILE", "File with the archives' passphrase (default: TSCM_PASSPHRASE, the inventory, the keyring, a prompt)."
    ),
    "store": ("URL", "URL or folder of the store (default: `store` in [offsite] of the inventory)."),
    "limit": ("RATE", "Limit the transfer to this many bytes a second, e.g. 20M."),
    "copy": ("COPY", "The copy: latest, its ID, or the name of its archive."),
}  # fmt: skip
HOST_HELP = SHARED["host"]
SHORT = {"inventory": "i", "yes": "y", "quiet": "q", "verbose": "v"}


class CommandTask(Task[Any]):
    """A task with short options, named values, and a positional argument that may be left out.

    `trailing` is the parameter that takes words without an option, or "". `values` has the name of each option's value.
    `subjects` has the titles under which the help shows the options: title → options; "Options" for all others.
    """

    trailing: str = ""
    values: Mapping[str, str] = {}
    subjects: Mapping[str, Sequence[str]] = {}

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the options; more than once, although invoke forgets their help at the first time."""
        kept = dict(self.help)
        try:
            arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        finally:
            self.help = kept
        return arguments

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """Return invoke's description of an option, with its short form."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in SHORT:
            options["names"] = [*options["names"], SHORT[name]]
        return options


def option_name(argument: Argument) -> str:
    """Return an option's long name as it is typed, without the dashes."""
    return str(argument.names[0])


def command(
    *,
    help: Mapping[str, Sequence[str]] | None = None,  # noqa: A002 - invoke's own word
    positional: Sequence[str] = (),
    trailing: str = "",
    iterable: Sequence[str] = (),
    name: str | None = None,
    subjects: Mapping[str, Sequence[str]] | None = None,
) -> Callable[[Callable[..., Any]], Task[Any]]:
    """Make a task of a function that returns an exit code or None.

    Args:
        help: by parameter: the help, or a tuple of the value's name and the help. For parameters of SHARED it may be
            left out.
        positional: parameters that are given without an option's name, in this order.
        trailing: a parameter that may be given without its option's name, or left out.
        iterable: parameters whose option may be repeated.
        name: the task's name, if the function's name would be a Python keyword.
        subjects: see `CommandTask`.
    """

    def wrap(body: Callable[..., Any]) -> Task[Any]:
        @functools.wraps(body)
        def run(context: Context, *args: Any, **kwargs: Any) -> None:
            status = failures.guarded(_checked(body), context, *args, **kwargs)
            if status:
                raise InvokeExit(code=status)

        texts, values = _described(body, help or {}, iterable)
        made: Any = task(
            run, klass=CommandTask, name=name, help=texts, positional=list(positional), iterable=list(iterable),
            auto_shortflags=False,
        )  # fmt: skip
        made.trailing, made.values, made.subjects = trailing, values, subjects or {}
        return cast("Task[Any]", made)

    return wrap


def _described(
    body: Callable[..., Any], given: Mapping[str, Sequence[str]], iterable: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return help and value names by option, with defaults and repeatable options marked."""
    texts: dict[str, str] = {}
    values: dict[str, str] = {}
    _, *parameters = inspect.signature(body).parameters.values()
    for one in parameters:
        option = one.name.strip("_").replace("_", "-")
        chosen = given.get(one.name, SHARED.get(one.name, ""))
        value, text = ("", chosen) if isinstance(chosen, str) else chosen
        values[option] = value or SHARED.get(one.name, ("", ""))[0] or option.rpartition("-")[2].upper()
        if one.name in iterable and "repeatable" not in text:
            text = f"{text.removesuffix('.')} (repeatable)."
        if type(one.default) in {str, int} and one.default != "" and "default" not in text:
            text = f"{text.removesuffix('.')} (default: {one.default})."
        if text:
            texts[option] = text
    return texts, values


def _check_passphrase_file(given: str) -> None:
    """Refuse a file that does not exist before anything is asked or connected; it may be a pipe."""
    path = expanded(given)
    is_folder = os.path.isdir(path)  # noqa: PTH112 - Path's methods raise for a name that is too long
    if is_folder or not os.path.exists(path):  # noqa: PTH110
        why = "it is a folder" if is_folder else "there is no such file"
        fix = "name a readable file that holds the passphrase in one line"
        raise UsageError(f"--passphrase-file {given} cannot be read: {why}", fix)


def _checked(body: Callable[..., Any]) -> Callable[..., Any]:
    # invoke does not know required options: it passes None for one that was not given
    _, *others = inspect.signature(body).parameters.values()
    needed = [one.name for one in others if one.default is one.empty and one.kind is not one.VAR_KEYWORD]

    def run(context: Context, *args: Any, **kwargs: Any) -> Any:
        # Plain `invoke TASK --dry` sets a switch of invoke's that has no meaning here: it must not pass for --dry-run.
        if context.config.run.dry:
            raise UsageError("--dry is an option of invoke and has no effect here", "use --dry-run")
        for name in needed:
            if kwargs.get(name) is None:
                raise UsageError(f"missing option: --{name.replace('_', '-')}", f"tscm-migrate {body.__name__} --help")
        if kwargs.get("quiet") and kwargs.get("verbose"):
            raise UsageError("--quiet and --verbose exclude each other", "leave one of them out")
        if kwargs.get("passphrase_file"):
            _check_passphrase_file(kwargs["passphrase_file"])
        return body(context, *args, **kwargs)

    return run


def site_of(inventory: str | Path | None) -> Inventory:
    """Read the inventory that --inventory names; without it, the one of TSCM_INVENTORY, of this folder or of the user.

    Raises:
        InventoryError: it is not valid, or there is no such file.
    """
    from tscm_migrate.inventory.read import load

    return load(Path(inventory) if inventory else None)


@contextlib.contextmanager
def session(
    site: Inventory,
    shown: Emit,
    *,
    yes: bool,
    passphrase_file: str | Path | None = None,
    operator: Terminal | None = None,
    notify: bool = True,
) -> Iterator[Session]:
    """Yield what a run is worked on with.

    `operator` answers questions; None: the terminal, unless `yes` is set. `notify`: also send notifications.
    """
    from tscm_migrate.migration.context import Session
    from tscm_migrate.notify import telling
    from tscm_migrate.ui.operator import Terminal, ask_unseen, keys_unseen

    with keys_unseen(), telling(shown, site.extras.get("notify", {}) if notify else {}) as emit:
        file = Path(passphrase_file) if passphrase_file else None
        secrets = Secrets(interactive=attended(), passphrase_file=file, ask=ask_unseen, emit=emit)
        yield Session(site, secrets, emit, operator or Terminal(attended=attended() and not yes))


def attended() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin is not None and sys.stdin.isatty()


def require_terminal(*, yes: bool, otherwise: str = "add --yes") -> None:
    """Refuse a command that would ask, before it does anything.

    Raises:
        UsageError: neither a terminal nor --yes.
    """
    if not yes and not attended():
        raise UsageError("not running in a terminal, so can't ask for confirmation", otherwise)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question, unless it was answered by --yes.

    Raises:
        UsageError: no terminal. Cancelled: the user declined.
    """
    from tscm_migrate.ui.operator import Terminal

    require_terminal(yes=yes)
    if not yes and not Terminal(attended=True).confirm(question):
        raise Cancelled


def agreed(question: str, words: list[str], *, yes: bool) -> bool:
    """Return whether the user agrees to what would be done; `words` are the command that does it without asking.

    Raises:
        Unconfirmed: no terminal.
    """
    from tscm_migrate.ui.operator import Terminal

    if yes:
        return True
    if not attended():
        raise Unconfirmed(question.rstrip("?"), shlex.join(["tscm-migrate", *words]))
    return Terminal(attended=True).confirm(question)


# The front page of the help: title → commands and groups of commands. Others are under "More".
GROUPS = {
    "Set up": ("init", "doctor", "host", "secret"),
    "Migrate": ("plan", "rehearse", "migrate", "resume", "rollback", "run", "campaign", "demo"),
    "After a migration": ("verify", "devices", "report"),
    "Backups": ("archive", "offsite", "schedule"),
    "More": ("prompts", "cluster", "support", "completion", "man"),
}
# What each group of commands is for.
ABOUT = {
    "archive": "Archives on an appliance",
    "campaign": "Many migrations, in waves",
    "cluster": "Clusters of workstations",
    "devices": "Devices of an appliance",
    "host": "Hosts and their SSH keys",
    "offsite": "Copies of archives off-site",
    "prompts": "Questions of tsadmin",
    "report": "Reports as evidence",
    "run": "Runs of this workstation",
    "secret": "Secrets in the keyring",
    "support": "Files for a bug report",
}
# Old name → new name. They work for one release and print one line with the new name.
RENAMED = {
    "archives": "archive list",
    "backup": "archive create",
    "check": "plan --checks-only",
    "forget": "run discard",
    "manual": "man",
    "pull": "archive pull",
    "push": "archive push",
    "report open": "run report",
    "report show": "run report --text",
    "runs": "run list",
    "secret forget": "secret delete",
    "show": "run show",
    "unlock": "run unlock",
}
# Command → old option → new option; "" holds for every command.
RENAMED_OPTIONS = {
    "": {"--debug-traceback": "--traceback"},
    "cluster": {"--days": "--valid"},
    "doctor": {"--offline": "--local"},
    "schedule": {"--days": "--older"},
}


def watcher(*, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> Emit:
    """Return the observer that fits the output; it also keeps the run's commands, and writes the report at the end.

    It keeps working when the terminal or the pipe is closed.
    """
    from tscm_migrate.migration.recorder import Recorder
    from tscm_migrate.ui import lines
    from tscm_migrate.ui.run_report import render

    return Recorder(Steady(lines.json_lines if as_json else _shown(quiet=quiet, verbose=verbose)), render)


def _shown(*, quiet: bool, verbose: bool) -> Emit:
    from tscm_migrate.ui import lines

    stream = sys.stdout
    if not (quiet or verbose) and stream is not None and stream.isatty():
        from tscm_migrate.ui.live import LiveView, fits

        if fits():
            return LiveView()
    return lines.Plain(quiet=quiet, verbose=verbose)
