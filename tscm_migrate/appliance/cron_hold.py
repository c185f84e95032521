"""Holding an appliance's updates: take cron's entry away, wait until ts-update is over, put the entry back.

The documents look at `ps` before they take cron's entry away, so a job can start in between (fact 16), and their `mv`
to `~` finds no source the second time (fact 18). Here: first the entry, then the waiting; every script can be run again
with the same result; the entry is never overwritten, and its copy is complete before the original goes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance import processes
from tscm_migrate.appliance.appliance import PRESENT, quote
from tscm_migrate.appliance.processes import Process, started_by, updates_among
from tscm_migrate.errors import ApplianceError, CannotLook, DrainTimeout
from tscm_migrate.events import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tscm_migrate.appliance.appliance import Appliance

LOOKS_APART = 3.0  # seconds between the two looks that must both find nothing
_NEAR = 5.0  # a minute boundary within this many seconds of the hold: cron may have begun a job from the old entry
_AFTER_BOUNDARY = 3.0  # cron wakes at the boundary and may take a moment to fork
_EVERY = 1.0  # seconds between looks while something runs


@dataclass(frozen=True)
class Hold:
    """What is true of one cron entry: in place, put aside by us, both, or neither."""

    in_place: bool
    aside: bool

    @property
    def held(self) -> bool:
        """Whether it is put aside and nothing has laid it back."""
        return self.aside and not self.in_place


@dataclass(frozen=True)
class Look:
    """One look at the processes: the appliance's clock in seconds of the epoch, and what counts as ts-update."""

    clock: float
    running: tuple[Process, ...]


def aside(appliance: Appliance, entry: str) -> str:
    """Where `entry` is while it is held."""
    return f"{appliance.paths.hold_dir}/held/{entry.rsplit('/', 1)[-1]}"


def _names(appliance: Appliance, entry: str) -> str:
    return f"set -eu; entry={quote(entry)}; aside={quote(aside(appliance, entry))}; "


def state(appliance: Appliance, entry: str) -> Hold:
    """Ask the appliance where `entry` is.

    Raises:
        CannotLook: whether it is in place or put aside cannot be seen.
    """
    script = _names(appliance, entry) + (
        f'{PRESENT}for f in "$entry" "$aside"; do if present "$f"; then echo yes; else echo no; fi; done'
    )
    done = appliance.run(script, sudo=True, check=False, display=f"is {entry} in place?")
    words = done.stdout.split()
    if done.status != 0 or len(words) != 2 or not {"yes", "no"}.issuperset(words):
        raise CannotLook(appliance.name, f"whether {entry} is in place: {done.stderr.strip()[-200:]}")
    return Hold(words[0] == "yes", words[1] == "yes")


def hold(appliance: Appliance, entry: str) -> None:
    """Put `entry` aside; again and again with the same result.

    What an earlier hold put aside is kept as it is. An entry that has come back since (a package laid it back) is
    removed when it is the same, and else kept beside the first one, as `NAME.laid-back`.

    Raises:
        CommandFailed: it could not be moved; the entry is then still in place.
    """
    script = _names(appliance, entry) + (
        'umask 077; mkdir -p "${aside%/*}"; chmod 700 "${aside%/*}"; '
        f'{PRESENT}present "$entry" || exit 0; '
        'if [ -e "$aside" ] || [ -L "$aside" ]; then '
        '  cmp -s "$entry" "$aside" || cp -a "$entry" "$aside.laid-back"; '
        'else cp -a "$entry" "$aside.part"; sync "$aside.part" 2>/dev/null || sync; mv "$aside.part" "$aside"; fi; '
        'rm -f "$entry"'
    )
    appliance.run(script, sudo=True, display=f"move {entry} out of cron's way, to {aside(appliance, entry)}")


def release_script(appliance: Appliance, entry: str) -> str:
    """Shell source, for root, that puts `entry` back; exit status 44 where there is nothing to put back."""
    return _names(appliance, entry) + (
        'if [ -e "$aside" ] || [ -L "$aside" ]; then '
        '  if [ -e "$entry" ] || [ -L "$entry" ]; then '
        '    cmp -s "$entry" "$aside" || cp -a "$entry" "$aside.laid-back"; fi; '
        '  cp -a "$aside" "$entry.tscm-migrate~"; mv "$entry.tscm-migrate~" "$entry"; '
        '  if command -v restorecon >/dev/null 2>&1; then restorecon "$entry" || :; fi; '
        '  rm -f "$aside"; '
        '  rmdir "${aside%/*}" 2>/dev/null || :; rmdir "${aside%/*/*}" 2>/dev/null || :; '
        'elif [ ! -e "$entry" ] && [ ! -L "$entry" ]; then exit 44; fi'
    )


