"""`plan`, `rehearse` and `migrate`, which share their options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from invoke.tasks import Task

from tscm_migrate.errors import UsageError
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.options import MigrateOptions
from tscm_migrate.secrets import Secrets
from tscm_migrate.tasks.base import SHARED, attended, command, require_terminal, session, site_of, watcher
from tscm_migrate.tasks.several import check_pairs, number_of

if TYPE_CHECKING:
    from tscm_migrate.ui.operator import Terminal

# The titles of the help → the options below them, as they are typed.
SUBJECTS = {
    "Appliances and archive": ("from", "to", "archive", "store", "encrypt", "passphrase-file"),
    "Checks and rehearsal": ("dry-run", "checks-only", "group", "jobs", "allow", "rehearsal", "keep"),
    "Network settings": ("interface", "network", "bypass-netconf", "force-apply-netconf"),
    "Transfer": ("method", "route", "limit"),
    "Cutover": ("offline", "revert-after", "drain-timeout", "pause-before"),
    "Change window": ("not-before", "not-after", "stage-at"),
    "Restore": ("restore-ssh", "restore-cron", "devices", "update-packages"),
    "For the report": ("ticket", "approved-by"),
    "tsadmin": ("debug", "leave-tmp-files"),
}
_NOT_REHEARSED = ("yes", "dry_run", "rehearsal", "not_before", "not_after", "stage_at", "pause_before")


def _help() -> Iterator[tuple[str, tuple[str, str]]]:
    for one in fields(MigrateOptions):
        if text := one.metadata.get("help", ""):
            default = f" (default: {one.default})." if isinstance(one.default, str) and one.default else ""
            yield one.name, (one.metadata["value"], text.removesuffix(".") + default if default else text)
    yield from ((name, SHARED[name]) for name in ("quiet", "verbose"))


HELP = dict(_help())


def migration_command(
    *left_out: str, more: Mapping[str, str | tuple[str, str]] | None = None
) -> Callable[[Callable[..., int]], Task[Any]]:
    """Make a task of a function that takes keywords: it gets the options of `migrate`, but for those that are left out.

    `more` are its own options: parameter → help, with the name of the value if it is not a switch.
    """

    def decorate(body: Callable[..., int]) -> Task[Any]:
        own = {name: ("", text) if isinstance(text, str) else text for name, text in (more or {}).items()}
        chosen = [one for one in _parameters(own) if one.name not in left_out]
        context = inspect.Parameter("_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        body.__signature__ = inspect.Signature([context, *chosen])  # type: ignore[attr-defined]
        texts = {name: text for name, text in (HELP | own).items() if name in {one.name for one in chosen}}
        return command(help=texts, iterable=["allow"], subjects=SUBJECTS)(body)

    return decorate


def _parameters(own: Mapping[str, tuple[str, str]]) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each option: switches with their default; None for all others that are not given."""
    declared = {one.name: one.default for one in fields(MigrateOptions) if one.name in HELP}
    more = {name: None if value else False for name, (value, _) in own.items()}
    for name, default in (declared | more | dict.fromkeys(("quiet", "verbose"), False)).items():
        shown = default if isinstance(default, bool) else None
        yield inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=shown)


@migration_command()
def migrate(_context: Any, **given: Any) -> int:
    """Migrate a TSCM to a new appliance.

    Shows the plan and asks for confirmation once. Identifies and checks both appliances, pauses the updates of the old
    appliance, waits until no update runs, makes a backup, copies and verifies it, rehearses the restore on the new
    appliance, takes the old appliance offline, restores, reboots, restores again, updates every device, and writes a
    report.

    If the old appliance is dead, leave out --from: its newest off-site copy is restored. Its address must be free.

    Examples:
        tscm-migrate migrate --from tscm-old --to tscm-new --dry-run
        tscm-migrate migrate --from tscm-old --to tscm-new
        tscm-migrate migrate --from ann@10.1.1.43 --to ann@10.1.1.50:2222 --json
        tscm-migrate migrate --archive offsite:tscm-old/latest --to tscm-new
    """
    return _started(given)


_KEEP = "Keep the result: a migration within 7 days doesn't rehearse again, unless something has changed."


@migration_command(*_NOT_REHEARSED, more={"keep": _KEEP})
def rehearse(_context: Any, **given: Any) -> int:
    """Run a migration up to the cutover, then undo it.

    The old appliance stays in service. Pauses its updates, waits until no update runs, makes a backup, copies and
    verifies it, and restores it on the new appliance. Afterwards the estimated downtime, unknown questions of tsadmin
    and differences between the devices are known. The backup stays. Without a terminal an unknown question ends the
    rehearsal (exit code 3).

    At its end it lists what you have to prepare: devices to update manually, a DNS outage, hosts that send
    their syslog.

    Examples:
        tscm-migrate rehearse --from tscm-old --to tscm-new
        tscm-migrate rehearse --from tscm-old --to tscm-new --keep
    """
    return _started(given, only_rehearsal="rehearse")


