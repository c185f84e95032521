"""Find and remove what a killed run has left on an appliance: passphrase files, partial files, a running tsadmin."""

import re
import time

from tscm_migrate.appliance import archives, processes
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.errors import ApplianceError, MigrateError
from tscm_migrate.events import Message, Waiting
from tscm_migrate.tsadmin import backup

STILL = 600.0  # seconds that a backup or restore may still run after its connection was lost


def clear_secrets(*appliances: Appliance) -> None:
    """Remove passphrase folders from connected appliances; warn of one that cannot be removed."""
    for appliance in appliances:
        if appliance.connected:
            try:
                backup.remove_leftovers(appliance)
            except MigrateError as error:
                where = f"{appliance.paths.tmpfs}/.tscm-migrate.*"
                appliance.emit(Message(f"{appliance.name}: {where} could not be removed: {error}", "warning"))


def parts(appliance: Appliance) -> int:
    """Return the size in bytes of the partial files of a transfer."""
    script = (
        f"find {quote(appliance.paths.backup_dir)} -maxdepth 1 -type f -name '.threatstop_*.part' "
        "-exec stat -c %s {} + 2>/dev/null || :"
    )
    listed = appliance.run(script, sudo=True, display="find partial files").stdout
    return sum(int(size) for size in re.findall(r"^[0-9]{1,18}$", listed, re.MULTILINE))


def clear_parts(appliance: Appliance) -> None:
    """Remove the partial files of a transfer; they are named `.ARCHIVE.part`."""
    script = (
        f"find {quote(appliance.paths.backup_dir)} -maxdepth 1 -type f -name '.threatstop_*.part' "
        "-exec rm -f {} + 2>/dev/null || :"
    )
    appliance.run(script, sudo=True, display="remove partial files")


def plain_archives(appliance: Appliance, before: Facts) -> list[str]:
    """Return the paths of the archives in plain text that were not there when the facts were gathered."""
    known = {archive.path for archive in before.archives}
    listed = archives.listed(appliance)
    return [archive.path for archive in listed if not archive.encrypted and archive.path not in known]


def settle(appliance: Appliance, *, timeout: float = STILL) -> None:
    """Wait until no backup or restore runs on the appliance, so that two never run at the same time.

    Raises:
        ApplianceError: one still runs after `timeout` seconds. ProcessesHidden: not every process can be seen.
    """
    began = time.monotonic()
    while running := _running(appliance):
        waited = time.monotonic() - began
        if waited > timeout:
            first = running[0]
            raise ApplianceError(
                appliance.name,
                f"pid {first.pid} still runs after {first.elapsed} s: {first.args[:120]}; end it there, then resume",
            )
        appliance.emit(Waiting(f"for pid {running[0].pid} to end", waited, timeout, appliance.name))
        time.sleep(1.0)


def end_restores(appliance: Appliance, *, within: float) -> None:
    """Wait for a restore whose terminal was closed; kill it after `within` seconds. The appliance has to be locked."""
    try:
        settle(appliance, timeout=within)
    except ApplianceError:
        for signal in ("TERM", "KILL"):
            pids = " ".join(str(process.pid) for process in _running(appliance))
            if pids:
                appliance.run(
                    f"kill -{signal} {pids}; sleep 2", sudo=True, check=False, display=f"kill -{signal} {pids}"
                )
        settle(appliance, timeout=within)


def _running(appliance: Appliance) -> list[processes.Process]:
    seen = processes.look(appliance, "does a backup or restore run?")
    everything = list(seen.processes)
    tsadmin = processes.updates_among(everything, seen.own, appliance.paths.tsadmin.rsplit("/", 1)[-1])
    ts_backup = processes.updates_among(everything, seen.own, appliance.paths.ts_backup.rsplit("/", 1)[-1])
    return [p for p in tsadmin if {"backup", "restore"} & set(p.args.split())] + ts_backup
