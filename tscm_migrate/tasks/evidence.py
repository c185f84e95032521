"""`report bundle|check` and `support bundle`: what proves a run, and what a bug report needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.collection import Collection

from .base import command

_RUN = ("RUN", "ID of the run (default: the newest).")


def reports() -> Collection:
    """Return the commands below `report`."""
    return Collection("report", bundle, check)


def support() -> Collection:
    """Return the commands below `support`."""
    return Collection("support", support_bundle)


@command(
    trailing="run",
    help={
        "run": _RUN,
        "to": ("PATH", "File or folder to write to (default: the current folder)."),
        "sign": "Sign with your default gpg key, if you have one.",
    },
)
def bundle(_context: Any, run: str | None = None, to: str | None = None, sign: bool = True) -> None:
    """Pack the evidence of a run into one archive: report, JSON, journal, commands and answers, hashes, signature.

    Secrets are redacted in all of it. `report check` proves that nothing in it was changed.

    Examples:
        tscm-migrate report bundle
        tscm-migrate report bundle 20240501-030000-1a2b --to evidence
    """
    from tscm_migrate.migration import evidence, report
    from tscm_migrate.ui import run_report
    from tscm_migrate.ui.console import as_it_is

    path, unsigned = evidence.pack(report.find(run), Path(to) if to else None, run_report.render, sign=sign)
    as_it_is(str(path))
    as_it_is(f"not signed: {unsigned}" if unsigned else f"signed; check it: tscm-migrate report check {path}")


@command(positional=["file"], help={"file": ("BUNDLE", "The bundle.")})
def check(_context: Any, file: str) -> None:
    """Check a bundle: its hashes, the chain of its journal, and its signature; exit code 4 if anything was changed.

    Examples:
        tscm-migrate report check tscm-run-20240501-030000-1a2b.tar.gz
    """
    from tscm_migrate.migration import evidence
    from tscm_migrate.ui.console import as_it_is

    as_it_is("\n".join(evidence.check(Path(file)).lines()))


@command(
    name="bundle",
    trailing="run",
    help={"run": _RUN, "to": ("PATH", "File or folder to write to (default: the current folder).")},
)
def support_bundle(_context: Any, run: str | None = None, to: str | None = None) -> None:
    """Write what a bug report needs of a run into a JSON file that you can read before you send it.

    It holds versions, switches, steps, times and error codes. No text of an appliance, no host name, address, path,
    device or secret is among what may go in.

    Examples:
        tscm-migrate support bundle
        tscm-migrate support bundle 20240501-030000-1a2b --to bug.json
    """
    import json

    from tscm_migrate.errors import BundleUnwritable
    from tscm_migrate.migration import bug_report, report
    from tscm_migrate.ui.console import as_it_is
    from tscm_migrate.util import private

    chosen = report.find(run)
    place = Path(to) if to else Path()
    path = place / f"tscm-support-{chosen}.json" if place.is_dir() else place
    try:
        private.write(path, json.dumps(bug_report.build(chosen), indent=2) + "\n")
    except OSError as error:
        raise BundleUnwritable(str(path), error.strerror or str(error)) from error
    as_it_is(str(path))
