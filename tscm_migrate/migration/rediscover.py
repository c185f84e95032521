"""Find out which appliance is at which address after a killed run.

The old address may belong to either appliance, and after the restore both have the same host keys. They are
distinguished by what only one of them has: its own host key, this run's lock, its machine-id or its boot id.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tscm_migrate import errors
from tscm_migrate.appliance.appliance import PRESENT, quote
from tscm_migrate.appliance.facts import Facts, boot_script
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.events import Message, Waiting
from tscm_migrate.migration.context import Migration
from tscm_migrate.model import Host
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.util.text import duration_text

_SOON = 45.0  # seconds for an appliance that should answer, and may be restarting services
_PAUSE = 1.0


@dataclass(frozen=True)
class HostTraits:
    """What identifies an appliance. `holds`: it has a cron entry that this tool has paused."""

    shown: str
    mark: ApplianceLock | None = None
    holds: bool = False
    machine_id: str = ""
    boot: str = ""


@dataclass(frozen=True)
class KnownTraits:
    """What identified both appliances before anything was changed, and how far the run has come."""

    old: Facts
    new: Facts
    run: str
    old_keys: frozenset[str]
    new_keys: frozenset[str]
    restoring: bool = False  # the new appliance may have the old host keys
    locked_old: bool = False


def who_is(trace: HostTraits, known: KnownTraits) -> str:
    """Return "old", "new", or "" if nothing proves which appliance it is. Pure."""
    if trace.shown in known.new_keys - known.old_keys:
        return "new"
    if trace.mark and trace.mark.run == known.run and trace.mark.role in {"old", "new"}:
        return trace.mark.role
    if who := _by_machine(trace, known):
        return who
    if trace.shown in known.old_keys and (trace.holds or not known.restoring):
        return "old"
    # The old appliance went offline with this run's lock, which only this tool removes.
    return "new" if known.restoring and known.locked_old else ""


def _by_machine(trace: HostTraits, known: KnownTraits) -> str:
    """Return "old" or "new" by the machine id, else by the boot id; "" if both appliances have the same, or neither."""
    was_and_is = (
        ((known.old.machine_id, known.new.machine_id), trace.machine_id),
        ((known.old.boot, known.new.boot), trace.boot),
    )
    for (old, new), is_now in was_and_is:
        if is_now and is_now in {old, new} and old != new:
            return "old" if is_now == old else "new"
    return ""


def known_traits(m: Migration) -> KnownTraits:
    """Return what identifies both appliances, from the journal."""
    record = m.journal.record
    return KnownTraits(
        m.old_facts, m.new_facts, m.run, frozenset(m.keys_of("old")), frozenset(m.keys_of("new")),
        restoring="restore" in record.started or "restore-network" in record.started,
        locked_old=m.old.name in record.locked,
    )  # fmt: skip


@dataclass(frozen=True)
class LocatedHost:
    """An appliance that answers: "old" or "new", with the host as which it was reached."""

    who: str
    host: Host
    shell: Shell


def find_both(m: Migration, *, need_new: bool, timeout: float | None = None) -> bool:
    """Find both appliances, and set the addresses of `m.old` and `m.new`.

    Args:
        m: as built from the journal.
        need_new: wait for the new appliance, which may be restarting.
        timeout: seconds; None: the reboot timeout if the new appliance is restarting, else a short time.

    Returns:
        Whether the old appliance answers.

    Raises:
        AddressUnclear: nothing proves which of the two an answering host is; nothing was changed.
        HostKeyError: the host key belongs to neither.
        NotReachableAgain: the new appliance is needed and does not answer.
        AddressConflict: the old appliance answers, in a run that restores it as dead.
    """
    seen = _look_until(m, need_new=need_new, limit=_limit(m) if timeout is None else timeout)
    if "new" in seen:
        _adopt(m, seen["new"])
    if "old" in seen:
        if m.restore_source is not None:
            _close(seen)
            raise errors.AddressConflict(
                m.old.name, "it is alive, but this run restores it as dead", m.old.host.address
            )
        m.old.moved(seen["old"].host, seen["old"].shell)
    where = {who: one.host.address for who, one in seen.items()}
    m.emit(Message(", ".join(
        f"{one.name} {'answers at ' + where[who] if who in where else 'does not answer'}"
        for who, one in (("old", m.old), ("new", m.new)) if one in m.reachable
    )))  # fmt: skip
    return "old" in seen


def _limit(m: Migration) -> float:
    """Return for how many seconds the new appliance is waited for: longer if it is restarting."""
    record = m.journal.record
    restarting = "restore-network" in record.started and "come-back" not in record.done
    return m.policy.reboot_timeout if restarting else _SOON


def _look_until(m: Migration, *, need_new: bool, limit: float) -> dict[str, LocatedHost]:
    """Look for both appliances; if the new appliance is needed and does not answer, repeat it for `limit` seconds."""
    began = time.monotonic()
    while True:
        seen, refused = _look_again(m)
        waited = time.monotonic() - began
        if refused is not None and (waited > limit or not need_new):
            raise refused
        if "new" in seen or not need_new:
            return seen
        _close(seen)
        if waited > limit:
            addresses = " and ".join(dict.fromkeys([m.new.host.address, m.old.host.address]))
            raise errors.NotReachableAgain(
                m.new.name, f"it did not answer at {addresses} within {duration_text(limit)}"
            )
        m.emit(Waiting(f"for {m.new.name} to answer", waited, limit, m.new.name))
        time.sleep(_PAUSE)


def _adopt(m: Migration, located: LocatedHost) -> None:
    known = known_traits(m)
    keys = [*known.new_keys, *(known.old_keys if known.restoring and m.options.restore_ssh else ())]
    if located.host.address != m.new_facts_address or known.restoring:
        m.expect_keys(located.host.address, sorted(keys))
    m.new.moved(located.host, located.shell)


def _look_again(m: Migration) -> tuple[dict[str, LocatedHost], errors.AuthFailed | None]:
    """Look once; a refused login is returned, for a starting appliance may refuse every login for a while."""
    try:
        return _look(m), None
    except errors.AuthFailed as error:
        return {}, error


def _look(m: Migration) -> dict[str, LocatedHost]:
    at_old = replace(m.new.host, address=m.old.host.address, port=m.old.host.port,
                     gateway=m.old.host.gateway or m.new.host.gateway)  # fmt: skip
    at_own = replace(m.new.host, address=m.new_facts_address)
    # Two logins at the old address: the old appliance's, and the new appliance's in case it has moved there.
    tries = ((m.old.host, at_old), (at_own,)) if at_old.address != at_own.address else ((at_own,),)
    with ThreadPoolExecutor(2, thread_name_prefix="locate") as pool:
        located = [seen for seen in pool.map(lambda hosts: _at(m, hosts), tries) if seen is not None]
    for seen in located:
        if not seen.who or [one.who for one in located].count(seen.who) > 1:
            _close({str(i): one for i, one in enumerate(located)})
            detail = (
                f"two hosts look like the {seen.who} appliance" if seen.who else "nothing that only one of them has"
            )
            raise errors.AddressUnclear(seen.host.address, detail)
    return {seen.who: seen for seen in located}


def _at(m: Migration, hosts: tuple[Host, ...]) -> LocatedHost | None:
    """Return the appliance that answers at one of these hosts, connected with its own login."""
    known = known_traits(m)
    expect = sorted(known.old_keys | known.new_keys)
    refused: errors.AuthFailed | None = None
    for index, host in enumerate(hosts):
        try:
            shell = m.dial(host, expect)
            try:
                who = who_is(read_traits(shell), known)
            except BaseException:
                shell.close()
                raise
            if who == "new" and index + 1 < len(hosts) and hosts[index + 1].name == m.new.name:
                shell.close()
                shell, host = m.dial(hosts[index + 1], expect), hosts[index + 1]  # noqa: PLW2901
        except errors.AuthFailed as error:
            refused = error
            continue
        except errors.HostKeyError:
            raise
        except errors.SshError:
            return None
        return LocatedHost(who, host, shell)
    if refused is not None:
        raise refused
    return None


def read_traits(shell: Shell) -> HostTraits:
    """Read what identifies an appliance.

    Raises:
        ProcessesHidden: its lock and its paused entries cannot be read.
    """
    paths = shell.host.paths
    hold = quote(paths.hold_dir)
    script = (
        f"{PRESENT}if present {hold}/lock; then head -c 4096 {hold}/lock | tr -d '\\n'; fi; echo; "
        f"if present {hold}/held; then echo yes; else echo no; fi; "
        f"cat /etc/machine-id 2>/dev/null | tr -d '\\n'; echo; "
        f"{boot_script(paths)}"
    )
    done = shell.run(script, sudo=True, check=False, display="which appliance is it?")
    lines = [*done.stdout.split("\n"), *[""] * 4]
    if lines[1] not in {"yes", "no"}:
        raise errors.ProcessesHidden(shell.host.name, f"what is in {paths.hold_dir}: {done.stderr.strip()[-200:]}")
    lock = ApplianceLock.parse(lines[0]) if lines[0].strip() else None
    return HostTraits(
        shell.server_fingerprint(), lock, lines[1] == "yes", lines[2].strip(), " ".join(lines[3:]).strip()
    )


def _close(seen: dict[str, LocatedHost]) -> None:
    for one in seen.values():
        one.shell.close()
