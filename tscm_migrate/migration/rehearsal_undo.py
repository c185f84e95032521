"""Undo a rehearsal: restore the new appliance, and prove that it is as it was before."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from tscm_migrate.appliance import cron_hold, network
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import ApplianceError, NotReachableAgain
from tscm_migrate.migration import final_state, host_keys, saved_settings, undo_cutover
from tscm_migrate.migration.context import Migration

_ENDS_WITHIN = 30.0  # seconds until a restore whose terminal was closed is killed
_MOST_NAMES = 5000
# A name that is safe in a shell and in a path, and may be that of a temporary file of a restore.
_TEMPORARY = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9._+-]{0,100}", re.ASCII)
_NOT_OURS = re.compile(r"systemd-private-|ssh-|tmux-|screen|\.X|\.ICE|\.font|\.tscm-migrate|.*\.tsbak")


def prints(new: Appliance) -> dict[str, str]:
    """Return hashes of what a restore may change on the new appliance, its addresses and its boot id.

    Keys: own (settings, devices and cron entries), keys (host keys), network (saved settings), addresses, boot.
    """
    hashed = "-type f -exec sha256sum {} + 2>/dev/null | sort | sha256sum"
    script = (
        f"cd /; find {saved_settings.shell_words(new)} {hashed}; "
        f"find {quote(new.paths.ssh_dir)} -name 'ssh_host_*' {hashed}; "
        "ip -4 -o addr show scope global 2>/dev/null | awk '{print $2, $4}' | sort | tr '\\n' ' '; echo"
    )
    done = new.run(
        script, sudo=True, check=False, timeout=600.0, display="hash its own settings, host keys and devices"
    )
    own, keys, addresses = (*done.stdout.splitlines(), "", "", "")[:3]
    hashes = {"own": own, "keys": keys, "addresses": addresses}
    return hashes | {"network": network.saved_settings(new), "boot": network.boot_of(new.shell)}


def changed(before: Mapping[str, str], now: Mapping[str, str], *names: str) -> list[str]:
    """Return which of these differ."""
    return [name for name in names if before.get(name) != now.get(name)]


def cron_entries(new: Appliance) -> tuple[str, str]:
    """Return the cron entries that are paused during a rehearsal: updates and scheduled backups."""
    return (new.paths.cron_entry, new.paths.backup_cron)


def _states(new: Appliance) -> list[tuple[str, cron_hold.Hold]]:
    entries = cron_entries(new)
    return list(zip(entries, cron_hold.states(new, *entries), strict=True))


def in_place(new: Appliance) -> dict[str, bool]:
    """Return for each cron entry whether it is in place, or was until an unfinished run paused it."""
    return {entry: state.in_place or state.aside for entry, state in _states(new)}


def pause(new: Appliance, *, timeout: float) -> None:
    """Pause its cron entries, and wait until no update runs.

    Raises:
        DrainTimeout: an update did not end. CommandFailed: an entry could not be moved.
    """
    for entry, state in _states(new):
        if state.in_place:
            cron_hold.hold(new, entry)
    cron_hold.drain(new, timeout=timeout)


def paused_again(new: Appliance) -> list[str]:
    """Pause entries that a restore has put back, and return them."""
    back = [entry for entry, state in _states(new) if state.in_place]
    for entry in back:
        cron_hold.hold(new, entry)
    return back


def put_back(m: Migration, undo: Mapping[str, Any], before: Mapping[str, str] | None) -> None:
    """Restore the state of the new appliance before the rehearsal, and resume its updates.

    `undo` is what the step has captured, `before` are its prints before the first pass; None if no pass has begun.

    Raises:
        ApplianceError: it differs from before. NotReachableAgain: it does not answer.
    """
    reach(m, undo, (before or {}).get("boot", ""))
    new = m.new
    end_dialogue(m)
    if before is not None:
        other_keys = "keys" in changed(before, prints(new), "keys")
        if saved_settings.exists(new, saved_settings.REHEARSAL):
            saved_settings.restore(new, saved_settings.REHEARSAL)
        else:  # an earlier call has restored them, and may have resumed the updates: `before` was read while paused
            paused_again(new)
        if wrong := changed(before, prints(new), "own", "keys", "network"):
            # A restored file has its own time again.
            fix = (
                f"find what was changed by something else: sudo find {' '.join(saved_settings.places(new))} -mmin -60; "
                f"undo that, then run: tscm-migrate rollback {m.run}"
            )
            raise ApplianceError(new.name, f"after the rehearsal these differ from before: {', '.join(wrong)}", fix=fix)
        if other_keys:
            new.moved(new.host, host_keys.reconnect_after_reload(m, new.shell, m.keys_of("new")))
    for entry, was in undo.get("in_place", {}).items():
        state = cron_hold.state(new, entry)
        if was and (state.aside or not state.in_place):
            cron_hold.release(new, entry)


def reach(m: Migration, undo: Mapping[str, Any], boot: str = "") -> None:
    """Connect to the new appliance at its own address, with the host keys of either appliance.

    `boot` is its boot identity before the first pass; "" if no pass has begun. A restart in a pass is waited for.

    Raises:
        NotReachableAgain: it does not answer.
    """
    if m.new.connected:
        return
    place = undo_cutover.original_place(m)
    if boot and network.goes_down(m.new, was=boot):
        keys = m.keys_of("new", "old")
        network.wait_for(
            m.dial, places=(place,), expect=keys, old_boot="", timeout=m.policy.reboot_timeout, emit=m.emit
        ).shell.close()
    if not undo_cutover.answers_at(m, m.new, place, dict(undo)):
        raise NotReachableAgain(m.new.name, f"it does not answer at {place.address}")


def end_dialogue(m: Migration) -> None:
    """Wait until a restore whose terminal was closed has ended, and remove what it had unpacked."""
    final_state.end_restores(m.new, within=_ENDS_WITHIN)
    clean_up(m.new, m.get_note("rehearsal_names"))


# ------------------------------------------------------------------------------------------------ temporary files


def names(new: Appliance) -> list[str]:
    """List the folders in which a restore may unpack an archive."""
    top = str(PurePosixPath(new.paths.backup_dir).parent)
    folders = " ".join(quote(f"{saved_settings.root_of(new)}{one}") for one in ("tmp", "var/tmp"))
    each = f"find {folders} {quote(top)} -mindepth 1 -maxdepth 1 -print0 2>/dev/null"
    script = f"{each} | tr '\\n\\0' '?\\n' | head -n {_MOST_NAMES}"
    text = new.run(script, sudo=True, check=False, display="list its temporary files").stdout
    return sorted(text.splitlines())


def clean_up(new: Appliance, before: Iterable[str] | None) -> None:
    """Remove what a restore has left unpacked: what is new since `before`, unless it is an archive."""
    if before is None:
        return
    there = names(new)
    if len(there) >= _MOST_NAMES:
        return
    leftover = [path for path in set(there) - set(before) if may_go(path.rpartition("/")[2])]
    if leftover:
        words = " ".join(quote(path) for path in sorted(leftover))
        new.run(f"rm -rf -- {words}", sudo=True, check=False, display=f"remove temporary files of the restore: {words}")


def may_go(name: str) -> bool:
    """Whether a name may be that of a temporary file, and is safe in a shell command."""
    return bool(_TEMPORARY.fullmatch(name)) and not _NOT_OURS.match(name)
