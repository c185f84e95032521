"""Which appliance is where: after a killed run two addresses may show the old one, the new one, or nobody.

The old address can be the old one's or the new one's, and after the restore both have the same host keys. They are told
apart by what only one of them has: a host key of its own, this run's mark, a machine or boot identity.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import PRESENT, quote
from tscm_migrate.appliance.facts import boot_script
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.errors import AuthFailed, CannotLook, HostKeyError, LostTrack, NotComeBack, SshError, WouldCollide
from tscm_migrate.events import Said, Waiting

if TYPE_CHECKING:
    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

_SOON = 45.0  # seconds for an appliance that should be there, and may be between two breaths
_PAUSE = 1.0


@dataclass(frozen=True)
class HostTraits:
    """What an appliance shows of itself. `holds`: a cron entry of ours is put aside there."""

    shown: str
    mark: ApplianceLock | None = None
    holds: bool = False
    machine_id: str = ""
    boot: str = ""


@dataclass(frozen=True)
class KnownTraits:
    """What was learned of both before anything was changed, and how far the run has come."""

    old: Facts
    new: Facts
    run: str
    old_keys: frozenset[str]
    new_keys: frozenset[str]
    restoring: bool = False  # the new one may have the old one's host keys by now
    locked_old: bool = False


def who_is(trace: HostTraits, known: KnownTraits) -> str:
    """Say "old", "new", or "" where nothing proves it."""
    if trace.shown in known.new_keys - known.old_keys:
        return "new"
    if trace.mark and trace.mark.run == known.run and trace.mark.role in {"old", "new"}:
        return trace.mark.role
    for was, is_now in (((known.old.machine_id, known.new.machine_id), trace.machine_id),
                        ((known.old.boot, known.new.boot), trace.boot)):  # fmt: skip
        if is_now and is_now in was and was[0] != was[1]:
            return "old" if is_now == was[0] else "new"
    if trace.shown in known.old_keys and (trace.holds or not known.restoring):
        return "old"
    # The old one went away with this run's mark on it, and nothing but this tool removes that.
    return "new" if known.restoring and known.locked_old else ""


def known_traits(m: Migration) -> KnownTraits:
    """From the journal."""
    record = m.journal.record
    return KnownTraits(
        m.old_facts, m.new_facts, m.run, frozenset(_keys(m.old_facts, m.get_note("old_keys", []))),
        frozenset(_keys(m.new_facts, m.get_note("new_keys", []))),
        restoring="restore" in record.started or "restore-network" in record.started,
        locked_old=m.old.name in record.locked,
    )  # fmt: skip


def _keys(facts: Facts, shown: list[str]) -> list[str]:
    return list(dict.fromkeys([*(key for _, key in facts.host_keys), *shown]))


@dataclass(frozen=True)
class LocatedHost:
    """An appliance that answers, as which host it was reached, and who it is."""

    who: str
    host: Host
    shell: Shell


def find_both(m: Migration, *, need_new: bool, timeout: float | None = None) -> bool:
    """Point `m.old` and `m.new` at where they are now.

    Args:
        m: as rebuilt from the journal.
        need_new: wait for the new one, which may be restarting.
        timeout: seconds; None: as long as a restart may take where one is under way, else a moment.

    Returns:
        Whether the old one answers.

    Raises:
        LostTrack: an appliance answers of which nothing proves which one it is; nothing was changed.
        HostKeyError: a key of neither. NotComeBack: the new one is needed and was not seen.
        WouldCollide: the old one answers, which the run has taken for dead.
    """
    record = m.journal.record
    restarting = "restore-network" in record.started and "come-back" not in record.done
    limit = timeout if timeout is not None else (m.policy.reboot_timeout if restarting else _SOON)
    began = time.monotonic()
    while True:
        seen, refused = _look_again(m)
        waited = time.monotonic() - began
        if refused is not None and (waited > limit or not need_new):
            raise refused
        if "new" in seen or not need_new:
            break
        _close(seen)
        if waited > limit:
            addresses = " and ".join(dict.fromkeys([m.new.host.address, m.old.host.address]))
            raise NotComeBack(m.new.name, f"not seen at {addresses} within {limit:.0f} s")
        m.emit(Waiting(f"for {m.new.name} to answer", waited, limit, m.new.name))
        time.sleep(_PAUSE)
    if "new" in seen:
        _adopt(m, seen["new"])
    if "old" in seen:
        if m.restore_source is not None:
            _close(seen)
            raise WouldCollide(m.old.name, "it is alive, and this run has taken it for dead", m.old.host.address)
        m.old.moved(seen["old"].host, seen["old"].shell)
    where = {who: one.host.address for who, one in seen.items()}
    m.emit(Said(", ".join(
        f"{one.name} {'answers at ' + where[who] if who in where else 'does not answer'}"
        for who, one in (("old", m.old), ("new", m.new)) if one in m.reachable
    )))  # fmt: skip
    return "old" in seen


def _adopt(m: Migration, found: LocatedHost) -> None:
    known = known_traits(m)
    keys = [*known.new_keys, *(known.old_keys if known.restoring and m.options.restore_ssh else ())]
    if found.host.address != m.new_facts_address or known.restoring:
        m.expect_keys(found.host.address, sorted(keys))
    m.new.moved(found.host, found.shell)


def _look_again(m: Migration) -> tuple[dict[str, LocatedHost], AuthFailed | None]:
    """What is seen; a refused login comes back: whoever starts may refuse everybody for a while."""
    try:
        return _look(m), None
    except AuthFailed as error:
        return {}, error


def _look(m: Migration) -> dict[str, LocatedHost]:
    at_old = replace(m.new.host, address=m.old.host.address, port=m.old.host.port,
                     gateway=m.old.host.gateway or m.new.host.gateway)  # fmt: skip
    at_own = replace(m.new.host, address=m.new_facts_address)
    # Two logins at the old address: the old one's user, and the new one's should it have moved there.
    tries = ((m.old.host, at_old), (at_own,)) if at_old.address != at_own.address else ((at_own,),)
    with ThreadPoolExecutor(2, thread_name_prefix="locate") as pool:
        found = [seen for seen in pool.map(lambda hosts: _at(m, hosts), tries) if seen is not None]
    for seen in found:
        if not seen.who or [one.who for one in found].count(seen.who) > 1:
            _close({str(i): one for i, one in enumerate(found)})
            detail = f"it is {seen.who}, and so is another" if seen.who else "nothing that only one of them has"
            raise LostTrack(seen.host.address, detail)
    return {seen.who: seen for seen in found}


def _at(m: Migration, hosts: tuple[Host, ...]) -> LocatedHost | None:
    """Whoever answers, reached with the login that belongs to it."""
    known = known_traits(m)
    expect = sorted(known.old_keys | known.new_keys)
    refused: AuthFailed | None = None
    for index, host in enumerate(hosts):
        try:
            shell = m.dial(host, expect)
            try:
                who = who_is(read_traits(shell), known)
            except BaseException:
                shell.close()
                raise
        except AuthFailed as error:
            refused = error
            continue
        except HostKeyError:
            raise
        except SshError:
            return None
        if who == "new" and index + 1 < len(hosts) and hosts[index + 1].name == m.new.name:
            shell.close()
            shell, host = m.dial(hosts[index + 1], expect), hosts[index + 1]  # noqa: PLW2901
        return LocatedHost(who, host, shell)
    if refused is not None:
        raise refused
    return None


def read_traits(shell: Shell) -> HostTraits:
    """Read what tells an appliance from another.

    Raises:
        CannotLook: whether it has a lock or a paused entry of this tool cannot be seen.
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
        raise CannotLook(shell.host.name, f"what is in {paths.hold_dir}: {done.stderr.strip()[-200:]}")
    found = ApplianceLock.parse(lines[0]) if lines[0].strip() else None
    return HostTraits(
        shell.server_fingerprint(), found, lines[1] == "yes", lines[2].strip(), " ".join(lines[3:]).strip()
    )


def _close(seen: dict[str, LocatedHost]) -> None:
    for one in seen.values():
        one.shell.close()
