"""Undo the cutover: identify the host at the old address, move the new appliance away, bring the old appliance back.

Two hosts must never answer at one address, so the new appliance leaves first, and that is proved. After a restore both
may show the same host keys. A host is identified by its MAC addresses or, if those cannot be read, by what else only
one of the two has (see `rediscover.who_is`).
"""

import time
from dataclasses import replace
from typing import Any, Literal

from tscm_migrate.appliance import isolation, network
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.errors import AddressConflict, HostKeyError, MigrateError, NotReachableAgain, SshError
from tscm_migrate.events import Message
from tscm_migrate.migration import host_keys, rediscover, saved_settings
from tscm_migrate.migration.context import Migration, place_key
from tscm_migrate.model import Host
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.util import operator_command

_BOOTS_WITHIN = 90.0  # seconds from the `online` hook to the restart of the timer
_GONE_WITHIN = 30.0  # seconds in which the last answer from the old address has to cease
Who = Literal["no answer", "old", "new", "other", "unknown"]
_UNIDENTIFIED = "no MAC address, machine-id, host key or lock identifies it as one of the two"


def old_interface(m: Migration) -> str:
    """Return the interface of the old appliance that has its address."""
    names = (one.name for one in m.old_facts.interfaces if one.address == m.old.host.address)
    return next(names, m.interface)


def known_macs(m: Migration) -> dict[str, list[str]]:
    """Return the MAC addresses of both, from the step that was the first to look at the old address."""
    undo = m.journal.record.undo
    seen = undo.get("take-offline") or undo.get("old-absent") or {}
    return {key: list(seen.get(key, [])) for key in ("old_macs", "new_macs")}


def original_place(m: Migration) -> Host:
    """Return the new appliance at the address that it had before the run."""
    return replace(m.new.host, address=m.new_facts_address)


def identify_at(m: Migration, place: Host, undo: dict[str, Any]) -> tuple[Who, Shell | None]:
    """Connect to an address and identify the host there.

    Returns:
        Which host it is, and the connection if it is the old or the new appliance. "no answer": no connection could be
        made, which proves nothing; "other": another host; "unknown": it may be either of the two.
    """
    try:
        shell = m.dial(place, m.keys_of("old", "new"))
    except HostKeyError:
        return "other", None
    except SshError:
        return "no answer", None
    try:
        who = identify(m, shell, undo)
    except BaseException:
        shell.close()
        raise
    if who in ("old", "new"):
        return who, shell
    shell.close()
    return who, None


def answers_at(m: Migration, appliance: Appliance, place: Host, undo: dict[str, Any]) -> bool:
    """Connect to an address; keep the connection as that of the old or new appliance if that one answers there."""
    who, shell = identify_at(m, place, undo)
    if shell is None:
        return False
    if who == ("old" if appliance is m.old else "new"):
        appliance.moved(place, shell)
        return True
    shell.close()
    return False


def identify(m: Migration, shell: Shell, undo: dict[str, Any]) -> Who:
    """Identify the host of a connection: "old", "new", "other" or "unknown"."""
    here = set(network.hardware_addresses(shell))
    old, new = set(undo.get("old_macs", [])), set(undo.get("new_macs", []))
    if here & (old - new):
        return "old"
    if here & (new - old):
        return "new"
    if here and old and new and not here & (old | new):
        return "other"
    proved = rediscover.who_is(rediscover.read_traits(shell), rediscover.known_traits(m))
    if here and (known := {"old": old, "new": new}.get(proved)) and not here & known:
        return "other"  # a clone has the same lock and machine-id
    return "old" if proved == "old" else "new" if proved == "new" else "unknown"


# ---- the new appliance


def find_new(m: Migration, undo: dict[str, Any]) -> bool:
    """Connect to the new appliance at one of its two addresses; True if it is at the old address."""
    for place in (replace(m.new.host, address=m.old.host.address, port=m.old.host.port), original_place(m)):
        if answers_at(m, m.new, place, undo):
            return place.address == m.old.host.address
    raise NotReachableAgain(m.new.name, f"it answers neither at {m.old.host.address} nor at {m.new_facts_address}")


def move_new_away(m: Migration, undo: dict[str, Any]) -> None:
    """Remove the new appliance from the old address: restore its settings and restart it, else have it switched off.

    Raises:
        AddressConflict: it may still have the old address.
    """
    try:
        at_old = find_new(m, undo)
        saved_settings.restore(m.new)
        if at_old:
            _restart_at_home(m)
    except MigrateError as error:
        m.emit(Message(f"{m.new.name}: {error}; it has to be switched off instead", "warning"))
        if m.hooks.offline:
            run_hook(m, "offline", m.hooks.offline, m.new)
        elif not m.operator.instruct(f"Power off {m.new.name} (it may still have {m.old.host.address})."):
            detail = f"{m.new.name} may still have it, and could not be taken offline: {error}"
            raise AddressConflict(m.old.name, detail, m.old.host.address) from error


