"""The one way to make a task: errors become exit codes in `tscm_migrate.cli.main`, also under plain `invoke`."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

from invoke.exceptions import Exit as InvokeExit
from invoke.tasks import Task, task

from tscm_migrate.cli import main
from tscm_migrate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from invoke.context import Context
    from invoke.parser.argument import Argument

INVENTORY_HELP = "The inventory file (else TSCM_INVENTORY, ./inventory/hosts.toml, the user's config folder)."
HOST_HELP = "The appliance, as the inventory names it, or user@address[:port]."


class Remembering(Task[Any]):
    """A task that can be asked for its options more than once; invoke's own forgets their help at the first time."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """See invoke."""
        kept = dict(self.help)
        try:
            found: list[Argument] = super().get_arguments(ignore_unknown_help)
        finally:
            self.help = kept
        return found


def command(
    *,
    help: Mapping[str, str] | None = None,  # noqa: A002 - invoke's own word
    positional: Sequence[str] = (),
    iterable: Sequence[str] = (),
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Task[Any]]:
    """Make a task of a function that returns an exit code or None.

    Args:
        help: a line for each option, by parameter name.
        positional: parameters that are given without a flag; all others are flags without a short form.
        iterable: parameters whose flag may be repeated.
        name: the task's name where the function's would be a Python keyword.
    """

    def wrap(body: Callable[..., Any]) -> Task[Any]:
        @functools.wraps(body)
        def run(context: Context, *args: Any, **kwargs: Any) -> None:
            status = main.guarded(_checked(body), context, *args, **kwargs)
            if status:
                raise InvokeExit(code=status)

        keyed = {key.strip("_").replace("_", "-"): text for key, text in (help or {}).items()}
        made: Any = task(
            run, klass=Remembering, name=name, help=keyed, positional=list(positional), iterable=list(iterable),
            auto_shortflags=False,
        )  # fmt: skip
        return cast("Task[Any]", made)

    return wrap


def _checked(body: Callable[..., Any]) -> Callable[..., Any]:
    # invoke knows nothing of an option that is needed: it hands over None for one that was not given
    _, *others = inspect.signature(body).parameters.values()
    needed = [one.name for one in others if one.default is one.empty and one.kind is not one.VAR_KEYWORD]

    def run(context: Context, *args: Any, **kwargs: Any) -> Any:
        # Plain `invoke TASK --dry` sets a switch of invoke's that has no meaning here: it must not pass for --dry-run.
        if context.config.run.dry:
            raise UsageError("--dry is invoke's own option and would change nothing here", "say --dry-run")
        for name in needed:
            if kwargs.get(name) is None:
                raise UsageError(f"--{name.replace('_', '-')} is missing", f"tscm-migrate {body.__name__} --help")
        if kwargs.get("quiet") and kwargs.get("verbose"):
            raise UsageError("--quiet and --verbose exclude each other", "leave one of them out")
        return body(context, *args, **kwargs)

    return run
