"""Find the participants of a run: both appliances, or the new appliance and a backup of the old appliance."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tscm_migrate.appliance.appliance import Appliance, Dial
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.archive.select import newest
from tscm_migrate.errors import EncryptionFailed, InventoryError, Unreachable, UsageError
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.migration.context import Session
from tscm_migrate.model import Host, Secret
from tscm_migrate.offsite import catalog, restore_source
from tscm_migrate.offsite.context import Tools, dialler, settings
from tscm_migrate.offsite.restore_source import RestoreSource
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.options import MigrateOptions
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.shell import Shell


@dataclass(frozen=True)
class Participants:
    """Both appliances. `restore_source`: the backup of a dead old appliance, which is then never connected to."""

    old: Appliance
    new: Appliance
    restore_source: RestoreSource | None = None
    passphrase: Secret | None = None  # of what is kept

    @property
    def reachable(self) -> tuple[Appliance, ...]:
        """The appliances that can be connected to."""
        return (self.new,) if self.restore_source is not None else (self.old, self.new)

    @property
    def source(self) -> str:
        """The backup that is restored in place of the old appliance, as text; "" without one."""
        return (
            f"{self.restore_source.archive.name} in {self.restore_source.archive.folder}"
            if self.restore_source is not None
            else ""
        )

    def close(self) -> None:
        """Close all connections."""
        self.old.close()
        self.new.close()
        if self.restore_source is not None:
            self.restore_source.close()


def resolve(options: MigrateOptions, session: Session, dial: Dial) -> Participants:
    """Look up the participants of a new run; no appliance is connected to.

    Raises:
        InventoryError, UsageError: a host or archive is unknown. OffsiteError: the copy cannot be read.
        EncryptionFailed: the copy needs a passphrase, and none was given.
    """
    inventory, emit = session.inventory, session.emit
    new = Appliance(inventory.host(options.to), dial, emit)
    if not options.rescues:
        return Participants(Appliance(inventory.host(options.from_), dial, emit), new)
    kept = _kept(options, session)
    host = host_of(inventory, kept.host)
    passphrase = session.secrets.passphrase(host) if kept.wants_passphrase else None
    if kept.wants_passphrase and passphrase is None:
        kept.close()
        raise EncryptionFailed(
            detail=f"{kept.archive.name} is encrypted with a passphrase, and none was given",
            fix="give it: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring",
        )
    return Participants(Appliance(host, _refuse_to_connect, emit), new, kept, passphrase)


def from_journal(options: MigrateOptions, notes: Mapping[str, Any], session: Session, dial: Dial) -> Participants:
    """Look up the participants of an earlier run, from its journal; the backup is the same as then."""
    inventory, emit = session.inventory, session.emit
    new = Appliance(inventory.host(options.to, moved=True), dial, emit)
    if not options.rescues:
        return Participants(Appliance(inventory.host(options.from_, moved=True), dial, emit), new)
    source = restore_source.noted(notes["kept"], lambda url: _open(url, session))
    host = host_of(inventory, notes["old_host"]["name"])
    address, port = notes["old_host"]["address"], notes["old_host"]["port"]
    return Participants(Appliance(replace(host, address=address, port=port), _refuse_to_connect, emit), new, source)


def _refuse_to_connect(host: Host, expect: Sequence[str] | None = None) -> Shell:
    del expect
    raise Unreachable(host.name, "this run treats it as dead and restores a backup of it")


def _kept(options: MigrateOptions, session: Session) -> RestoreSource:
    kind, _, wanted = options.archive.partition("offsite:")
    if kind:
        return restore_source.ArchiveFile(Path(options.archive))
    url = settings(session.inventory, options.store).store
    with closing(_open(url, session)) as store:
        copy = restore_source.find(catalog.load(store), wanted)
    return restore_source.StoredCopy(copy, url, lambda: _open(url, session))


def _open(url: str, session: Session) -> Store:
    return open_store(url, dial=dialler(session.inventory.path, Tools(session.secrets, session.emit)))


def host_of(inventory: Inventory, name: str) -> Host:
    """Return the dead appliance from the inventory, or a host of that name with the inventory's defaults.

    If the name is not an address, the address is "" until the archive has been read.
    """
    if name in inventory.hosts:
        return inventory.hosts[name]  # its identity file may no longer exist
    try:
        return replace(inventory.host(name), name=name)
    except InventoryError:
        return replace(inventory.pattern, name=name or "(unknown)", address="")


def passphrase_of(both: Participants, options: MigrateOptions, old: Facts, secrets: Secrets) -> Secret | None:
    """Return the passphrase of the archive that this run restores; errors as `archive_passphrase`."""
    if both.restore_source is not None:
        return both.passphrase
    return archive_passphrase(options, old, secrets, both.old.host)


def archive_passphrase(
    options: MigrateOptions, old: Facts, secrets: Secrets, host: Host, *, made: bool = False
) -> Secret | None:
    """Return the archives' passphrase; None if no encryption was requested or an existing archive is not encrypted.

    Args:
        options: of the run.
        old: facts of the old appliance.
        secrets: the sources of the passphrase; one typed for a new backup is asked for twice.
        host: the old appliance.
        made: the run's backup exists already; the caller then reports a missing passphrase.

    Raises:
        UsageError: no passphrase was given. A new backup is never unencrypted because of that.
    """
    if not options.encrypt:
        return None
    last = newest(old.archives)
    plain = last is not None and not last.encrypted
    if options.archive != "new" and plain:
        return None
    passphrase = secrets.passphrase(host, new=options.archive == "new" and not made)
    if passphrase is None and not made:
        fix = "give --passphrase-file FILE or TSCM_PASSPHRASE; or --no-encrypt for a plain backup"
        why = f" ({last.name}, its newest, is not encrypted)" if plain and last is not None else ""
        raise UsageError(f"there is no passphrase for the backup{why}; nothing was changed", fix)
    return passphrase
