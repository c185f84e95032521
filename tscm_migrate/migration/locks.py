"""Allow one run at a time: lock files on this workstation, and a lock file on each appliance.

The operating system locks a local file as long as the process lives, so a free file proves that a run of this
workstation is dead. Whether a run of another workstation is dead cannot be proved; only `unlock --force` removes its
lock.
"""

import contextlib
import getpass
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tscm_migrate.appliance import cron_hold, lockfile
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import AddressUnclear, Exit, Locked, MigrateError, StateUnwritable, UsageError
from tscm_migrate.events import COMPLETED, Emit, Message
from tscm_migrate.migration import journal
from tscm_migrate.migration.context import Dialler, Migration
from tscm_migrate.migration.run_list import is_running, run_file
from tscm_migrate.model import Host
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.util import private


def workstation_id(root: Path | None = None) -> str:
    """Return the random id of this state folder; only runs with this id can be proved dead from here."""
    path = (root or private.state_folder()) / "workstation-id"
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii").strip()
    try:
        private.private_folder(root=root)
        with contextlib.suppress(FileExistsError):
            made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            private.write(made, secrets.token_hex(8))
            try:
                os.link(made, path)  # of two processes the first one's id is used
            except FileExistsError:
                raise
            except OSError:  # a disk that has no hard links
                made.replace(path)
            finally:
                made.unlink(missing_ok=True)
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StateUnwritable(str(path), error.strerror or str(error)) from error


def user_name() -> str:
    """Return the operator's user name on this workstation; "?" for a uid without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "?"


def new_lock(run: str, role: str, root: Path | None = None) -> lockfile.ApplianceLock:
    """Return the lock that this process writes to an appliance."""
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return lockfile.ApplianceLock(
        run, role, f"{user_name()}@{socket.gethostname()}", workstation_id(root), os.getpid(), since
    )


# --- on this workstation


@contextlib.contextmanager
def local_locks(run: str, hosts: Sequence[Host], root: Path | None = None) -> Iterator[None]:
    """Lock the local files of a run and of its hosts, until the block (or the process) ends.

    Raises:
        Locked: another process of this workstation has locked one of them.
    """
    folder = private.private_folder("locks", root=root)
    names = {host.endpoint: host.name for host in hosts}
    with contextlib.ExitStack() as stack:
        for name, shown in sorted(names.items()):
            stack.enter_context(_file(folder / (re.sub(r"[^\w.-]", "_", name) + ".lock"), run, shown))
        stack.enter_context(_file(run_file(run, root), run, run))
        yield


@contextlib.contextmanager
def _file(path: Path, run: str, shown: str) -> Iterator[None]:
    about = path.with_suffix(".json")

    def taken() -> Locked:
        holder = _holder(about)
        return Locked(shown, f"{holder.owner} pid {holder.pid}", holder.since, holder.run)

    with private.locked(path, taken, remove=path.name.startswith("run-")):
        try:
            with contextlib.suppress(OSError):  # only shown to a process that is refused
                private.write(about, new_lock(run, "").text())
            yield
        finally:
            with contextlib.suppress(OSError):
                about.unlink()


def _holder(about: Path) -> lockfile.ApplianceLock:
    """Read which process has locked it; the file may be gone by now."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return lockfile.ApplianceLock.parse(about.read_text(encoding="utf-8"))
    return lockfile.ApplianceLock()


def proved_dead(lock: lockfile.ApplianceLock, root: Path | None = None) -> bool:
    """Whether the run of this lock is dead: it is of this workstation, and its local lock file is free."""
    if not lock.workstation or lock.workstation != workstation_id(root):
        return False
    return not is_running(lock.run, root)


def unfinished(run: str, root: Path | None = None) -> bool:
    """Whether a run of this workstation has, or may have, changed something that is neither finished nor undone."""
    try:
        record, _ = journal.read(run, root)
    except MigrateError as error:
        return not isinstance(error, UsageError)  # it exists, and its state is unknown
    return bool(record.started) and record.outcome not in COMPLETED


def refuse_over_unfinished(*hosts: str, root: Path | None = None) -> None:
    """Refuse to start if an unfinished run of this workstation exists for one of these appliances.

    Raises:
        Locked: with that run.
    """
    for run in journal.runs(root):
        if unfinished(run, root):
            try:
                record, _ = journal.read(run, root)
            except MigrateError:
                continue  # its hosts are unknown; the locks on the appliances still count
            shared = next((host for host in hosts if host in {record.old, record.new}), None)
            if shared is not None:
                raise Locked(shared, "this workstation", record.began, run, alive=False)


# --- on the appliances


def take(m: Migration, *appliances: Appliance) -> None:
    """Lock the appliances for this run, and check the lock at each new connection.

    Raises:
        Locked: another run has locked one of them; the locks made by this call are removed.
    """
    made: list[Appliance] = []
    for appliance in appliances:
        role = "old" if appliance is m.old else "new"
        try:
            if _take(m, appliance, role):
                made.append(appliance)
        except BaseException:
            for one in made:
                _drop(m, one)
            raise
        m.journal.write("locked", host=appliance.name)
        appliance.vet = _vet(m, appliance, role)


