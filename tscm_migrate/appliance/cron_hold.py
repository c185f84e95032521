"""Pauses the updates of an appliance: moves cron's entry away, waits until ts-update has ended, and restores the entry.

The vendor's page looks at `ps` before it moves the entry, so a job can start in between, and its `mv` to `~`
fails the second time. Here the entry is moved first; each script can be run again with the same result; the
entry is never overwritten, and its copy is complete before the original is removed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tscm_migrate.appliance import processes
from tscm_migrate.appliance.appliance import PRESENT, Appliance, quote
from tscm_migrate.appliance.processes import Process, started_by, updates_among
from tscm_migrate.errors import ApplianceError, DrainTimeout, ProcessesHidden
from tscm_migrate.events import Waiting

LOOKS_APART = 3.0  # seconds between the two looks that must both find no process
_NEAR = 5.0  # seconds before and after a minute boundary in which cron may have read the removed entry
_AFTER_BOUNDARY = 3.0  # seconds that cron may need after the boundary to start a job
_EVERY = 1.0  # seconds between looks while something runs


@dataclass(frozen=True)
class Hold:
    """State of one cron entry: in place, moved aside, both, or neither."""

    in_place: bool
    aside: bool

    @property
    def paused(self) -> bool:
        """Return whether the entry is moved aside and nothing has created it again."""
        return self.aside and not self.in_place


@dataclass(frozen=True)
class Look:
    """One look at the processes and at the cron entry of the updates.

    Attributes:
        clock: the appliance's, in seconds of the epoch.
        running: the processes that count as ts-update.
        hold: the state of the entry.
        programs: the names that count: ts-update itself, and wrappers of it that the entry starts.
    """

    clock: float
    running: tuple[Process, ...]
    hold: Hold
    programs: frozenset[str] = frozenset()


def aside(appliance: Appliance, entry: str) -> str:
    """Return the path of `entry` while updates are paused."""
    return f"{appliance.paths.hold_dir}/held/{entry.rsplit('/', 1)[-1]}"


def _names(appliance: Appliance, entry: str) -> str:
    return f"set -eu; entry={quote(entry)}; aside={quote(aside(appliance, entry))}; "


def states(appliance: Appliance, *entries: str) -> tuple[Hold, ...]:
    """Read whether each of `entries` is in place, moved aside, both or neither.

    Raises:
        ProcessesHidden: whether one is in place or put aside cannot be seen.
    """
    script = f"set -eu; {_presence(_places(appliance, *entries))}"
    shown = " and ".join(entries)
    done = appliance.run(script, sudo=True, check=False, display=f"is {shown} in place?")
    found = _holds(done.stdout.split())
    if done.status != 0 or len(found) != len(entries):
        raise ProcessesHidden(appliance.name, f"whether {shown} is in place: {done.stderr.strip()[-200:]}")
    return found


def _places(appliance: Appliance, *entries: str) -> str:
    """Return shell words: of each entry its own path, and the one that it is moved to."""
    return " ".join(f"{quote(entry)} {quote(aside(appliance, entry))}" for entry in entries)


def _presence(places: str) -> str:
    """Return shell source that prints a line for each path: whether something is there."""
    return f'{PRESENT}for f in {places}; do if present "$f"; then echo yes; else echo no; fi; done; '


def _holds(words: Sequence[str]) -> tuple[Hold, ...]:
    """Parse what `_presence` prints for `_places`; () if it is anything else. Pure."""
    if len(words) % 2 or not {"yes", "no"}.issuperset(words):
        return ()
    seen = [word == "yes" for word in words]
    return tuple(Hold(*pair) for pair in zip(seen[::2], seen[1::2], strict=True))


def state(appliance: Appliance, entry: str) -> Hold:
    """Read the state of one entry; see `states`."""
    return states(appliance, entry)[0]


def hold(appliance: Appliance, entry: str) -> None:
    """Move `entry` aside; a repetition has the same result.

    The copy of an earlier call is kept. If a package has created the entry again, it is removed if it is the same, and
    else moved beside the first copy as `NAME.laid-back`.

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
    appliance.run(script, sudo=True, display=f"move {entry} to {aside(appliance, entry)}")


def release_script(appliance: Appliance, entry: str) -> str:
    """Return shell source, for root, that restores `entry`; exit status 44 if there is nothing to restore."""
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
    """Restore `entry`; does nothing if it is in place.

    Raises:
        CommandFailed: it could not be put back.
        ApplianceError: there is neither an entry in place nor one put aside.
    """
    script = release_script(appliance, entry)
    result = appliance.run(script, sudo=True, check=False, display=f"put {entry} back")
    if result.status == 44:
        raise ApplianceError(
            appliance.name, f"{entry} is neither in place nor moved aside; there is nothing to restore"
        )
    if result.status != 0:
        raise ApplianceError(appliance.name, f"{entry} could not be restored: {result.error_output}")


def install(appliance: Appliance, entry: str, text: str) -> None:
    """Write `text` to `entry`, owned by root with mode 0644; does nothing if it has that content.

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


def look(appliance: Appliance) -> Look:
    """Look once, with one command, at the processes and at the cron entry of the updates.

    Raises:
        ProcessesHidden: not every process can be seen, or the entry, in place or moved aside, cannot be read.
    """
    entry = appliance.paths.cron_entry
    places = _places(appliance, entry)
    first = (  # set -e has no effect on the left of ||
        f"( set -eu; {_presence(places)}"
        f'for f in {places}; do if present "$f"; then head -c 65536 "$f"; echo; fi; done ); [ $? = 0 ] || exit 93; '
    )
    seen = processes.look(appliance, "look for ts-update", first)
    *words, text = seen.printed.split("\n", 2)
    found = _holds(words)
    if len(found) != 1:
        raise ProcessesHidden(appliance.name, f"whether {entry} is in place: {seen.printed.strip()[-200:]}")
    programs = started_by(text, appliance.paths.ts_update)
    running = tuple(updates_among(list(seen.processes), seen.own, *programs))
    return Look(seen.clock, running, found[0], programs)


def second_look_after(held_at: float) -> float:
    """Return the seconds to wait between the first and the second look after a hold.

    Args:
        held_at: the appliance's clock when the entry was removed; seconds of the epoch.
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
) -> Look:
    """Wait until no ts-update runs or is about to start, at two looks in a row that are far enough apart.

    Args:
        appliance: its entry is moved aside already.
        timeout: seconds in all.
        sleep: replaces `time.sleep` in tests.
        monotonic: replaces the clock in tests.

    Returns:
        The last look.

    Raises:
        DrainTimeout: a process still ran at the end, or new ones started each time.
        ProcessesHidden: not every process can be seen.
    """
    began = monotonic()
    quiet_before = False
    while True:
        seen = look(appliance)
        if not seen.running and quiet_before:
            return seen
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
        return "draining: no update is running; checking once more"
    first = seen.running[0]
    more = f" and {len(seen.running) - 1} more" if len(seen.running) > 1 else ""
    return f"draining: ts-update pid {first.pid}{more}"