def _started(given: dict[str, Any], *, only_rehearsal: str = "") -> int:
    quiet, verbose = bool(given.pop("quiet", False)), bool(given.pop("verbose", False))
    return start(MigrateOptions.parse(given), quiet=quiet, verbose=verbose, only_rehearsal=only_rehearsal)


def inventory_of(options: MigrateOptions) -> Inventory:
    """Read the inventory, and check that it has both appliances.

    Raises:
        InventoryError: an unknown host, or the file is not valid. UsageError: both names mean one host.
    """
    site = site_of(options.inventory)
    check_hosts(site, options)
    return site


def check_hosts(site: Inventory, options: MigrateOptions) -> None:
    """Check that the inventory has both appliances; raises as `inventory_of`."""
    new = site.host(options.to)
    if options.from_:
        old = site.host(options.from_)
        if (old.address, old.port, old.gateway) == (new.address, new.port, new.gateway):
            raise UsageError(
                f"--from {options.from_} and --to {options.to} are the same host, {new.address} port {new.port}",
                "name two different hosts; list them: tscm-migrate host list",
            )


def start(
    options: MigrateOptions, *, quiet: bool = False, verbose: bool = False, only_rehearsal: str = "",
    operator: Terminal | None = None,
) -> int:  # fmt: skip
    """Read the inventory, prepare the secrets, and hand over to the migration; `operator` as for `session`."""
    from tscm_migrate.migration import run

    site = inventory_of(options)
    options = run.with_fixed_end(options, site.policy.zone, datetime.now(UTC))
    unasked = options.yes or options.dry_run or bool(only_rehearsal)
    require_terminal(yes=unasked, otherwise="add --yes, or show the plan with --dry-run")
    shown = watcher(as_json=options.json, quiet=quiet, verbose=verbose)
    with session(site, shown, yes=options.yes, passphrase_file=options.passphrase_file, operator=operator) as opened:
        if options.has_window and not options.dry_run and not only_rehearsal:
            return int(run.migrate_in_window(options, opened))
        return int(run.migrate(options, opened, only_rehearsal=only_rehearsal))


_NOT_OF_A_PLAN = ("yes", "dry_run", "quiet", "verbose", "not_before", "not_after", "stage_at", "pause_before")
_OF_A_PLAN: dict[str, str | tuple[str, str]] = {
    "checks_only": "Only run the checks that `migrate` begins with.",
    "group": ("GROUP", "With --checks-only, instead of --from or --to: each host of this group in the inventory."),
    "jobs": ("N", "With --group: number of hosts at once (default: 4)."),
}


@migration_command(*_NOT_OF_A_PLAN, more=_OF_A_PLAN)
def plan(_context: Any, **given: Any) -> int:
    """Show what `migrate` would do with the same options.

    Shows the checks, the steps with their commands, and the estimated times. Changes nothing.

    Exit codes: 0, the migration can start; 2, the command line or the inventory is not valid; 3, a check failed.

    Examples:
        tscm-migrate plan --from tscm-old --to tscm-new
        tscm-migrate plan --from tscm-old --to tscm-new --checks-only
        tscm-migrate plan --from tscm-old --to tscm-new --bypass-netconf --json
        tscm-migrate plan --checks-only --group branches --to tscm-new
    """
    from tscm_migrate.migration import run
    from tscm_migrate.migration.context import Session
    from tscm_migrate.ui.operator import Terminal
    from tscm_migrate.ui.planview import PlanView

    checks_only, group, jobs = bool(given.pop("checks_only", False)), given.pop("group", None), given.pop("jobs", None)
    if group is not None:
        return _plan_group(given, str(group), jobs, checks_only=checks_only)
    options = MigrateOptions.parse({**given, "dry_run": True})
    site = inventory_of(options)
    view = PlanView()
    emit = watcher(as_json=True) if options.json else view
    secrets = Secrets(interactive=attended(), passphrase_file=options.passphrase_file, emit=emit)
    opened = Session(site, secrets, emit, Terminal(attended=False))
    try:
        return int(run.check(options, opened) if checks_only else run.migrate(options, opened))
    finally:
        view.print()


def _plan_group(given: dict[str, Any], group: str, jobs: str | None, *, checks_only: bool) -> int:
    """Run the checks for each host of a group, as the old or as the new appliance, whichever is not given."""
    if not checks_only:
        fix = "add --checks-only; or write the pairs into a plan: tscm-migrate campaign plan --help"
        raise UsageError("--group needs --checks-only", fix)
    missing = [name for name in ("from_", "to") if not given.get(name)]
    if len(missing) != 1:
        fix = "give --to NEW to check each host of the group as old appliance, or --from OLD as new appliance"
        raise UsageError("--group needs exactly one of --from and --to", fix)
    site = site_of(given.get("inventory"))
    hosts = [host.name for host in site.group(group)]
    pairs = [MigrateOptions.parse({**given, missing[0]: name, "dry_run": True}) for name in hosts]
    for options in pairs:
        check_hosts(site, options)
    return check_pairs(site, pairs, jobs=number_of(jobs), json=pairs[0].json if pairs else False)