def restore_new(m: Migration, undo: dict[str, Any]) -> None:
    """Restore the settings and host keys of the new appliance, in a run that did not change its address.

    Raises:
        MigrateError: it does not answer, or its settings could not be restored.
    """
    find_new(m, undo)
    saved_settings.restore(m.new)
    own, host = m.keys_of("new"), m.new.host
    if own and m.new.shell.server_fingerprint() not in own:
        shell = host_keys.reconnect_after_reload(m, m.new.shell, own)
        m.expect_keys(host.address, own)
        m.new.moved(host, shell)


def _restart_at_home(m: Migration) -> None:
    was = network.boot_of(m.new.shell)
    network.reboot(m.new)
    back = network.wait_for(
        m.dial, places=(original_place(m),), expect=m.keys_of("new", "old"), old_boot=was,
        timeout=m.policy.reboot_timeout, emit=m.emit, again=lambda: network.reboot(m.new),
    )  # fmt: skip
    m.expect_keys(back.host.address, m.keys_of("new", "old"))
    m.new.moved(back.host, back.shell)


# ---- the old appliance


def prove_address_free(m: Migration, undo: dict[str, Any]) -> None:
    """Prove that no host is at the old address: from the new appliance if it answers, else from this workstation.

    Raises:
        AddressConflict: a host is there, or it is unknown.
    """
    address = m.old.host.address
    who, shell = identify_at(m, replace(m.old.host, address=address), undo)
    if shell is not None:
        shell.close()
    names = {"new": m.new.name, "other": "another host", "unknown": f"an unidentified host ({_UNIDENTIFIED})"}
    if who in names:
        raise AddressConflict(m.old.name, f"{names[who]} is there", address)
    if who == "no answer" and network.refuses_here(m.old.host):
        raise AddressConflict(m.old.name, "a host is there that refuses connections", address)
    try:
        if answers_at(m, m.new, original_place(m), undo):
            network.prove_gone(m.new, m.old.host, interface=m.interface, timeout=_GONE_WITHIN)
    except MigrateError as error:
        raise AddressConflict(m.old.name, str(error), address) from error


def return_old(m: Migration, undo: dict[str, Any]) -> None:
    """Return the old appliance to its address: by its timer, a hook, or the operator.

    Raises:
        NotReachableAgain: it did not return; the error says what to do. AddressConflict: another host answers there.
    """
    mode = undo.get("offline", "poweroff")
    if mode == "isolate":
        _tell_timer_or_switch_on(m)
    elif m.hooks.online:
        run_hook(m, "online", m.hooks.online, m.old)
    elif not m.operator.instruct(f"Bring {m.old.name} back to {m.old.host.address} (power it on)."):
        raise NotReachableAgain(m.old.name, f"power it on, then run again: tscm-migrate rollback {m.run}")
    limit = m.policy.reboot_timeout + (m.revert_after if mode == "isolate" else 0.0)
    back = network.wait_for(
        m.dial, places=(m.old.host,), expect=m.keys_of("old"), old_boot="", timeout=limit, emit=m.emit,
    )  # fmt: skip
    m.expected_keys[place_key(m.old.name, back.host.address)] = tuple(m.keys_of("old"))
    m.old.moved(back.host, back.shell)
    who = identify(m, m.old.shell, undo)
    if who != "old":
        what = f"the host that answers is unidentified: {_UNIDENTIFIED}"
        if who != "unknown":
            what = "the host that answers is not the appliance that left"
        raise AddressConflict(m.old.name, what, m.old.host.address)


def _tell_timer_or_switch_on(m: Migration) -> None:
    """Tell the timer to return; if it does not answer, switch the appliance on, which starts its timer again."""
    if tell_timer(m, "return"):
        return
    if m.hooks.online:
        run_hook(m, "online", m.hooks.online, m.old)
        deadline = time.monotonic() + _BOOTS_WITHIN
        while time.monotonic() < deadline:
            if tell_timer(m, "return", quiet=True):
                return
            time.sleep(1.0)
    m.emit(Message(f"{m.old.name} does not answer; waiting for its timer", "warning"))


def tell_timer(m: Migration, word: str, value: str = "", *, quiet: bool = False) -> bool:
    """Send a command to the timer of the isolated old appliance; False, with a warning, if it does not answer.

    `word` is confirmed, return, or extend with a `value` in seconds. After extend, the rescue channel stays until the
    next boot.
    """
    channel = isolation.rescue_channel(m.run)
    try:
        isolation.add_rescue_address(m.new, channel, m.interface)
        m.expected_keys[place_key(m.old.name, channel.old)] = tuple(m.keys_of("old"))
        shell = isolation.over_rescue_channel(m.old.host, m.new.host, channel, m.dial, m.emit)
        try:
            isolation.tell(shell, word, value)
        finally:
            shell.close()
            if word != "extend":
                isolation.remove_rescue_address(m.new, channel, m.interface)
    except MigrateError as error:
        if not quiet:
            m.emit(Message(f"{m.old.name}: its timer does not answer: {error}", "warning"))
        return False
    return True


def run_hook(m: Migration, name: str, command: str, appliance: Appliance) -> None:
    """Run a hook of the inventory for one of the two appliances, and emit what it prints."""
    role, other = ("old", m.new) if appliance is m.old else ("new", m.old)
    facts = operator_command.hook_environment(appliance.host, role, m.run, other.host)
    m.emit(Message(operator_command.run_hook(name, command, facts) or f"the hook `{name}` succeeded"))
