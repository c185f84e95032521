"""`plan` and `check`: what a migration would do, and what stands in its way, without changing anything."""

from __future__ import annotations

import sys
from typing import Any

from . import migrate as main
from .base import command

_LEFT_OUT = ("yes", "dry_run", "quiet", "verbose", "not_before", "not_after", "stage_at", "pause_before")


_HELP = {name: text for name, text in main.HELP.items() if name not in _LEFT_OUT}


@command(help=_HELP, iterable=["allow"])
@main.with_options(*_LEFT_OUT)
def plan(_context: Any, **given: Any) -> int:
    """Show what `migrate` would do with the same options: checks, steps, commands, estimates; nothing is changed.

    Exit codes: 0, it could start; 2, the command line or the inventory is wrong; 3, a check refuses.

    Examples:
        tscm-migrate plan --from tscm-old --to tscm-new
        tscm-migrate plan --from tscm-old --to tscm-new --bypass-netconf --json
    """
    return _look("plan", given)


@command(help=_HELP, iterable=["allow"])
@main.with_options(*_LEFT_OUT)
def check(_context: Any, **given: Any) -> int:
    """Run the checks that `migrate` begins with, as often as you like; nothing is changed.

    Exit codes: 0, nothing stands in the way; 2, the command line or the inventory is wrong; 3, a check refuses.

    Examples:
        tscm-migrate check --from tscm-old --to tscm-new
        tscm-migrate check --from tscm-old --to tscm-new --allow os-differs
    """
    return _look("check", given)


def _look(what: str, given: dict[str, Any]) -> int:
    from tscm_migrate import inventory
    from tscm_migrate.migration import run
    from tscm_migrate.options import MigrateOptions
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui import watcher
    from tscm_migrate.ui.operator import Terminal
    from tscm_migrate.ui.planview import PlanView

    options = MigrateOptions.parse({**given, "dry_run": True})
    site = inventory.load(options.inventory)
    for spec in filter(None, (options.from_, options.to)):
        site.host(spec)
    view = PlanView()
    emit = watcher(as_json=True) if options.json else view
    interactive = sys.stdin is not None and sys.stdin.isatty()
    secrets = Secrets(interactive=interactive, passphrase_file=options.passphrase_file, emit=emit)
    try:
        if what == "check":
            return int(run.check(options, inventory=site, secrets=secrets, emit=emit))
        operator = Terminal(attended=False)
        return int(run.migrate(options, inventory=site, secrets=secrets, emit=emit, operator=operator))
    finally:
        view.print()