@contextlib.contextmanager
def alone(appliance: Appliance, doing: str, root: Path | None = None) -> Iterator[None]:
    """Lock an appliance for a short task that is not a run; `doing` names it to others that find the lock.

    Raises:
        Locked: a run works on it, or an unfinished run of this workstation exists for it.
    """
    run = f"{doing}-{secrets.token_hex(4)}"
    refuse_over_unfinished(appliance.name, root=root)
    with local_locks(run, [appliance.host], root):
        ours = new_lock(run, "", root)
        theirs = lockfile.take(appliance, ours)
        if theirs is not None and _is_stale(theirs, root):
            theirs = lockfile.take(appliance, ours, instead_of=theirs)
        if theirs is not None:
            raise _locked(appliance, theirs, root)
        try:
            yield
        finally:
            lockfile.drop(appliance, run)


def _take(m: Migration, appliance: Appliance, role: str) -> bool:
    """Lock one appliance; False if this run had locked it before."""
    ours = new_lock(m.run, role)
    theirs = lockfile.take(appliance, ours)
    if theirs is None:
        return True
    if theirs.run == m.run and theirs.role == role and theirs.workstation == workstation_id():
        return False
    if _is_stale(theirs):
        m.emit(Message(f"{appliance.name}: replacing the lock of run {theirs.run}, which has ended", "warning"))
        theirs = lockfile.take(appliance, ours, instead_of=theirs)
        if theirs is None:
            return True
    raise _locked(appliance, theirs)


def refuse_locked(appliance: Appliance, root: Path | None = None) -> None:
    """Refuse to work on an appliance that a run has locked or has left unfinished.

    Raises:
        Locked: with the run.
    """
    refuse_over_unfinished(appliance.name, root=root)
    lock = lockfile.read(appliance)
    if lock is not None and not _is_stale(lock, root):
        raise _locked(appliance, lock, root)


def _is_stale(lock: lockfile.ApplianceLock, root: Path | None = None) -> bool:
    """Whether the run of this lock is proved dead and has left nothing to finish or undo."""
    return proved_dead(lock, root) and not unfinished(lock.run, root)


def _locked(appliance: Appliance, lock: lockfile.ApplianceLock, root: Path | None = None) -> Locked:
    alive = not proved_dead(lock, root)
    return Locked(appliance.name, f"{lock.owner} pid {lock.pid}", lock.since, lock.run, alive=alive)


def _vet(m: Migration, appliance: Appliance, role: str) -> Callable[[Shell], None]:
    """Return a check of new connections: after a cutover both appliances have had one address and host key in turn."""

    def vet(shell: Shell) -> None:
        lock = lockfile.read_over(shell)
        if lock is not None and lock.run == m.run and lock.role not in {"", role}:
            raise AddressUnclear(
                appliance.host.address, f"expected {appliance.name}, but the {lock.role} appliance answers"
            )

    return vet


def release(m: Migration) -> None:
    """Remove this run's locks from the connected appliances; one that is offline keeps its lock."""
    for appliance in m.reachable:
        if appliance.name in m.journal.record.locked and appliance.connected:
            _drop(m, appliance)


def _drop(m: Migration, appliance: Appliance) -> None:
    try:
        appliance.vet = None
        lockfile.drop(appliance, m.run)
        m.journal.write("unlocked", host=appliance.name)
    except MigrateError as error:
        fix = f"to remove it: tscm-migrate run unlock {appliance.name}"
        m.emit(Message(f"{appliance.name} keeps its lock ({error}); {fix}"))


def unlock(host: Host, *, secrets: Secrets, emit: Emit, force: bool) -> Exit:
    """Show which run has locked `host`, and remove the lock if the run is over or `force` is set.

    Raises:
        Locked: the run may be alive, or has changes that have to be finished or undone first. SshError: no connection.
    """
    with contextlib.closing(Appliance(host, Dialler(secrets, emit), emit)) as appliance:
        remove(appliance, emit, force=force)
    return Exit.DONE


def remove(appliance: Appliance, emit: Emit, *, force: bool) -> None:
    """Remove the lock of an appliance if its run is over or `force` is set; errors as of `unlock`."""
    name, lock = appliance.name, lockfile.read(appliance)
    if lock is None:
        emit(Message(f"{name} is not locked"))
    else:
        who = f"run {lock.run} of {lock.owner}, pid {lock.pid}, since {lock.since}"
        dead = proved_dead(lock)
        if not force and not _is_stale(lock):
            raise _locked(appliance, lock)
        lockfile.drop(appliance)
        why = (
            "it has ended" if dead else "forced: make sure that it has ended, two runs at once would damage each other"
        )
        emit(Message(f"{name}: removed the lock of {who}; {why}", "info" if dead else "warning"))
    _warn_of_paused_updates(appliance, emit)


def _warn_of_paused_updates(appliance: Appliance, emit: Emit) -> None:
    """Warn of paused updates: without the lock nothing else may show that a run has paused them."""
    entry = appliance.paths.cron_entry
    if cron_hold.state(appliance, entry).paused:
        aside = cron_hold.aside(appliance, entry)
        text = f"{appliance.name}: its updates are PAUSED, and no run has locked it. Resume them: "
        emit(Message(f"{text}sudo mv {quote(aside)} {quote(entry)}", "warning"))
