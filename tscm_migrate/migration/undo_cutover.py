"""The way back after the cutover: who is at the old address, the new one off it, the old one on it again.

Two hosts may never answer at one address. So the new one leaves first and that is proved. After a restore both may show
the same host keys: a host is told from another by its MAC addresses or, where those cannot be read, by what else only
one of the two has (see `rediscover.who_is`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from tscm_migrate.appliance import isolation, network
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import ApplianceError, HostKeyError, MigrateError, NotComeBack, SshError, WouldCollide
from tscm_migrate.events import Said
from tscm_migrate.migration import hooks, host_keys, rediscover
from tscm_migrate.migration.context import at
from tscm_migrate.migration.leftovers import OWN_SETTINGS

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

_BOOTS_WITHIN = 90.0  # seconds from a switch to the timer that begins again
Who = Literal["nobody", "old", "new", "stranger", "unknown"]
_UNTOLD = "no MAC address, machine-id, host key or lock says which of the two it is"
# What a restore may overwrite on the new one, and what it needs to be itself again.
_SETTINGS = (
    "etc/network etc/netplan etc/sysconfig/network-scripts etc/NetworkManager/system-connections etc/hostname "
    "etc/hosts etc/bind etc/named etc/named.conf"
)


def root_of(new: Appliance) -> str:
    """The folder below which its files are, with a slash behind: that of a demo appliance is not its machine's."""
    path = new.paths.os_release
    return path.removesuffix("etc/os-release") if path.endswith("/etc/os-release") else "/"


def kept_places(new: Appliance) -> tuple[str, ...]:
    """The folders and files of the new appliance, as absolute paths, whose content a rollback restores."""
    cron = str(PurePosixPath(new.paths.cron_entry).parent)
    return (*(f"{root_of(new)}{place}" for place in _SETTINGS.split()), cron, new.paths.etc_dir, new.paths.ssh_dir)


def settings_of(new: Appliance) -> str:
    """All of them, as words of a shell's `for`: its devices and cron entries too, which the second pass replaces."""
    root, cron = root_of(new), str(PurePosixPath(new.paths.cron_entry).parent)
    found = [f"{root}{one}" for one in _SETTINGS.split()] + [cron, new.paths.etc_dir]
    return " ".join(quote(one.strip("/")) for one in found)


def keys_of(m: Migration, *roles: str) -> list[str]:
    """Fingerprints of the host keys of "old", "new" or both, as they were before anything moved."""
    facts = {"old": m.old_facts, "new": m.new_facts}
    found = [key for role in roles for _, key in facts[role].host_keys]
    return list(dict.fromkeys([*found, *(key for role in roles for key in m.noted(f"{role}_keys", []))]))


def interface_of(m: Migration) -> str:
    """The old one's interface that has its address."""
    found = (one.name for one in m.old_facts.interfaces if one.address == m.old.host.address)
    return next(found, m.interface)


def hardware(m: Migration) -> dict[str, list[str]]:
    """By which hardware addresses the two are told apart, as the step has noted them that looked at the old address."""
    undo = m.journal.record.undo
    seen = undo.get("take-offline") or undo.get("old-absent") or {}
    return {key: list(seen.get(key, [])) for key in ("old_macs", "new_macs")}


def own_place(m: Migration) -> Host:
    """The new one at the address that it had before."""
    return replace(m.new.host, address=m.new_facts_address)


def look_at(m: Migration, place: Host, undo: dict[str, Any]) -> tuple[Who, Shell | None]:
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
    proved = rediscover.who_is(rediscover.ask(shell), rediscover.known_of(m))
    if here and (known := {"old": old, "new": new}.get(proved)) and not here & known:
        return "stranger"  # a clone has the lock and the machine-id, too
    return "old" if proved == "old" else "new" if proved == "new" else "unknown"


# ------------------------------------------------------------------------------------------------ the new one


