"""`resume`, `rollback` and `run list|show|report|discard|unlock`: runs of this workstation."""

import inspect
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task

from tscm_migrate.secrets import Secrets
from tscm_migrate.tasks.base import command, require_terminal, session, site_of, watcher
from tscm_migrate.ui.console import as_it_is, as_json, say

_OPTIONS = {
    "run": ("RUN", "ID of the run (default: the newest unfinished one)."),
    "json": "Print events as JSON, one object on each line.",
    "inventory": ("FILE", "Inventory file (default: the one that the run was started with)."),
}


def collection() -> Collection:
    """Return the commands below `run`."""
    return Collection("run", listed, show, report, discard, unlock)


@command(name="list")
def listed(_context: Any, json: bool = False) -> None:
    """List the runs of this workstation, newest first.

    Examples:
        tscm-migrate run list
    """
    from tscm_migrate.migration import run_list

    runs = run_list.listing()
    if json:
        as_json([asdict(line) for line in runs])
    else:
        as_it_is("\n".join(line.text() for line in runs) or "no runs yet")


@command(trailing="run")
def show(_context: Any, run: str | None = None, json: bool = False) -> None:
    """Show a run's log and status, and how to resume it or roll it back.

    Examples:
        tscm-migrate run show
        tscm-migrate run show 20240501-030000-1a2b --json
    """
    from tscm_migrate.migration import history
    from tscm_migrate.migration import report as reports

    chosen = reports.find(run)
    if json:
        as_json(history.as_dict(chosen))
        return
    lines, damage = history.lines(chosen)
    say("\n".join(lines))
    if damage is not None:
        raise damage


@command(
    trailing="run",
    help={
        "text": "Print a summary instead: outcome, times, steps, what is left to do.",
        "json": "Print the report as JSON instead.",
        "print_path": "Only print where the report is.",
    },
)
def report(
    _context: Any, run: str | None = None, text: bool = False, json: bool = False, print_path: bool = False
) -> None:
    """Write a run's HTML report again and open it in the browser.

    Examples:
        tscm-migrate run report
        tscm-migrate run report --text
        tscm-migrate run report 20240501-030000-1a2b --print-path
    """
    import webbrowser

    from tscm_migrate.migration import report as reports
    from tscm_migrate.ui import run_report

    chosen = reports.find(run)
    if json:
        as_json(reports.read(chosen))
    elif text:
        say("\n".join(run_report.text_lines(reports.read(chosen))))
    else:
        path = reports.write(chosen, run_report.render)
        as_it_is(str(path))
        if not print_path:
            webbrowser.open(path.absolute().as_uri())


def _start(
    body: Callable[..., Any], verb: str, run: str | None = None, yes: bool = False, passphrase_file: str | None = None,
    json: bool = False, quiet: bool = False, verbose: bool = False, inventory: str | None = None,
) -> int:  # fmt: skip
    from tscm_migrate.migration.resume import inventory_of

    shown = watcher(as_json=json, quiet=quiet, verbose=verbose)
    known = inventory_of(run, verb=verb, given=inventory)  # refuses an unknown run
    site = site_of(known)
    require_terminal(yes=yes)
    with session(site, shown, yes=yes, passphrase_file=passphrase_file) as opened:
        return int(body(run, opened, yes=yes))


def _again(body: Callable[..., int]) -> Task[Any]:
    """Make a task of a function that takes keywords: it gets the options of `_start`."""
    context = inspect.Parameter("_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    _, _, *options = inspect.signature(_start).parameters.values()
    body.__signature__ = inspect.Signature([context, *options])  # type: ignore[attr-defined]
    return command(trailing="run", help=_OPTIONS)(body)


@_again
def resume(_context: Any, **given: Any) -> int:
    """Continue an interrupted run.

    Checks the actual state of both appliances first.

    Examples:
        tscm-migrate resume
        tscm-migrate resume 20240501-030000-1a2b --yes
    """
    from tscm_migrate.migration.resume import resume as body

    return _start(body, "resume", **given)


@_again
def rollback(_context: Any, **given: Any) -> int:
    """Undo a run, newest step first.

    Lists the changes that it will undo, and asks before it starts.

    Examples:
        tscm-migrate rollback
        tscm-migrate rollback 20240501-030000-1a2b --yes
    """
    from tscm_migrate.migration.rollback import rollback as body

    return _start(body, "roll back", **given)


@command(
    positional=["run"],
    help={"run": ("RUN", "ID of the run, as `run list` shows it."), "inventory": _OPTIONS["inventory"]},
)
def discard(_context: Any, run: str, yes: bool = False, inventory: str | None = None) -> int:
    """Discard the rollback data of a finished run.

    Deletes it from the new appliance. A rollback is no longer possible afterwards.

    Examples:
        tscm-migrate run discard 20240501-030000-1a2b --yes
    """
    from tscm_migrate.migration.rollback import forget as body

    return _start(body, "discard", run, yes=yes, inventory=inventory)


@command(positional=["host"], help={"force": "Remove the lock of a run that cannot be proved dead from here."})
def unlock(_context: Any, host: str, force: bool = False, inventory: str | None = None) -> int:
    """Show who has locked an appliance, and remove a dead run's lock.

    A lock is removed if its run is known to be dead.

    Examples:
        tscm-migrate run unlock tscm-old
    """
    from tscm_migrate.migration import locks

    emit = watcher()
    return int(locks.unlock(site_of(inventory).host(host), secrets=Secrets(emit=emit), emit=emit, force=force))
