"""`devices update`, `verify`, `host adopt`, `report …`, `support bundle`: commands after a migration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from tscm_migrate.errors import BundleUnwritable, Exit, UsageError
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.model import Host
from tscm_migrate.options import device_names
from tscm_migrate.tasks.base import command, confirm, require_terminal, session, site_of, watcher
from tscm_migrate.tasks.several import GROUP, JOBS, hosts_of, number_of, on_each
from tscm_migrate.ui.console import as_it_is, say
from tscm_migrate.util import private

if TYPE_CHECKING:
    from tscm_migrate.migration.journal import RunRecord

_RUN = ("RUN|HOST", "ID of the run, or the name of an appliance (default: the newest finished migration).")
_JSON = "Print events as JSON, one object on each line."
_INVENTORY = ("FILE", "Inventory file (default: the one that the run was started with).")


def devices() -> Collection:
    """Return the commands below `devices`."""
    return Collection("devices", update)


@command(
    trailing="run",
    help={
        "run": _RUN,
        "failed": "Update the devices whose update failed (default, unless --devices is given).",
        "devices": ("NAMES", "Update these devices instead: names separated by commas."),
        "json": _JSON,
        "inventory": _INVENTORY,
    },
)
def update(
    _context: Any,
    run: str | None = None,
    failed: bool = False,
    devices: str | None = None,
    yes: bool = False,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Update devices after a migration, and complete the report of its run.

    Exit codes: 0, all devices are updated; 4, something is left to do.

    Examples:
        tscm-migrate devices update --failed
        tscm-migrate devices update 20240501-030000-1a2b --devices edge-asa,dc-pan
    """
    from tscm_migrate.migration import afterwards

    if failed and devices:
        raise UsageError("--failed and --devices exclude each other", "leave one of them out")
    record = afterwards.finished(run)
    names = device_names(devices) if devices else afterwards.failed_devices(record)
    if not names:
        say(f"run {record.run}: no device's update has failed; nothing to do")
        return Exit.DONE
    site = _site(record, inventory)
    require_terminal(yes=yes)
    with session(site, watcher(as_json=json), yes=yes) as opened:
        return afterwards.update_devices(record, names, opened, yes=yes)