def save_settings(new: Appliance, name: str = OWN_SETTINGS) -> bool:
    """Save what a restore may change of the new appliance on itself, readable by root alone.

    Args:
        new: the new appliance.
        name: of the file in its hold folder; the cutover and the rehearsal have one each.

    Returns:
        False where it could not be saved.
    """
    folder, settings = quote(new.paths.hold_dir), settings_of(new)
    looked_at = f"{folder.lstrip('/')}/{name}.list"
    script = (
        f"set -eu; umask 077; mkdir -p {folder}; rm -f {folder}/{name}.*; cd /; set -- {looked_at}; "
        f"for f in {settings} {quote(new.paths.ssh_dir.lstrip('/'))}/ssh_host_*; do "
        '[ -e "$f" ] && set -- "$@" "$f"; done; '
        f"printf '%s\\n' {settings} >{looked_at}; "
        f'tar -cpf {folder}/{name}.part "$@"; rm -f {looked_at}; mv {folder}/{name}.part {folder}/{name}.tar'
    )
    done = new.run(
        script, sudo=True, check=False, timeout=600.0, display="save its own settings, host keys and devices"
    )
    return done.status == 0


def has_settings(new: Appliance, name: str) -> bool:
    """Whether settings are saved there under this name."""
    file = quote(f"{new.paths.hold_dir}/{name}.tar")
    return new.run(f"test -e {file}", sudo=True, check=False, display="are its settings saved?").status == 0


def settings_back(new: Appliance, name: str = OWN_SETTINGS) -> None:
    """Put the saved settings back; those of the network count from its next boot.

    Args:
        new: the new appliance.
        name: as for `save_settings`.

    Raises:
        ApplianceError: they are not there, or could not be written.
    """
    folder, settings = quote(new.paths.hold_dir), settings_of(new)
    tar, looked_at = f"{folder}/{name}.tar", f"{folder.lstrip('/')}/{name}.list"
    script = (
        f"set -eu; cd /; there=$(tar -tf {tar}); looked_at=$(tar -xOf {tar} {looked_at} 2>/dev/null || :); "
        'has() { printf "%s\\n" "$there" | grep -q "^$1$2"; }; '
        f"for d in {settings}; do "
        # a file that the restore has added must go too, or it would count beside the old ones
        'if has "$d" /; then find "/$d" -mindepth 1 -maxdepth 1 -exec rm -rf {} +; '
        # and so must a folder that was not there at all
        'elif printf "%s\\n" "$looked_at" | grep -qxF "$d" && ! has "$d" "\\$"; then rm -rf "/$d"; fi; done; '
        f"tar -xpf {tar}; for d in {settings}; do "
        'if [ -e "/$d" ] && command -v restorecon >/dev/null; then restorecon -R "/$d" || :; fi; done; '
        f"rm -f {tar} {looked_at}; rmdir {folder} 2>/dev/null || :; sync"
    )
    done = new.run(
        script, sudo=True, check=False, timeout=600.0, display="put its own settings, host keys and devices back"
    )
    if done.status != 0:
        raise ApplianceError(new.name, f"its own settings could not be put back: {done.said}")


def find_new(m: Migration, undo: dict[str, Any]) -> bool:
    """Connect to the new one, at whichever of its two addresses it is; True: it is at the old one's."""
    for place in (replace(m.new.host, address=m.old.host.address, port=m.old.host.port), own_place(m)):
        who, shell = look_at(m, place, undo)
        if who == "new" and shell is not None:
            m.new.moved(place, shell)
            return place.address == m.old.host.address
        if shell is not None:
            shell.close()
    raise NotComeBack(m.new.name, f"it is neither at {m.old.host.address} nor at {m.new_facts_address}")


def new_one_off(m: Migration, undo: dict[str, Any]) -> None:
    """The new one leaves the old address: its own settings back and a restart; else off by a hook or by hand.

    Raises:
        WouldCollide: it could not be made sure.
    """
    try:
        at_old = find_new(m, undo)
        settings_back(m.new)
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


