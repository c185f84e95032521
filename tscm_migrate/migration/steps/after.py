"""After the restore: every device updated, and the new one compared with what the old one was."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from tscm_migrate.appliance import cron_hold, device_discovery, facts
from tscm_migrate.errors import MigrateError, UnknownPrompt, UsageError
from tscm_migrate.events import Checked, DeviceStarted, DeviceUpdated, Said
from tscm_migrate.migration import completion, host_keys, parity
from tscm_migrate.migration.context import Action
from tscm_migrate.migration.steps import offline
from tscm_migrate.migration.steps.base import BaseStep
from tscm_migrate.tsadmin import devices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tscm_migrate.migration.context import Actions, Migration


_RETRIES = 1  # a first login after the move often fails, and the second goes through
_PAUSE = 1.0  # seconds
_LONGEST_PAUSE = 15.0  # seconds, between two looks at a device that somebody else has


def wanted_devices(m: Migration) -> tuple[str, ...]:
    """The devices to update, from the best source that there is."""
    asked = m.options.devices
    if asked == "none":
        return ()
    if asked != "all":
        return tuple(asked)
    seen = device_discovery.Witnesses(
        told=(*(m.old_facts.devices or ()), *m.old.host.devices),
        archived=tuple(m.get_note("archive_devices", ())),
        mentioned=tuple(m.get_note("restore_devices", ())),
        before=m.get_note("new_files", ()),
        after=devices.file_hashes(m.new) if m.get_note("restored") else (),
    )
    names, guess = device_discovery.choose(seen)
    if guess and names:
        text = f"no list tells the devices; by what the restore has laid into its etc folder: {', '.join(names)}"
        m.emit(Said(text, "warning"))
    return by_priority(names, m.old.host.priority)


def by_priority(names: Sequence[str], priority: Sequence[str]) -> tuple[str, ...]:
    """Return the names, those of `priority` first and in its order. Pure."""
    first = [name for name in dict.fromkeys(priority) if name in names]
    return (*first, *(name for name in names if name not in first))


class UpdateDevices(BaseStep):
    """`tsadmin update` for every device, some at a time, each with its own result."""

    id = "update-devices"
    title = "Update every device"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Those that have succeeded already are left alone."""
        done = {name for name, result in m.get_note("devices", {}).items() if result["ok"]}
        names = [name for name in wanted_devices(m) if name not in done]
        if names:
            yield Action(m.new.name, f"run `tsadmin update` for {', '.join(names)}", lambda: self._all(m, names))
        elif not done and m.options.devices != "none":
            m.set_note("devices_unknown", value=True)
        m.set_note("online_at", time.time())

    def _all(self, m: Migration, names: list[str]) -> None:
        results = dict(m.get_note("devices", {}))
        with ThreadPoolExecutor(m.policy.device_jobs, thread_name_prefix="device") as pool:
            for result, at in pool.map(lambda name: self._one(m, name, len(names)), names):
                results[result.device] = {
                    "ok": result.ok, "seconds": result.seconds, "detail": result.detail, "at": at,
                }  # fmt: skip
        m.set_note("devices", results)
        if not all(result["ok"] for result in results.values()):
            # An appliance that is gone says nothing of its devices: that is a run to go on with, not one that is over.
            m.new.run(":", timeout=15.0, display="is it still there?")

    def _one(self, m: Migration, name: str, total: int) -> tuple[DeviceUpdated, float]:
        """Update one device; return the result and when it was there, in seconds of the epoch.

        Once more where it failed and did not ask for a person; for as long as it may take where it is only busy.
        """
        began = time.monotonic()
        m.emit(DeviceStarted(name, total))
        retries, pause = _RETRIES, _PAUSE
        while True:
            updated, final = self._attempt(m, name)
            if updated.ok or final or time.monotonic() - began + pause > m.policy.device_timeout:
                break
            if not updated.busy:
                if not retries:
                    break
                retries -= 1
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE) if updated.busy else pause
        result = DeviceUpdated(name, updated.ok, round(time.monotonic() - began, 3), updated.said)
        m.emit(result)
        for line in updated.notices:
            m.emit(Said(f"{m.new.name}: {name}: {line}", "warning"))
        return result, round(time.time(), 3)

    def _attempt(self, m: Migration, name: str) -> tuple[devices.Updated, bool]:
        """One update, and whether another cannot be better."""
        try:
            return devices.update(m.new, name, timeout=m.policy.device_timeout), False
        except UnknownPrompt as error:
            text = f"asks {error.prompt.strip()!r}; answer it there: {m.new.paths.tsadmin} update {name}"
            return devices.Updated(ok=False, said=text), True
        except MigrateError as error:
            return devices.Updated(ok=False, said=str(error)), False


