"""`runs`, `show`, `resume`, `rollback`, `forget`, `unlock`: what became of a run, and how to go on or back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError

from .base import INVENTORY_HELP, command

if TYPE_CHECKING:
    from collections.abc import Callable

_INVENTORY = "The inventory file (else the one that the run was begun with; see `migrate`)."
_COMMON = {
    "run": "The run's id (default: the newest unfinished one).",
    "yes": "Do not ask; needed without a terminal.",
    "passphrase_file": "A file with the archives' passphrase (else TSCM_PASSPHRASE, the inventory, keyring, a prompt).",
    "json": "Print events as JSON, one a line.",
    "quiet": "Print warnings, errors and the end only.",
    "verbose": "Print each command and each wait, too.",
    "inventory": _INVENTORY,
}


@command(help={"json": "Print JSON."})
def runs(_context: Any, json: bool = False) -> None:
    """List the runs that this workstation has made, the newest first.

    Examples:
        tscm-migrate runs
    """
    from dataclasses import asdict

    from tscm_migrate.migration import history
    from tscm_migrate.ui.console import as_it_is, as_json

    found = history.listing()
    if json:
        as_json([asdict(line) for line in found])
    else:
        as_it_is("\n".join(line.text() for line in found) or "no runs yet")


@command(positional=["run"], help={"run": "The run's id, as `runs` lists it.", "json": "Print JSON."})
def show(_context: Any, run: str, json: bool = False) -> None:
    """Show one run: what it did when, where it stands, and how to go on or back.

    Examples:
        tscm-migrate show 20240501-030000-1a2b
    """
    from tscm_migrate.migration import history
    from tscm_migrate.ui.console import as_json, say

    if json:
        as_json(history.as_dict(run))
        return
    told, damage = history.lines(run)
    say("\n".join(told))
    if damage is not None:
        raise damage


@command(help=_COMMON)
def resume(
    _context: Any,
    run: str | None = None,
    yes: bool = False,
    passphrase_file: str | None = None,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    inventory: str | None = None,
) -> int:
    """Go on with a run that was interrupted; both appliances are asked first what is true.

    Examples:
        tscm-migrate resume
        tscm-migrate resume 20240501-030000-1a2b --yes
    """
    from tscm_migrate.migration.resume import resume as body

    shown = {"as_json": json, "quiet": quiet, "verbose": verbose}
    return _start(body, run, verb="resume", yes=yes, passphrase_file=passphrase_file, shown=shown, inventory=inventory)


@command(help=_COMMON)
def rollback(
    _context: Any,
    run: str | None = None,
    yes: bool = False,
    passphrase_file: str | None = None,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    inventory: str | None = None,
) -> int:
    """Take back what a run has changed, the last step first; says beforehand what that is.

    Examples:
        tscm-migrate rollback
        tscm-migrate rollback 20240501-030000-1a2b --yes
    """
    from tscm_migrate.migration.rollback import rollback as body

    shown = {"as_json": json, "quiet": quiet, "verbose": verbose}
    return _start(
        body, run, verb="roll back", yes=yes, passphrase_file=passphrase_file, shown=shown, inventory=inventory
    )


@command(
    positional=["run"],
    help={"run": "The run's id, as `runs` lists it.", "yes": _COMMON["yes"], "inventory": _INVENTORY},
)
def forget(_context: Any, run: str, yes: bool = False, inventory: str | None = None) -> int:
    """Give up the way back of a run that went through: remove what the new one was before from it.

    Examples:
        tscm-migrate forget 20240501-030000-1a2b --yes
    """
    from tscm_migrate.migration.rollback import forget as body

    shown = {"as_json": False}
    return _start(body, run, verb="forget", yes=yes, passphrase_file=None, shown=shown, inventory=inventory)


@command(
    positional=["host"],
    help={"host": "The appliance.", "force": "Remove the lock of a run that cannot be proved dead from here.",
          "inventory": INVENTORY_HELP},
)  # fmt: skip
def unlock(_context: Any, host: str, force: bool = False, inventory: str | None = None) -> int:
    """Say which run has an appliance locked since when, and remove the lock if that run is surely dead.

    Examples:
        tscm-migrate unlock tscm-old
    """
    from tscm_migrate import inventory as inventories
    from tscm_migrate.migration import locks as room
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui import watcher

    site = inventories.load(Path(inventory) if inventory else None)
    emit = watcher(as_json=False)
    return int(room.unlock(site.host(host), secrets=Secrets(emit=emit), emit=emit, force=force))


def _start(body: Callable[..., Any], run: str | None, *, verb: str, yes: bool, passphrase_file: str | None,
           shown: dict[str, bool], inventory: str | None) -> int:  # fmt: skip
    from tscm_migrate import inventory as inventories
    from tscm_migrate.migration.resume import inventory_of
    from tscm_migrate.notify import telling
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui import watcher
    from tscm_migrate.ui.live_pause import ask_unseen, keys_unseen
    from tscm_migrate.ui.operator import Terminal

    interactive = sys.stdin is not None and sys.stdin.isatty()
    if not (interactive or yes):
        raise UsageError("there is no terminal to ask on", "give --yes to go on without being asked")
    site = inventories.load(Path(inventory) if inventory else inventory_of(run, verb=verb))
    file = Path(passphrase_file) if passphrase_file else None
    operator = Terminal(attended=interactive and not yes)
    with keys_unseen(), telling(watcher(**shown), site.extras.get("notify", {})) as emit:
        secrets = Secrets(interactive=interactive, passphrase_file=file, ask=ask_unseen, emit=emit)
        return int(body(run, inventory=site, secrets=secrets, emit=emit, operator=operator, yes=yes))
