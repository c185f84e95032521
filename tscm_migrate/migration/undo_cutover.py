"""The way back after the cutover: who is at the old address, the new one off it, the old one on it again.

Two hosts may never answer at one address. So the new one leaves first and that is proved. After a restore both may show
the same host keys: a host is told from another by its MAC addresses or, where those cannot be read, by what else only
one of the two has (see `rediscover.who_is`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from tscm_migrate.appliance import isolation, network
from tscm_migrate.errors import HostKeyError, MigrateError, NotComeBack, SshError, WouldCollide
from tscm_migrate.events import Said
from tscm_migrate.migration import hooks, host_keys, rediscover, saved_settings
from tscm_migrate.migration.context import place_key

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

_BOOTS_WITHIN = 90.0  # seconds from the `online` hook to the restart of the timer
_GONE_WITHIN = 30.0  # seconds in which the last answer from the old address has to cease
Who = Literal["nobody", "old", "new", "stranger", "unknown"]
_UNTOLD = "no MAC address, machine-id, host key or lock says which of the two it is"


def keys_of(m: Migration, *roles: str) -> list[str]:
    """Fingerprints of the host keys of "old", "new" or both, as they were before anything moved."""
    facts = {"old": m.old_facts, "new": m.new_facts}
    found = [key for role in roles for _, key in facts[role].host_keys]
    return list(dict.fromkeys([*found, *(key for role in roles for key in m.get_note(f"{role}_keys", []))]))


def old_interface(m: Migration) -> str:
    """The old one's interface that has its address."""
    found = (one.name for one in m.old_facts.interfaces if one.address == m.old.host.address)
    return next(found, m.interface)


def known_macs(m: Migration) -> dict[str, list[str]]:
    """By which hardware addresses the two are told apart, as the step has noted them that looked at the old address."""
    undo = m.journal.record.undo
    seen = undo.get("take-offline") or undo.get("old-absent") or {}
    return {key: list(seen.get(key, [])) for key in ("old_macs", "new_macs")}


def original_place(m: Migration) -> Host:
    """The new one at the address that it had before."""
    return replace(m.new.host, address=m.new_facts_address)


def identify_at(m: Migration, place: Host, undo: dict[str, Any]) -> tuple[Who, Shell | None]:
    """Tell who is at a place.

    Returns:
        Who, and the connection if it is the old or the new appliance. "nobody" only means that no connection could be
        made; "unknown" that nothing on the host tells which of the two it is.
    """
    try:
        shell = m.dial(place, keys_of(m, "old", "new"))
    except HostKeyError:
        return "stranger", None
    except SshError:
        return "nobody", None
    try:
        who = identify(m, shell, undo)
    except BaseException:
        shell.close()
        raise
    if who in ("old", "new"):
        return who, shell
    shell.close()
    return who, None


def identify(m: Migration, shell: Shell, undo: dict[str, Any]) -> Who:
    """Tell which appliance is at the other end of a connection: "old", "new", "stranger" or "unknown"."""
    here = set(network.hardware_addresses(shell))
    old, new = set(undo.get("old_macs", [])), set(undo.get("new_macs", []))
    if here & (old - new):
        return "old"
    if here & (new - old):
        return "new"
    if here and old and new and not here & (old | new):
        return "stranger"
    proved = rediscover.who_is(rediscover.read_traits(shell), rediscover.known_traits(m))
    if here and (known := {"old": old, "new": new}.get(proved)) and not here & known:
        return "stranger"  # a clone has the lock and the machine-id, too
    return "old" if proved == "old" else "new" if proved == "new" else "unknown"


# ------------------------------------------------------------------------------------------------ the new one


def find_new(m: Migration, undo: dict[str, Any]) -> bool:
    """Connect to the new one, at whichever of its two addresses it is; True: it is at the old one's."""
    for place in (replace(m.new.host, address=m.old.host.address, port=m.old.host.port), original_place(m)):
        who, shell = identify_at(m, place, undo)
        if who == "new" and shell is not None:
            m.new.moved(place, shell)
            return place.address == m.old.host.address
        if shell is not None:
            shell.close()
    raise NotComeBack(m.new.name, f"it is neither at {m.old.host.address} nor at {m.new_facts_address}")


def move_new_away(m: Migration, undo: dict[str, Any]) -> None:
    """The new one leaves the old address: its own settings back and a restart; else off by a hook or by hand.

    Raises:
        WouldCollide: it could not be made sure.
    """
    try:
        at_old = find_new(m, undo)
        saved_settings.put_back(m.new)
        if at_old:
            _restart_at_home(m)
    except MigrateError as error:
        m.emit(Said(f"{m.new.name}: {error}; it has to be off instead", "warning"))
        if m.hooks.offline:
            said = hooks.run_hook("offline", m.hooks.offline, hooks.facts_for(m.new.host, "new", m.run, m.old.host))
            m.emit(Said(said or "the hook `offline` ended well"))
        elif not m.operator.instruct(f"Power off {m.new.name} (it may hold {m.old.host.address})."):
            detail = f"{m.new.name} may hold it, and could not be taken off: {error}"
            raise WouldCollide(m.old.name, detail, m.old.host.address) from error


