"""Who takes part in a run: both appliances, or the new one and a backup that has outlived the old one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.archive.select import newest
from tscm_migrate.errors import InventoryError, SealFailed, Unreachable, UsageError
from tscm_migrate.offsite import catalog, restore_source
from tscm_migrate.offsite.jobs import Tools, dialler
from tscm_migrate.offsite.settings import settings
from tscm_migrate.offsite.stores.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tscm_migrate.appliance.appliance import Dial
    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.events import Emit
    from tscm_migrate.inventory.inventory import Inventory
    from tscm_migrate.model import Host, Secret
    from tscm_migrate.offsite.restore_source import RestoreSource
    from tscm_migrate.offsite.stores.base import Store
    from tscm_migrate.options import MigrateOptions
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ssh.shell import Shell


@dataclass(frozen=True)
class Participants:
    """Both; `kept` is what the old one is restored from where it is dead: then it is a name and an address, no more."""

    old: Appliance
    new: Appliance
    restore_source: RestoreSource | None = None
    passphrase: Secret | None = None  # of what is kept

    @property
    def reachable(self) -> tuple[Appliance, ...]:
        """Those that can be spoken to."""
        return (self.new,) if self.restore_source is not None else (self.old, self.new)

    @property
    def source(self) -> str:
        """What stands for the old one, in words; "" where it is there itself."""
        return (
            f"{self.restore_source.archive.name} in {self.restore_source.archive.folder}"
            if self.restore_source is not None
            else ""
        )

    def close(self) -> None:
        """Let go of all connections."""
        self.old.close()
        self.new.close()
        if self.restore_source is not None:
            self.restore_source.close()


def resolve(options: MigrateOptions, *, inventory: Inventory, secrets: Secrets, dial: Dial, emit: Emit) -> Participants:
    """Look up who takes part; of the appliances none is connected to.

    Raises:
        InventoryError, UsageError: who is meant is not known. OffsiteError: the copy is not to be had.
        SealFailed: it wants a passphrase, and there is none.
    """
    new = Appliance(inventory.host(options.to), dial, emit)
    if not options.rescues:
        return Participants(Appliance(inventory.host(options.from_), dial, emit), new)
    kept = _kept(options, inventory, secrets, emit)
    host = host_of(inventory, kept.host)
    passphrase = secrets.passphrase(host) if kept.wants_passphrase else None
    if kept.wants_passphrase and passphrase is None:
        kept.close()
        raise SealFailed(
            detail=f"{kept.archive.name} is encrypted with a passphrase, and none was given",
            fix="give it: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring",
        )
    return Participants(Appliance(host, _refuse_to_connect, emit), new, kept, passphrase)


def from_journal(
    options: MigrateOptions, notes: Mapping[str, Any], *, inventory: Inventory, secrets: Secrets, dial: Dial, emit: Emit
) -> Participants:
    """Who took part in a run, from its journal; a copy is that one, however `latest` may have moved on."""
    new = Appliance(inventory.host(options.to, moved=True), dial, emit)
    if not options.rescues:
        return Participants(Appliance(inventory.host(options.from_, moved=True), dial, emit), new)
    found = restore_source.noted(notes["kept"], lambda url: _open(url, inventory, secrets, emit))
    host = host_of(inventory, notes["old_host"]["name"])
    address, port = notes["old_host"]["address"], notes["old_host"]["port"]
    return Participants(Appliance(replace(host, address=address, port=port), _refuse_to_connect, emit), new, found)


def _refuse_to_connect(host: Host, expect: Sequence[str] | None = None) -> Shell:
    del expect
    raise Unreachable(host.name, "it is dead for this run, which restores it from a copy")


def _kept(options: MigrateOptions, inventory: Inventory, secrets: Secrets, emit: Emit) -> RestoreSource:
    kind, _, wanted = options.archive.partition("offsite:")
    if kind:
        return restore_source.ArchiveFile(Path(options.archive))
    url = settings(inventory, options.store).store
    with closing(_open(url, inventory, secrets, emit)) as store:
        found = restore_source.find(catalog.load(store), wanted)
    return restore_source.StoredCopy(found, url, lambda: _open(url, inventory, secrets, emit))


def _open(url: str, inventory: Inventory, secrets: Secrets, emit: Emit) -> Store:
    return open_store(url, dial=dialler(inventory.path, Tools(secrets, emit)))


def host_of(inventory: Inventory, name: str) -> Host:
    """The dead one as the inventory knows it; else one of that name with the inventory's defaults.

    Its address may be its name; else it is "" until the archive tells it.
    """
    if name in inventory.hosts:
        return inventory.hosts[name]  # its identity file need not be there any more
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
    """Return the archives' passphrase; None where the backup is plain on request, or an archive that is there is plain.

    Args:
        options: of the run.
        old: facts of the old appliance.
        secrets: where the passphrase comes from; one that is typed for a new backup is asked for twice.
        host: the old appliance.
        made: the run's backup is there already; then whoever goes on with it says what is missing.

    Raises:
        UsageError: there is none. A fresh backup is never made in plain text because nobody gave a passphrase.
    """
    if not options.encrypt:
        return None
    last = newest(old.archives)
    plain = last is not None and not last.encrypted
    if options.archive != "new" and plain:
        return None
    found = secrets.passphrase(host, new=options.archive == "new" and not made)
    if found is None and not made:
        fix = "give --passphrase-file FILE or TSCM_PASSPHRASE; or --no-encrypt for a plain backup"
        why = f" ({last.name}, its newest, is not encrypted)" if plain and last is not None else ""
        raise UsageError(f"there is no passphrase for the backup{why}; nothing was changed", fix)
    return found