class UpdateAgain(UpdateDevices):
    """Update some devices of a migration that is over; its downtime stays what it was."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def apply(self, m: Migration) -> Actions:
        """Update the given devices, whatever became of them before."""
        names = self._names
        yield Action(m.new.name, f"run `tsadmin update` for {', '.join(names)}", lambda: self._all(m, names))


class ReleaseUpdates(BaseStep):
    """The new one's own schedule runs its updates.

    With cron held on the old one, the archive lacks the entry (fact 19): a restore of the cron files would leave the
    new one without it, and so without updates, unseen.
    """

    id = "release-updates"
    title = "Make sure that the new one's updates are scheduled"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """The old one's entry where cron was to be restored, else the one that the new one had."""
        entry = m.new.paths.cron_entry
        text = m.old_facts.cron_text if m.options.restore_cron else m.new_facts.cron_text
        if text:
            whose = "the old one's" if m.options.restore_cron else "its own"
            yield Action(
                m.new.name, f"make sure that {entry} is {whose}", lambda: cron_hold.install(m.new, entry, text)
            )


class Parity(BaseStep):
    """What the old one had against what the new one has."""

    id = "parity"
    title = "Compare the new one with what the old one was"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Facts again, and the hashes of the devices' files."""
        yield Action(m.new.name, "read its facts and hash its device files", lambda: self._compare(m))

    def _compare(self, m: Migration) -> None:
        before, after = _before_and_now(m)
        rows = _compare_rows(m, before, after)
        m.set_note("device_table", completion.device_table(before, after))
        m.set_note("parity", [asdict(row) for row in rows])
        now = after.new
        m.set_note("facts_after", {"versions": now.versions, "os": now.os_pretty, "address": m.new.host.address})


def compare_now(m: Migration) -> tuple[facts.Facts, list[parity.ParityRow]]:
    """Compare the new appliance, as it is now, with what the old one was; emit each row."""
    before, after = _before_and_now(m)
    return after.new, _compare_rows(m, before, after)


def _before_and_now(m: Migration) -> tuple[parity.Before, parity.After]:
    """Return what was noted before the run, and the facts and file hashes of the new appliance now."""
    files = device_discovery.about(m.get_note("old_files", {}), m.get_note("devices", {}))
    after = parity.After(facts.gather(m.new), devices.file_hashes(m.new))
    return parity.Before(m.old_facts, m.new_facts, files), after


def _compare_rows(m: Migration, before: parity.Before, after: parity.After) -> list[parity.ParityRow]:
    """Return one row for each comparison, and emit it."""
    key = m.new.shell.server_fingerprint()
    rows = parity.compare(before, after, m.options, restores_network=m.restores_network, new_key=key)
    if m.restore_source is not None:
        rows.insert(0, parity.ParityRow("compared with", same=True, was="", has=f"the backup: {m.old_facts.told_by}"))
    for row in rows:
        m.emit(Checked(row.name, "ok" if row.same else "error", row.text()))
    return rows


class Confirm(BaseStep):
    """All went as it should: nothing comes back by itself, and known_hosts knows who is where."""

    id = "confirm"
    title = "Confirm: pin the new identity, stand the timer down"
    cutover = True
    revert_summary = "{known_hosts} says again what it said of {new}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """What known_hosts says of the address now."""
        return {"name": host_keys.name_at(m), "pinned": host_keys.pinned(m)}

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """known_hosts says again what it said."""
        file = m.new.host.known_hosts
        if m.get_note("pinned") and file is not None and undo.get("name"):
            yield Action(m.new.name, f"let {file} say what it said", lambda: host_keys.restore_pins(file, undo))

    def apply(self, m: Migration) -> Actions:
        """The keys first: the leash is held through a host that must be known by then.

        The new one's former settings stay on it, readable by root alone: a rollback may still want them.
        """
        file = m.new.host.known_hosts
        if file is not None and not m.get_note("pinned"):
            yield Action(m.new.name, f"pin its host keys in {file}", lambda: self._pin(m))
        if m.options.offline == "isolate" and not m.get_note("confirmed"):
            yield Action(m.old.name, "tell its timer that all went well", lambda: self._confirm(m))

    def _pin(self, m: Migration) -> None:
        """A file on the workstation that cannot be written is no reason to call a migration unfinished."""
        try:
            for line in host_keys.pin_current_keys(m):
                m.emit(Said(line))
        except UsageError as error:
            m.set_note("unpinned", str(error))
        else:
            m.set_note("pinned", value=True)

    def _confirm(self, m: Migration) -> None:
        if offline.confirm(m):
            m.set_note("confirmed", value=True)
        else:
            m.set_note("unconfirmed", value=True)
