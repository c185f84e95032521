"""`plan`: what a migration would do, and what prevents it, without changing anything."""

from __future__ import annotations

from typing import Any

from tscm_migrate.options import MigrateOptions
from tscm_migrate.tasks.base import attended

from .migrate import inventory_of, migration_command

_LEFT_OUT = ("yes", "dry_run", "quiet", "verbose", "not_before", "not_after", "stage_at", "pause_before")


@migration_command(*_LEFT_OUT, more={"checks_only": "Only run the checks that `migrate` begins with."})
def plan(_context: Any, **given: Any) -> int:
    """Show what `migrate` would do with the same options.

    Shows the checks, the steps with their commands, and the estimated times. Changes nothing.

    Exit codes: 0, the migration can start; 2, the command line or the inventory is not valid; 3, a check failed.

    Examples:
        tscm-migrate plan --from tscm-old --to tscm-new
        tscm-migrate plan --from tscm-old --to tscm-new --checks-only --allow os-differs
        tscm-migrate plan --from tscm-old --to tscm-new --bypass-netconf --json
    """
    from tscm_migrate.migration import run
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.tasks.base import watcher
    from tscm_migrate.ui.operator import Terminal
    from tscm_migrate.ui.planview import PlanView

    checks_only = bool(given.pop("checks_only", False))
    options = MigrateOptions.parse({**given, "dry_run": True})
    site = inventory_of(options)
    view = PlanView()
    emit = watcher(as_json=True) if options.json else view
    secrets = Secrets(interactive=attended(), passphrase_file=options.passphrase_file, emit=emit)
    try:
        if checks_only:
            return int(run.check(options, inventory=site, secrets=secrets, emit=emit))
        operator = Terminal(attended=False)
        return int(run.migrate(options, inventory=site, secrets=secrets, emit=emit, operator=operator))
    finally:
        view.print()