def release(appliance: Appliance, entry: str) -> None:
    """Put `entry` back where cron reads it; nothing to do when it is there already.

    Raises:
        CommandFailed: it could not be put back.
        ApplianceError: there is neither an entry in place nor one put aside.
    """
    script = release_script(appliance, entry)
    result = appliance.run(script, sudo=True, check=False, display=f"put {entry} back")
    if result.status == 44:
        raise ApplianceError(appliance.name, f"{entry} is neither in place nor put aside; nothing to put back")
    if result.status != 0:
        raise ApplianceError(appliance.name, f"{entry} could not be put back: {result.said}")


def install(appliance: Appliance, entry: str, text: str) -> None:
    """Make `entry` say `text`, owned by root with mode 0644, as cron wants it; nothing to do when it does already.

    Raises:
        CommandFailed: it could not be written; what was there is still there.
    """
    script = (
        f'set -eu; entry={quote(entry)}; umask 022; cat > "$entry.tscm-migrate~"; '
        'if cmp -s "$entry" "$entry.tscm-migrate~"; then rm -f "$entry.tscm-migrate~"; exit 0; fi; '
        'chown root:root "$entry.tscm-migrate~"; chmod 644 "$entry.tscm-migrate~"; mv "$entry.tscm-migrate~" "$entry"; '
        'if command -v restorecon >/dev/null 2>&1; then restorecon "$entry" || :; fi'
    )
    appliance.run(script, sudo=True, stdin=text.encode(), display=f"write {entry}")


def started(appliance: Appliance) -> frozenset[str]:
    """Give the programs that count as ts-update: itself, and what of its name the entry starts, in place or held.

    Raises:
        CannotLook: an entry is there and cannot be read.
    """
    entry = appliance.paths.cron_entry
    script = _names(appliance, entry) + (
        f'{PRESENT}for f in "$entry" "$aside"; do if present "$f"; then head -c 65536 "$f"; echo; fi; done'
    )
    done = appliance.run(script, sudo=True, check=False, display=f"what does {entry} start?")
    if done.status != 0:
        raise CannotLook(appliance.name, f"what {entry} starts: {done.stderr.strip()[-200:]}")
    return started_by(done.stdout, appliance.paths.ts_update)


def look(appliance: Appliance, programs: Collection[str] = ()) -> Look:
    """Look at the processes once.

    Args:
        appliance: where.
        programs: the names that count; read from the cron entry where none are given.

    Raises:
        CannotLook: not every process can be seen.
    """
    programs = programs or started(appliance)
    seen = processes.look(appliance, "look for ts-update")
    return Look(seen.clock, tuple(updates_among(list(seen.processes), seen.own, *programs)))


def second_look_after(held_at: float) -> float:
    """Seconds to wait between the first look and the second, both right after a hold.

    Args:
        held_at: the appliance's clock when its entry was gone; seconds of the epoch.
    """
    into = held_at % 60.0
    to_next = 60.0 - into
    if to_next <= _NEAR:
        return max(LOOKS_APART, to_next + _AFTER_BOUNDARY)
    return max(LOOKS_APART, _AFTER_BOUNDARY)


def drain(
    appliance: Appliance,
    *,
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until no ts-update runs or is about to, at two looks in a row that are far enough apart.

    Args:
        appliance: whose entry is held already.
        timeout: seconds in all.
        sleep: waits; a test's clock may stand in.
        monotonic: tells the time that passes here.

    Raises:
        DrainTimeout: something still ran at the end, or came up each time.
        CannotLook: not every process can be seen.
    """
    began = monotonic()
    programs = started(appliance)
    quiet_before = False
    while True:
        seen = look(appliance, programs)
        if not seen.running and quiet_before:
            return
        waited = monotonic() - began
        pause = second_look_after(seen.clock) if not seen.running else _EVERY
        if waited + pause > timeout:
            found = tuple(f"pid {p.pid} since {p.elapsed} s: {p.args[:120]}" for p in seen.running)
            raise DrainTimeout(appliance.name, "", timeout, found)
        quiet_before = not seen.running
        appliance.emit(Waiting(_waits_for(seen), waited, timeout, appliance.name))
        sleep(pause)


def _waits_for(seen: Look) -> str:
    if not seen.running:
        return "draining: none seen, looking once more"
    first = seen.running[0]
    more = f" and {len(seen.running) - 1} more" if len(seen.running) > 1 else ""
    return f"draining: ts-update pid {first.pid}{more}"
