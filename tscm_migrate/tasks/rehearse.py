"""`rehearse`: the very same migration, on appliances that are shaped after the real ones."""

from __future__ import annotations

import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError

from .base import INVENTORY_HELP, command

if TYPE_CHECKING:
    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.lab.base import Lab
    from tscm_migrate.lab.profile import Profile
    from tscm_migrate.site import Secret

HELP = {
    "from_": "The old appliance; only read.",
    "to": "The new appliance; only read.",
    "update_seconds": "How long one device's update is taken to last (default 0.3).",
    "inventory": INVENTORY_HELP,
}


@command(help=HELP)
def rehearse(
    _context: Any, from_: str = "", to: str = "", update_seconds: str = "0.3", inventory: str | None = None
) -> int:
    """Read the facts of both, shape two rehearsal appliances after them, and migrate those; nothing real is changed.

    Its timings become the estimate in the plan of the real migration.

    Examples:
        tscm-migrate rehearse --from tscm-old --to tscm-new
    """
    from tscm_migrate.lab.shaped import profiles
    from tscm_migrate.migration import rehearsal
    from tscm_migrate.options import seconds

    if not from_ or not to:
        raise UsageError("--from and --to are both needed", "rehearse --from OLD --to NEW")
    each = seconds("--update-seconds")(update_seconds)
    old, new = _facts(from_, to, inventory)
    first, second, left = profiles(old, new, update_seconds=each)
    for line in left:
        _say(line)
    status, lines = _run(first, second)
    found = rehearsal.from_events(lines, datetime.now(UTC))
    if status or found is None:
        _say("the rehearsal did not come to its end:")
        sys.stdout.write("\n".join(lines[-20:]) + "\n")
        return status or 1
    rehearsal.keep(from_, to, found)
    for step, took in found.steps.items():
        _say(f"{step:<16} {took:6.1f} s")
    _say(found.line())
    return 0


def restored(archive: Path, phrase: Secret | None) -> tuple[bool, str]:
    """Restore an archive into a fresh rehearsal appliance, and compare its devices with the archive's.

    Returns:
        Whether all is there, and what was compared, as one line.

    Raises:
        UsageError: no rehearsal is possible here, or the archive's layout is none that a rehearsal appliance knows.
    """
    from tscm_migrate.lab import embedded
    from tscm_migrate.lab.restored import restore

    if reason := embedded.available():
        raise UsageError(f"no rehearsal is possible here: {reason}", "pip install 'tscm-migrate[lab]'")
    return restore(archive, phrase)


def _facts(from_: str, to: str, inventory: str | None) -> list[Facts]:
    from tscm_migrate.appliance.base import Appliance
    from tscm_migrate.events import silent
    from tscm_migrate.inventory import load
    from tscm_migrate.migration.identify import identify
    from tscm_migrate.migration.run import Dialler
    from tscm_migrate.secrets import Secrets

    site = load(Path(inventory) if inventory else None)
    dial = Dialler(Secrets(interactive=sys.stdin is not None and sys.stdin.isatty()), silent)
    both = [Appliance(site.host(name), dial) for name in (from_, to)]
    try:
        found = identify(*both)
    finally:
        for one in both:
            one.close()
    for identity in found:
        if identity.findings:
            raise UsageError(identity.findings[0].text, identity.findings[0].remedy)
    return [identity.facts for identity in found]


def _run(old: Profile, new: Profile) -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory(prefix="tscm-rehearsal-", ignore_cleanup_errors=True) as folder:
        with _lab(Path(folder), old, new) as lab:
            done = lab.run_tool(
                "migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes", "--json",
                env={"TSCM_PASSPHRASE": secrets.token_urlsafe(12)}, timeout=1800,
            )  # fmt: skip
        return done.returncode, [*done.stdout.splitlines(), *done.stderr.splitlines()]


def _lab(folder: Path, old: Profile, new: Profile) -> Lab:
    """The name spaces where they can be had, for they are the closest; the embedded lab elsewhere."""
    from tscm_migrate.lab import embedded

    if sys.platform == "linux":
        from tscm_migrate.lab import namespaces

        if namespaces.available() is None:
            _say("on name spaces of this machine")
            return namespaces.NamespaceLab(folder, old, new)
    if reason := embedded.available():
        raise UsageError(f"no rehearsal is possible here: {reason}", "pip install 'tscm-migrate[lab]'")
    _say("on loopback addresses of this machine")
    return embedded.EmbeddedLab(folder, old, new)


def _say(text: str) -> None:
    sys.stdout.write(f"rehearse: {text}\n")
    sys.stdout.flush()
