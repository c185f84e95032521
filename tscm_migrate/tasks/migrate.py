"""`migrate`: the main job."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError

from .base import INVENTORY_HELP, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscm_migrate.options import MigrateOptions

HELP = {
    "from_": "The old appliance: an inventory name, or user@address[:port].",
    "to": "The new appliance: an inventory name, or user@address[:port].",
    "method": "How archives travel: auto, rsync, tar, sftp.",
    "route": "Which way: auto, direct (old to new), relay (through this workstation).",
    "archive": "new (a fresh backup), latest, all, a NAME; or, without --from, offsite:[HOST/]latest or a file's path.",
    "store": "Where offsite: looks, a URL (else `store` in [offsite] of the inventory).",
    "passphrase_file": "A file with the archives' passphrase (else TSCM_PASSPHRASE, the inventory, keyring, a prompt).",
    "encrypt": "Encrypt the fresh backup with a passphrase; --no-encrypt leaves it readable.",
    "drain_timeout": "How long running updates may take to end, in seconds (default 1800).",
    "debug": "tsadmin's own debug level, 1 to 7.",
    "leave_tmp_files": "Let tsadmin keep its temporary files.",
    "interface": "The network interface of the backup and the restore (default: the inventory's, else eth0).",
    "bypass_netconf": "Restore without the network settings: the new one keeps its own address.",
    "force_apply_netconf": "Let tsadmin apply the network settings without asking.",
    "restore_ssh": "Restore the old one's host keys; --no-restore-ssh keeps the new one's.",
    "restore_cron": "Restore the cron entries of the archive too.",
    "offline": "How the old one leaves the network: poweroff, isolate, manual.",
    "revert_after": "With isolate: seconds until the old one comes back unless all went well (default 1800).",
    "update_packages": "Update the packages of both first.",
    "not_before": "Rehearse now, and begin the cutover at this time (22:00 or '2026-11-28 22:00', site's zone).",
    "not_after": "Do not begin a cutover whose estimated downtime ends later than this.",
    "stage_at": "With --not-before: rehearse at this time instead of now.",
    "pause_before": "cutover: ask once more before the old appliance goes offline (needs a terminal).",
    "rehearsal": "Rehearse the restore on the new appliance before the old one goes offline.",
    "devices": "Which devices are updated at the end: all, none, or A,B.",
    "yes": "Do not ask; needed without a terminal.",
    "dry_run": "Look and plan, change nothing.",
    "json": "Print events as JSON, one a line.",
    "quiet": "Print warnings, errors and the end only.",
    "verbose": "Print each command and each wait, too.",
    "allow": "Acknowledge a refusal of the preflight by its name; may be repeated.",
    "limit": "Bytes a second for the archives, as in 20M.",
    "inventory": INVENTORY_HELP,
}


@command(help=HELP, iterable=["allow"])
def migrate(
    _context: Any,
    from_: str | None = None,
    to: str | None = None,
    method: str = "auto",
    route: str = "auto",
    archive: str = "new",
    store: str | None = None,
    passphrase_file: str | None = None,
    encrypt: bool = True,
    drain_timeout: str | None = None,
    debug: str | None = None,
    leave_tmp_files: bool = False,
    interface: str | None = None,
    bypass_netconf: bool = False,
    force_apply_netconf: bool = False,
    restore_ssh: bool = True,
    restore_cron: bool = False,
    offline: str = "poweroff",
    revert_after: str | None = None,
    update_packages: bool = False,
    not_before: str | None = None,
    not_after: str | None = None,
    stage_at: str | None = None,
    pause_before: str | None = None,
    rehearsal: bool = True,
    devices: str = "all",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    allow: list[str] | None = None,
    limit: str | None = None,
    inventory: str | None = None,
) -> int:
    """Move a TSCM to a new appliance: plan, ask once, and do it.

    Identifies both, checks, holds and drains the updates of the old one, makes a fresh backup, copies and verifies
    it, rehearses the restore on the new appliance, takes the old one off the network, restores, reboots, restores
    again, updates every device, and reports.

    Where the old one is dead, leave --from out: its newest off-site copy takes its place, and its address must be free.

    Examples:
        tscm-migrate migrate --from tscm-old --to tscm-new --dry-run
        tscm-migrate migrate --from tscm-old --to tscm-new
        tscm-migrate migrate --from admin@10.1.1.43 --to admin@10.1.1.50:2222 --yes --json
        tscm-migrate migrate --archive offsite:tscm-old/latest --to tscm-new
    """
    from tscm_migrate.options import MigrateOptions

    return start(MigrateOptions.parse(locals()), quiet=quiet, verbose=verbose)


def with_options(*left_out: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a task's body, which takes keywords, the options of `migrate` without those that are left out."""

    def decorate(body: Callable[..., int]) -> Callable[..., int]:
        given = inspect.signature(migrate.body).parameters.values()
        body.__signature__ = inspect.Signature([one for one in given if one.name not in left_out])  # type: ignore[attr-defined]
        return body

    return decorate


