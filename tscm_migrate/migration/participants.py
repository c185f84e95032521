"""Who takes part in a run: both appliances, or the new one and a backup that has outlived the old one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance import network
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.errors import InventoryError, SealFailed, Unreachable, UsageError
from tscm_migrate.events import Said
from tscm_migrate.migration import checks
from tscm_migrate.migration.gather_facts import Identity, identify
from tscm_migrate.ssh import known_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tscm_migrate.appliance.appliance import Dial
    from tscm_migrate.archive.inspect import Inside
    from tscm_migrate.events import Emit
    from tscm_migrate.inventory import Inventory
    from tscm_migrate.model import Host, Secret
    from tscm_migrate.offsite.restore_source import Kept
    from tscm_migrate.offsite.stores.base import Store
    from tscm_migrate.options import MigrateOptions
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ssh.shell import Shell


@dataclass(frozen=True)
class Sides:
    """Both; `kept` is what the old one is restored from where it is dead: then it is a name and an address, no more."""

    old: Appliance
    new: Appliance
    kept: Kept | None = None
    passphrase: Secret | None = None  # of what is kept

    @property
    def there(self) -> tuple[Appliance, ...]:
        """Those that can be spoken to."""
        return (self.new,) if self.kept is not None else (self.old, self.new)

    @property
    def source(self) -> str:
        """What stands for the old one, in words; "" where it is there itself."""
        return f"{self.kept.archive.name} in {self.kept.archive.folder}" if self.kept is not None else ""

    def close(self) -> None:
        """Let go of all connections."""
        self.old.close()
        self.new.close()
        if self.kept is not None:
            self.kept.close()


def meet(options: MigrateOptions, *, inventory: Inventory, secrets: Secrets, dial: Dial, emit: Emit) -> Sides:
    """Look up who takes part; of the appliances none is connected to.

    Raises:
        InventoryError, UsageError: who is meant is not known. OffsiteError: the copy is not to be had.
        SealFailed: it wants a passphrase, and there is none.
    """
    new = Appliance(inventory.host(options.to), dial, emit)
    if not options.rescues:
        return Sides(Appliance(inventory.host(options.from_), dial, emit), new)
    kept = _kept(options, inventory, secrets, emit)
    host = host_of(inventory, kept.host)
    passphrase = secrets.passphrase(host) if kept.wants_passphrase else None
    if kept.wants_passphrase and passphrase is None:
        kept.close()
        raise SealFailed(
            detail=f"{kept.archive.name} is encrypted with a passphrase, and none was given",
            fix="give it: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring",
        )
    return Sides(Appliance(host, _nobody, emit), new, kept, passphrase)


def again(
    options: MigrateOptions, notes: Mapping[str, Any], *, inventory: Inventory, secrets: Secrets, dial: Dial, emit: Emit
) -> Sides:
    """Who took part in a run, from its journal; a copy is that one, however `latest` may have moved on."""
    new = Appliance(inventory.host(options.to), dial, emit)
    if not options.rescues:
        return Sides(Appliance(inventory.host(options.from_), dial, emit), new)
    from tscm_migrate.offsite import restore_source

    found = restore_source.noted(notes["kept"], lambda url: _open(url, inventory, secrets, emit))
    host = host_of(inventory, notes["old_host"]["name"])
    address, port = notes["old_host"]["address"], notes["old_host"]["port"]
    return Sides(Appliance(replace(host, address=address, port=port), _nobody, emit), new, found)


def _nobody(host: Host, expect: Sequence[str] | None = None) -> Shell:
    del expect
    raise Unreachable(host.name, "it is dead for this run, which restores it from a copy")


def _kept(options: MigrateOptions, inventory: Inventory, secrets: Secrets, emit: Emit) -> Kept:
    from tscm_migrate.offsite import catalog, restore_source
    from tscm_migrate.offsite.settings import settings

    kind, _, wanted = options.archive.partition("offsite:")
    if kind:
        return restore_source.KeptFile(Path(options.archive))
    url = settings(inventory, options.store).store
    with closing(_open(url, inventory, secrets, emit)) as store:
        found = restore_source.find(catalog.load(store), wanted)
    return restore_source.StoredCopy(found, url, lambda: _open(url, inventory, secrets, emit))


def _open(url: str, inventory: Inventory, secrets: Secrets, emit: Emit) -> Store:
    from tscm_migrate.offsite.jobs import Tools, dialler
    from tscm_migrate.offsite.stores.factory import open_store

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


# ------------------------------------------------------------------------------------------------ what is known


def learn(sides: Sides, options: MigrateOptions, inventory: Inventory, emit: Emit) -> list[Identity]:
    """The facts of both, the old one's first; nothing is changed.

    Raises:
        OffsiteError: what is kept cannot be opened to its end, or is not what its manifest says.
        UsageError: nothing tells which address the dead one had.
    """
    if sides.kept is None:
        return identify(sides.old, sides.new)
    emit(Said(f"reading {sides.kept.archive.name} to its end, in memory"))
    found = sides.kept.read(sides.old.paths, sides.passphrase)
    if found.why:
        emit(Said(f"{sides.kept.archive.name}: {found.why}; the inventory has to tell what it could", "warning"))
    (new,) = identify(sides.new)
    host = _addressed(sides.old.host, found, sides.kept, inventory)
    sides.old.moved(host)
    answers: tuple[str, ...] = ()
    if not new.findings and not options.bypass_netconf:  # else nobody is to take that address
        interface = checks.resolve_interface(new.facts, sides.new.host, None)
        answers = network.who_answers(sides.new, host.address, host.port, interface)
    old = Identity(
        facts_of(sides.kept, found, host), files=dict(found.files), answers=answers,
        pinned=_pinned(host) if host.address != sides.new.host.address else (),  # there it may be the new one's by now
        inside=tuple(one.address for one in found.network.interfaces),
    )  # fmt: skip
    return [old, new]


def _addressed(host: Host, found: Inside, kept: Kept, inventory: Inventory) -> Host:
    """With the address that it had: the inventory's, else the one that the archive's network settings have."""
    if host.address:
        return host
    inside = [one.address for one in found.network.interfaces]
    if not inside:
        text = f"nothing tells which address {host.name} had: neither the inventory nor {kept.archive.name}"
        raise UsageError(text, f"put {host.name} into the inventory, with its address")
    if kept.host:
        return replace(host, address=inside[0])
    same = [one for one in inventory.hosts.values() if one.address in inside]
    return same[0] if same else replace(host, name=inside[0], address=inside[0])


def _pinned(host: Host) -> tuple[tuple[str, str], ...]:
    """What known_hosts says of the dead one: (type, fingerprint)."""
    found = known_hosts.load(host.known_hosts).pinned(known_hosts.name_of_host(host))
    return tuple((entry.type, entry.fingerprint) for entry in found)


def facts_of(kept: Kept, found: Inside, host: Host) -> Facts:
    """What the dead one would say, as far as its backup, its manifest and known_hosts tell."""
    saved = found.network
    interfaces = saved.interfaces or ((Interface(host.interface, host.address, 24),) if host.interface else ())
    when = f"{kept.taken_at:%Y-%m-%d %H:%M}Z"
    return Facts(
        host.name,
        hostname=found.hostname,
        os_pretty=kept.os,
        versions=tuple(kept.versions.items()),
        interfaces=interfaces,
        gateway=saved.gateway,
        dns=saved.dns,
        dhcp=saved.dhcp,
        archives=(kept.archive,),
        devices=found.devices or None,
        device_source="the archive" if found.devices else "",
        host_keys=found.host_keys,
        cron_entry=bool(found.cron_text),
        cron_text=found.cron_text,
        told_by=f"{kept.archive.name} of {when} ({kept.proof})",
    )