def restore_new(m: Migration, undo: dict[str, Any]) -> None:
    """The new one, whose address nothing has changed, gets its own things back, and shows its own host key.

    Raises:
        MigrateError: it is not there, or could not be told.
    """
    find_new(m, undo)
    saved_settings.put_back(m.new)
    own, host = keys_of(m, "new"), m.new.host
    if own and m.new.shell.server_fingerprint() not in own:
        shell = host_keys.reconnect_after_reload(m, m.new.shell, own)
        m.expect_keys(host.address, own)
        m.new.moved(host, shell)


def _restart_at_home(m: Migration) -> None:
    was = network.boot_of(m.new.shell)
    network.reboot(m.new, was=was, soon=False)
    found = network.wait_for(
        m.dial, places=(original_place(m),), expect=keys_of(m, "new", "old"), old_boot=was,
        timeout=m.policy.reboot_timeout, emit=m.emit,
    )  # fmt: skip
    m.expect_keys(found.host.address, keys_of(m, "new", "old"))
    m.new.moved(found.host, found.shell)


# ------------------------------------------------------------------------------------------------ the old one


def prove_address_free(m: Migration, undo: dict[str, Any]) -> None:
    """Nobody may be at the old address: seen from the new one where it is up, else from here.

    Raises:
        WouldCollide: somebody is there, or it cannot be told.
    """
    address = m.old.host.address
    who, shell = identify_at(m, replace(m.old.host, address=address), undo)
    if shell is not None:
        shell.close()
    there = {"new": m.new.name, "stranger": "another host", "unknown": f"a host of which {_UNTOLD}"}
    if who in there:
        raise WouldCollide(m.old.name, f"{there[who]} is there", address)
    if who == "nobody" and network.refuses_here(m.old.host):
        raise WouldCollide(m.old.name, "somebody is there who lets nobody in", address)
    try:
        who, shell = identify_at(m, original_place(m), undo)
        if who == "new" and shell is not None:
            m.new.moved(original_place(m), shell)
            network.prove_gone(m.new, m.old.host, interface=m.interface, timeout=_GONE_WITHIN)
    except MigrateError as error:
        raise WouldCollide(m.old.name, str(error), address) from error


def return_old(m: Migration, undo: dict[str, Any]) -> None:
    """The old one returns to its address, by the way that it left: its timer, a hook, or a person.

    Raises:
        NotComeBack: nobody could bring it back; what to do is said.
    """
    mode = undo.get("offline", "poweroff")
    if mode == "isolate":
        _tell_timer_or_switch_on(m)
    elif m.hooks.online:
        _by_hook(m)
    elif not m.operator.instruct(f"Bring {m.old.name} back to {m.old.host.address} (power it on)."):
        raise NotComeBack(m.old.name, f"power it on, then run again: tscm-migrate rollback {m.run}")
    limit = m.policy.reboot_timeout + (m.revert_after if mode == "isolate" else 0.0)
    found = network.wait_for(
        m.dial, places=(m.old.host,), expect=keys_of(m, "old"), old_boot="", timeout=limit, emit=m.emit,
    )  # fmt: skip
    m.expected_keys[place_key(m.old.name, found.host.address)] = tuple(keys_of(m, "old"))
    m.old.moved(found.host, found.shell)
    who = identify(m, m.old.shell, undo)
    if who != "old":
        what = f"what answers cannot be told: {_UNTOLD}"
        if who != "unknown":
            what = "what answers is not the appliance that left"
        raise WouldCollide(m.old.name, what, m.old.host.address)


def _by_hook(m: Migration) -> None:
    command = m.hooks.online or ""
    said = hooks.run_hook("online", command, hooks.facts_for(m.old.host, "old", m.run, m.new.host))
    m.emit(Said(said or "the hook `online` ended well"))


def _tell_timer_or_switch_on(m: Migration) -> None:
    """Its timer is told; one that was switched off is switched on first, for there the timer begins again."""
    if _tell_timer(m):
        return
    if m.hooks.online:
        _by_hook(m)
        deadline = time.monotonic() + _BOOTS_WITHIN
        while time.monotonic() < deadline:
            if _tell_timer(m, quiet=True):
                return
            time.sleep(1.0)
    m.emit(Said(f"{m.old.name} cannot be told; waiting for its timer", "warning"))


def _tell_timer(m: Migration, *, quiet: bool = False) -> bool:
    leash = isolation.leash_of(m.run)
    try:
        isolation.hold_the_leash(m.new, leash, m.interface)
        m.expected_keys[place_key(m.old.name, leash.old)] = tuple(keys_of(m, "old"))
        held = isolation.on_leash(m.old.host, m.new.host, leash, m.dial, m.emit)
        try:
            isolation.tell(held, "return")
        finally:
            held.close()
            isolation.drop_the_leash(m.new, leash, m.interface)
    except MigrateError as error:
        if not quiet:
            m.emit(Said(f"{m.old.name}: {error}", "warning"))
        return False
    return True