_NOT_REHEARSED = ("yes", "dry_run", "rehearsal", "not_before", "not_after", "stage_at", "pause_before")


@command(help={name: text for name, text in HELP.items() if name not in _NOT_REHEARSED}, iterable=["allow"])
@with_options(*_NOT_REHEARSED)
def rehearse(_context: Any, **given: Any) -> int:
    """Run a migration up to the cutover on the real appliances, then undo it; the old appliance stays in service.

    Checks, pauses and drains the updates, makes a backup, copies and verifies it, and restores it on the new appliance.
    The estimated downtime, unknown questions of tsadmin and differences between the devices are known afterwards. The
    backup stays. Without a terminal an unknown question refuses the rehearsal (exit code 3).

    Examples:
        tscm-migrate rehearse --from tscm-old --to tscm-new
    """
    from tscm_migrate.options import MigrateOptions

    quiet, verbose = bool(given.pop("quiet", False)), bool(given.pop("verbose", False))
    return start(MigrateOptions.parse(given), quiet=quiet, verbose=verbose, only_rehearsal="rehearse")


def start(options: MigrateOptions, *, quiet: bool = False, verbose: bool = False, only_rehearsal: str = "") -> int:
    """Read the inventory, prepare the secrets, and hand over to the migration.

    Args:
        options: what was asked for.
        quiet: print warnings, errors and the end only.
        verbose: print each command, too.
        only_rehearsal: see `run.migrate`.
    """
    from tscm_migrate import inventory
    from tscm_migrate.migration import run
    from tscm_migrate.notify import telling
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui import watcher
    from tscm_migrate.ui.live_pause import ask_unseen, keys_unseen
    from tscm_migrate.ui.operator import Terminal

    interactive = sys.stdin is not None and sys.stdin.isatty()
    if not (interactive or options.yes or options.dry_run or only_rehearsal):
        raise UsageError("there is no terminal to ask on", "give --yes to go on without being asked, or --dry-run")
    site = inventory.load(options.inventory)
    for spec in filter(None, (options.from_, options.to)):
        site.host(spec)
    shown = watcher(as_json=options.json, quiet=quiet, verbose=verbose)
    operator = Terminal(attended=interactive and not options.yes)
    with keys_unseen(), telling(shown, site.extras.get("notify", {})) as emit:
        secrets = Secrets(interactive=interactive, passphrase_file=options.passphrase_file, ask=ask_unseen, emit=emit)
        room: dict[str, Any] = {"inventory": site, "secrets": secrets, "emit": emit, "operator": operator}
        if options.has_window and not options.dry_run and not only_rehearsal:
            return int(run.migrate_in_window(options, **room))
        return int(run.migrate(options, **room, only_rehearsal=only_rehearsal))