def itself_again(m: Migration, undo: dict[str, Any]) -> None:
    """The new one, whose address nothing has changed, gets its own things back, and shows its own host key.

    Raises:
        MigrateError: it is not there, or could not be told.
    """
    find_new(m, undo)
    settings_back(m.new)
    own, host = keys_of(m, "new"), m.new.host
    if own and m.new.shell.server_fingerprint() not in own:
        shell = host_keys.shown_anew(m, m.new.shell, own)
        m.foresee(host.address, own)
        m.new.moved(host, shell)


def _restart_at_home(m: Migration) -> None:
    was = network.boot_of(m.new.shell)
    network.reboot(m.new, was=was, soon=False)
    found = network.wait_for(
        m.dial, places=(own_place(m),), expect=keys_of(m, "new", "old"), old_boot=was,
        timeout=m.policy.reboot_timeout, emit=m.emit,
    )  # fmt: skip
    m.foresee(found.host.address, keys_of(m, "new", "old"))
    m.new.moved(found.host, found.shell)


# ------------------------------------------------------------------------------------------------ the old one


def prove_free(m: Migration, undo: dict[str, Any]) -> None:
    """Nobody may be at the old address: seen from the new one where it is up, else from here.

    Raises:
        WouldCollide: somebody is there, or it cannot be told.
    """
    address = m.old.host.address
    who, shell = look_at(m, replace(m.old.host, address=address), undo)
    if shell is not None:
        shell.close()
    there = {"new": m.new.name, "stranger": "another host", "unknown": f"a host of which {_UNTOLD}"}
    if who in there:
        raise WouldCollide(m.old.name, f"{there[who]} is there", address)
    if who == "nobody" and network.refuses_here(m.old.host):
        raise WouldCollide(m.old.name, "somebody is there who lets nobody in", address)
    try:
        who, shell = look_at(m, own_place(m), undo)
        if who == "new" and shell is not None:
            m.new.moved(own_place(m), shell)
            network.prove_gone(m.new, m.old.host, interface=m.interface, timeout=30.0)
    except MigrateError as error:
        raise WouldCollide(m.old.name, str(error), address) from error


def bring_back(m: Migration, undo: dict[str, Any]) -> None:
    """The old one returns to its address, by the way that it left: its timer, a hook, or a person.

    Raises:
        NotComeBack: nobody could bring it back; what to do is said.
    """
    mode = undo.get("offline", "poweroff")
    if mode == "isolate":
        _call_or_switch_on(m)
    elif m.hooks.online:
        _by_hook(m)
    elif not m.operator.instruct(f"Bring {m.old.name} back to {m.old.host.address} (power it on)."):
        raise NotComeBack(m.old.name, f"power it on, then run again: tscm-migrate rollback {m.run}")
    limit = m.policy.reboot_timeout + (m.revert_after if mode == "isolate" else 0.0)
    found = network.wait_for(
        m.dial, places=(m.old.host,), expect=keys_of(m, "old"), old_boot="", timeout=limit, emit=m.emit,
    )  # fmt: skip
    m.foreseen[at(m.old.name, found.host.address)] = tuple(keys_of(m, "old"))
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


def _call_or_switch_on(m: Migration) -> None:
    """Its timer is told; one that was switched off is switched on first, for there the timer begins again."""
    if _call_back(m):
        return
    if m.hooks.online:
        _by_hook(m)
        deadline = time.monotonic() + _BOOTS_WITHIN
        while time.monotonic() < deadline:
            if _call_back(m, quiet=True):
                return
            time.sleep(1.0)
    m.emit(Said(f"{m.old.name} cannot be told; waiting for its timer", "warning"))


def _call_back(m: Migration, *, quiet: bool = False) -> bool:
    leash = isolation.leash_of(m.run)
    try:
        isolation.hold_the_leash(m.new, leash, m.interface)
        m.foreseen[at(m.old.name, leash.old)] = tuple(keys_of(m, "old"))
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