@command(trailing="run", help={"run": _RUN, "group": GROUP, "jobs": JOBS, "json": _JSON, "inventory": _INVENTORY})
def verify(
    _context: Any,
    run: str | None = None,
    group: str | None = None,
    jobs: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Compare a migrated appliance with the old appliance.

    Reads the new appliance as it is now. Changes nothing.

    Exit codes: 0, they are equal; 4, they differ, also by what was changed since the migration.

    Examples:
        tscm-migrate verify tscm-new
        tscm-migrate verify 20240501-030000-1a2b --json
        tscm-migrate verify --group branches --jobs 8
    """
    from tscm_migrate.migration import afterwards
    from tscm_migrate.ui import lines

    def compared(name: str | None) -> bool:
        emit = lines.json_lines if json else lines.Plain()
        record = afterwards.finished(name)
        with session(_site(record, inventory), emit, yes=True, notify=False) as opened:
            return afterwards.compare(record, opened) == Exit.DONE

    if group is None:
        return Exit.DONE if compared(run) else Exit.ATTENTION
    hosts = _one_of_each_run(hosts_of(site_of(inventory), run, group))

    def shown(host: Host, same: bool) -> str | dict[str, Any]:
        if json:
            return {"v": 1, "event": "verified", "host": host.name, "same": same}
        return f"{host.name}: {'equal' if same else 'DIFFERS'}"

    # Not probed: a new appliance may have the old appliance's address by now, although the inventory does not say so.
    return on_each(hosts, lambda host: compared(host.name), jobs=number_of(jobs), shown=shown, probed=False)


def _one_of_each_run(hosts: list[Host]) -> list[Host]:
    """Leave out a host that took part in the same migration as another one; the new appliance stays."""
    from tscm_migrate.migration import afterwards

    chosen: dict[str, Host] = {}
    for host in hosts:
        try:
            record = afterwards.finished(host.name)
        except UsageError:  # without a migration: the comparison of this host fails
            chosen[host.name] = host
            continue
        if record.run not in chosen or host.name == record.new:
            chosen[record.run] = host
    return list(chosen.values())


@command(
    trailing="run",
    help={
        "run": _RUN,
        "inventory": ("FILE", "Inventory file to change (default: the one that the run was started with)."),
    },
)
def adopt(_context: Any, run: str | None = None, yes: bool = False, inventory: str | None = None) -> int:
    """Update the inventory after a migration.

    Writes the new appliance's address, and that it replaces the old appliance. Commands to the old appliance's name are
    then refused, and the error names the new appliance. Comments in the file are kept.

    Examples:
        tscm-migrate host adopt
        tscm-migrate host adopt 20240501-030000-1a2b --yes
    """
    from tscm_migrate.inventory import adopt as room
    from tscm_migrate.migration import afterwards

    record = afterwards.finished(run)
    site = _site(record, inventory)
    if site.path is None:
        raise UsageError("there is no inventory file to change", "make one: tscm-migrate init")
    moved = afterwards.moved(record)
    wanted = room.changes(
        site, old=moved.old, new=moved.new, address=moved.address, took_address=moved.took_address
    )  # fmt: skip
    if not wanted:
        say(f"{site.path} has {moved.new} at {moved.address} already; nothing to do")
        return Exit.DONE
    changes = [f"[hosts.{host}] {key} = {value}" for host, values in wanted.items() for key, value in values.items()]
    say("\n".join([f"{site.path}:", *(f"  {line}" for line in changes)]))
    confirm("Write this to the inventory?", yes=yes)
    room.write(site.path, wanted)
    say("written")
    return Exit.DONE


def _site(record: RunRecord, inventory: str | None) -> Inventory:
    return site_of(inventory or record.inventory)


_RUN_OR_HOST = ("RUN", "ID of the run (default: the newest).")


def reports() -> Collection:
    """Return the commands below `report`."""
    return Collection("report", bundle, check)


def support() -> Collection:
    """Return the commands below `support`."""
    return Collection("support", support_bundle)


@command(
    trailing="run",
    help={
        "run": _RUN_OR_HOST,
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

    path, unsigned = evidence.pack(report.find(run), Path(to) if to else None, run_report.render, sign=sign)
    as_it_is(str(path))
    as_it_is(f"not signed: {unsigned}" if unsigned else f"signed; check it: tscm-migrate report check {path}")


@command(
    positional=["file"],
    help={
        "file": ("BUNDLE", "The bundle."),
        "signed_by": ("FINGERPRINT", "Refuse it unless this gpg key has signed it (default: any key of your keyring)."),
    },
)
def check(_context: Any, file: str, signed_by: str | None = None) -> None:
    """Check a bundle: its hashes, the chain of its journal, its report and its signature.

    The exit code is 4 if anything was changed.

    Examples:
        tscm-migrate report check tscm-run-20240501-030000-1a2b.tar.gz
        tscm-migrate report check run.tar.gz --signed-by 0123456789ABCDEF0123456789ABCDEF01234567
    """
    from tscm_migrate.migration import evidence
    from tscm_migrate.ui import run_report
    from tscm_migrate.util.signatures import fingerprint

    wanted = fingerprint(signed_by) if signed_by else ""
    as_it_is("\n".join(evidence.check(Path(file), run_report.render, wanted).lines()))


@command(
    name="bundle",
    trailing="run",
    help={"run": _RUN_OR_HOST, "to": ("PATH", "File or folder to write to (default: the current folder).")},
)
def support_bundle(_context: Any, run: str | None = None, to: str | None = None) -> None:
    """Write what a bug report needs of a run into a JSON file that you can read before you send it.

    It contains versions, switches, steps, times and error codes. It never contains text from an appliance, host names,
    addresses, paths, devices or secrets.

    Examples:
        tscm-migrate support bundle
        tscm-migrate support bundle 20240501-030000-1a2b --to bug.json
    """
    import json

    from tscm_migrate.migration import bug_report, report

    chosen = report.find(run)
    place = Path(to) if to else Path()
    path = place / f"tscm-support-{chosen}.json" if place.is_dir() else place
    try:
        private.write(path, json.dumps(bug_report.build(chosen), indent=2) + "\n")
    except OSError as error:
        raise BundleUnwritable(str(path), error.strerror or str(error)) from error
    as_it_is(str(path))
