"""After the restore: update the devices, schedule updates, compare both appliances, pin host keys."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from tscm_migrate.appliance import cron_hold, device_discovery, facts
from tscm_migrate.errors import MigrateError, UnknownPrompt, UsageError
from tscm_migrate.events import Checked, DeviceStarted, DeviceUpdated, Message
from tscm_migrate.migration import host_keys, parity, undo_cutover
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import Step
from tscm_migrate.tsadmin import devices

_RETRIES = 1  # the first login to a device after the cutover often fails
_PAUSE = 1.0  # seconds
_LONGEST_PAUSE = 15.0  # seconds, between two attempts for a device that is locked by another process


def wanted_devices(m: Migration) -> tuple[str, ...]:
    """Return the devices to update, from the best source."""
    asked = m.options.devices
    if asked == "none":
        return ()
    if asked != "all":
        return tuple(asked)
    seen = device_discovery.Witnesses(
        known=(*(m.old_facts.devices or ()), *m.old.host.devices),
        archived=tuple(m.get_note("archive_devices", ())),
        mentioned=tuple(m.get_note("restore_devices", ())),
        before=m.get_note("new_files", ()),
        after=devices.file_hashes(m.new) if m.get_note("restored") else (),
    )
    names, guess = device_discovery.choose(seen)
    if guess and names:
        text = f"the devices are not listed anywhere; from the files that the restore has written: {', '.join(names)}"
        m.emit(Message(text, "warning"))
    return by_priority(names, m.old.host.priority)


def by_priority(names: Sequence[str], priority: Sequence[str]) -> tuple[str, ...]:
    """Return the names, those of `priority` first and in its order. Pure."""
    first = [name for name in dict.fromkeys(priority) if name in names]
    return (*first, *(name for name in names if name not in first))


class UpdateDevices(Step):
    """Run `tsadmin update` for every device, several at a time, each with its own result."""

    id = "update-devices"
    title = "Update every device"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Update the devices that have not succeeded yet."""
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
            # If the appliance does not answer, the run fails here and can be resumed.
            m.new.run(":", timeout=15.0, display="does it still answer?")

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
        result = DeviceUpdated(name, updated.ok, round(time.monotonic() - began, 3), updated.gist)
        m.emit(result)
        for line in updated.notices:
            m.emit(Message(f"{m.new.name}: {name}: {line}", "warning"))
        return result, round(time.time(), 3)

    def _attempt(self, m: Migration, name: str) -> tuple[devices.Updated, bool]:
        """Run one update; return its result, and whether a retry is useless."""
        try:
            return devices.update(m.new, name, timeout=m.policy.device_timeout), False
        except UnknownPrompt as error:
            text = f"asks {error.prompt.strip()!r}; answer it there: {m.new.paths.tsadmin} update {name}"
            return devices.Updated(ok=False, gist=text), True
        except MigrateError as error:
            return devices.Updated(ok=False, gist=str(error)), False


class UpdateAgain(UpdateDevices):
    """Update some devices of a migration that is over; its downtime stays what it was."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def apply(self, m: Migration) -> Actions:
        """Update the given devices, also those that were updated before."""
        names = self._names
        yield Action(m.new.name, f"run `tsadmin update` for {', '.join(names)}", lambda: self._all(m, names))


class ReleaseUpdates(Step):
    """Make sure that cron runs the updates of the new appliance.

    The archive was made while the updates were paused, so it lacks their cron entry: after a restore of the
    cron files the new appliance would have no updates.
    """

    id = "release-updates"
    title = "Schedule the updates of the new appliance"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Write the old entry if cron was to be restored, else the entry that the new appliance had."""
        entry = m.new.paths.cron_entry
        text = m.old_facts.cron_text if m.options.restore_cron else m.new_facts.cron_text
        if text:
            whose = "the old appliance's" if m.options.restore_cron else "its own"
            yield Action(
                m.new.name, f"make sure that {entry} is {whose}", lambda: cron_hold.install(m.new, entry, text)
            )


class Parity(Step):
    """Compare the new appliance with the old appliance."""

    id = "parity"
    title = "Compare both appliances"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Gather its facts, and hash the device files."""
        yield Action(m.new.name, "read its facts and hash its device files", lambda: self._compare(m))

    def _compare(self, m: Migration) -> None:
        before, after = _before_and_now(m)
        rows = _compare_rows(m, before, after)
        m.set_note("device_table", parity.device_table(before, after))
        m.set_note("parity", [asdict(row) for row in rows])
        now = after.new
        m.set_note("facts_after", {"versions": now.versions, "os": now.os_pretty, "address": m.new.host.address})


def compare_now(m: Migration) -> tuple[facts.Facts, list[parity.ParityRow]]:
    """Compare the new appliance, as it is now, with the old appliance before the run; emit each row."""
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


class Confirm(Step):
    """Finish the migration: cancel the timer of an isolated old appliance, and pin the new host keys."""

    id = "confirm"
    title = "Finish: pin the new host keys, cancel the auto-revert timer"
    cutover = True
    revert_summary = "restore the previous entry of {new} in {known_hosts}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return the keys that known_hosts has for the address now."""
        return {"name": host_keys.name_at(m), "pinned": host_keys.pinned(m)}

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Pin the keys that known_hosts had before."""
        file = m.new.host.known_hosts
        if m.get_note("pinned") and file is not None and undo.get("name"):
            yield Action(
                m.new.name, f"restore its previous entry in {file}", lambda: host_keys.restore_pins(file, undo)
            )

    def apply(self, m: Migration) -> Actions:
        """Pin the keys first: the timer is reached through the new appliance, whose key must be known by then.

        The saved settings of the new appliance are kept, readable by root alone, for a rollback.
        """
        file = m.new.host.known_hosts
        if file is not None and not m.get_note("pinned"):
            yield Action(m.new.name, f"pin its host keys in {file}", lambda: self._pin(m))
        if m.options.offline == "isolate" and not m.get_note("confirmed"):
            yield Action(m.old.name, "tell its timer that the migration succeeded", lambda: self._confirm(m))

    def _pin(self, m: Migration) -> None:
        """Pin the keys; if the file cannot be written, the migration is complete nevertheless."""
        try:
            for line in host_keys.pin_current_keys(m):
                m.emit(Message(line))
        except UsageError as error:
            m.set_note("unpinned", str(error))
        else:
            m.set_note("pinned", value=True)

    def _confirm(self, m: Migration) -> None:
        answered = undo_cutover.tell_timer(m, "confirmed")  # it then stays offline
        m.set_note("confirmed" if answered else "unconfirmed", value=True)
