"""The reversible steps before the cutover: packages, pause updates, back up, transfer, verify."""

import time
from dataclasses import asdict, replace
from typing import Any

from tscm_migrate.appliance import archives, cron_hold, facts, network, packages
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.archive import select
from tscm_migrate.archive.devices import recognise
from tscm_migrate.errors import AddressConflict, ApplianceError, BackupFailed, Refused, TransferError
from tscm_migrate.events import Message
from tscm_migrate.migration import checks, final_state
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import Step, refusing_unknown
from tscm_migrate.model import Archive
from tscm_migrate.offsite.restore_source import RestoreSource
from tscm_migrate.transfer import api
from tscm_migrate.tsadmin import backup
from tscm_migrate.util.text import duration_text


class UpdatePackages(Step):
    """Upgrade the packages of both appliances, restart them if necessary, and read the versions again.

    An upgrade may restore the cron entry of the updates, so this comes before they are paused.
    """

    id = "update-packages"
    title = "Update the packages of both appliances"

    def apply(self, m: Migration) -> Actions:
        """Upgrade one appliance after the other: while one restarts, the other serves."""
        if not m.options.update_packages or m.get_note("packages"):
            return
        for one in reversed(m.reachable):
            manager = packages.manager_of((m.old_facts if one is m.old else m.new_facts).tools)
            yield Action(
                one.name, f"update all packages ({manager or 'no package manager was found'}), restart if necessary",
                lambda a=one, n=manager: self._one(m, a, n),  # type: ignore[misc]
            )  # fmt: skip
        yield Action(m.new.name, "read the versions again", lambda: self._again(m))

    def _one(self, m: Migration, appliance: Appliance, manager: str) -> None:
        was = network.boot_of(appliance.shell)
        if packages.upgrade(appliance, manager).reboot_wanted:
            m.emit(Message(f"{appliance.name} has to restart"))
            network.reboot(appliance)
            keys = m.keys_of("old" if appliance is m.old else "new")
            back = network.wait_for(
                m.dial, places=(appliance.host,), expect=keys, old_boot=was, timeout=m.policy.reboot_timeout,
                emit=m.emit, again=lambda: network.reboot(appliance),
            )  # fmt: skip
            appliance.moved(back.host, back.shell)

    def _again(self, m: Migration) -> None:
        m.new_facts = facts.gather(m.new)
        if m.old in m.reachable:
            m.old_facts = facts.gather(m.old)
        m.set_note("facts", {"old": asdict(m.old_facts), "new": asdict(m.new_facts)})
        m.set_note("packages", {"old": m.old_facts.core, "new": m.new_facts.core})
        findings = checks.versions(m.old_facts, m.new_facts)
        for finding in findings:
            m.emit(checks.checked(finding, m.options.allow))
        if refused := checks.refusals(findings, m.options.allow):
            raise Refused(tuple(finding.name for finding in refused))


class HoldUpdates(Step):
    """Pause the cron entries that start ts-update and backups, and wait until no update runs."""

    id = "hold-updates"
    title = "Pause updates on the old appliance and wait for running ones"
    revert_summary = "resume the updates of {old}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return where the cron entries are before anything is changed."""
        now, backup_cron = cron_hold.states(m.old, *_entries(m.old))
        # A paused entry was paused by an unfinished run of this tool: it is put back as well.
        return {
            "in_place": now.in_place or now.aside,
            "aside": now.aside,
            "backup_in_place": backup_cron.in_place or backup_cron.aside,
        }

    def apply(self, m: Migration) -> Actions:
        """Pause the entries first, then wait; also the entry of scheduled backups."""
        entries = _entries(m.old)
        for entry, now in zip(entries, cron_hold.states(m.old, *entries), strict=True):
            if now.in_place:
                yield Action(
                    m.old.name, f"disable {entry} (moved to {m.old.paths.hold_dir}/held)",
                    lambda e=entry: cron_hold.hold(m.old, e),  # type: ignore[misc]
                )  # fmt: skip
        seen: cron_hold.Look = yield Action(
            m.old.name,
            f"wait until no {m.old.paths.ts_update} runs or is about to start "
            f"(at most {duration_text(m.drain_timeout)})",
            lambda: cron_hold.drain(m.old, timeout=m.drain_timeout),
            planned=cron_hold.Look(0.0, (), cron_hold.Hold(in_place=False, aside=True)),
            beside=(check_alone(m),),
        )
        m.set_note("alone_at", time.time())
        if seen.hold.in_place:
            raise ApplianceError(m.old.name, f"{m.old.paths.cron_entry} was restored while it was paused")

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Put the entries back that were there before."""
        paths = m.old.paths
        for entry, was in ((paths.cron_entry, "in_place"), (paths.backup_cron, "backup_in_place")):
            now = cron_hold.state(m.old, entry)
            if undo.get(was) and (now.aside or not now.in_place):  # both: it was restored meanwhile
                what = "its updates run again" if entry == paths.cron_entry else "its backups are scheduled again"
                yield Action(m.old.name, f"put {entry} back: {what}", lambda e=entry: cron_hold.release(m.old, e))  # type: ignore[misc]


def _entries(old: Appliance) -> tuple[str, str]:
    """Return the cron entries that are paused: of the updates, and of scheduled backups."""
    return (old.paths.cron_entry, old.paths.backup_cron)


def check_alone(m: Migration) -> Action:
    """Return the check, from the new appliance, that not two hosts have the old address."""
    address = m.old.host.address
    return Action(m.new.name, f"confirm that only one host answers at {address}", lambda: _alone(m))


def _alone(m: Migration) -> None:
    addresses = network.answering(m.new, m.old.host.address, m.interface)
    if len(addresses) > 1:
        detail = f"{len(addresses)} hosts answer at {m.old.host.address}: {', '.join(addresses)}"
        raise AddressConflict(m.old.name, detail, m.old.host.address)


class Backup(Step):
    """Make a new archive while no update changes its content."""

    id = "backup"
    title = "Make a new backup on the old appliance"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return which archives exist already; none of them is ever deleted."""
        return {"archives": sorted(archive.path for archive in archives.listed(m.old))}

    def apply(self, m: Migration) -> Actions:
        """Back up, and check that no update ran before or during it; or use an existing archive."""
        if m.get_note("archive"):
            return
        if m.options.archive != "new":
            chosen = select.chosen(archives.listed(m.old), m.options.archive, m.old.host)[0]
            yield Action(m.old.name, f"use {chosen.path}", lambda: self._keep(m, chosen), chosen)
            return
        command = backup.command(m.old, self._request(m))
        yield Action(m.old.name, "confirm that no update runs", lambda: self._quiet(m, "before"))
        made = yield Action(m.old.name, f"run `{command}`", lambda: self._make(m), Archive("(new)", "", 0))
        yield Action(m.old.name, "confirm that no update ran in the meantime", lambda: self._quiet(m, "after"))
        yield Action(m.old.name, f"hash {made.name}", lambda: self._keep(m, made))

    def _request(self, m: Migration) -> backup.BackupRequest:
        return backup.BackupRequest(
            interface=m.interface,
            passphrase=m.passphrase if m.options.encrypt else None,
            debug=m.options.debug,
            leave_tmp_files=m.options.leave_tmp_files,
            limits=m.limits,
        )

    def _make(self, m: Migration) -> Archive:
        with refusing_unknown(m):
            made = backup.create(m.old, self._request(m), m.operator)
        plain = final_state.plain_archives(m.old, m.old_facts) if made.encrypted else []
        if plain:  # at the end of the run it is offline
            m.set_note("left_plain", plain)
        return made

    def _quiet(self, m: Migration, when: str) -> None:
        seen = cron_hold.look(m.old)
        if seen.running or seen.hold.in_place:
            restored = f"{m.old.paths.cron_entry} was restored"
            what = f"ts-update pid {seen.running[0].pid}" if seen.running else restored
            raise BackupFailed(m.old.name, f"{what}, right {when} the backup: the archive may contain a partial update")

    def _keep(self, m: Migration, archive: Archive) -> None:
        known = archives.hashed(m.old, archive)
        m.set_note("archive", {"name": known.name, "folder": known.folder, "size": known.size, "sha256": known.sha256})


def the_archive(m: Migration) -> Archive:
    """Return the archive that this run restores, with its hash on the old appliance."""
    return Archive(**m.get_note("archive"))


def the_archives(m: Migration) -> tuple[Archive, ...]:
    """Return all archives to copy, the one to restore first; the others may lack a hash until they are copied."""
    several = m.get_note("archives")
    return tuple(Archive(**fields) for fields in several) if several else (the_archive(m),)


class Transfer(Step):
    """Copy the archive to the new appliance; it gets its final name when it is complete."""

    id = "transfer"
    title = "Copy the archive to the new appliance"
    revert_summary = "remove partial files and temporary keys from both appliances (complete copies are kept)"

    def apply(self, m: Migration) -> Actions:
        """Copy what is missing; an existing file of the same name is never overwritten."""
        options = api.TransferOptions(m.options.method, m.options.route, m.options.limit)
        if m.get_note("archive") is None:  # a dry run
            choice = api.decide(m.old, m.new, options, checks.archive_estimate(m.old_facts))
            what = f"copy the archive to {m.new.paths.backup_dir} by {choice.text()}"
            yield Action(m.new.name, what, lambda: None)
            return
        if m.options.archive == "all" and m.get_note("archives") is None:
            yield Action(m.old.name, "list all its archives", lambda: self._list(m))
        yield Action(m.new.name, "remove partial files of an earlier attempt", lambda: self._clear(m))
        all_of_them = the_archives(m)
        size = sum(archive.size for archive in all_of_them) / 1e6
        names_of = ", ".join(archive.name for archive in all_of_them)
        yield Action(
            m.new.name, f"copy {names_of} ({size:.1f} MB) to {m.new.paths.backup_dir}",
            lambda: self._copy(m, options),
        )  # fmt: skip

    def _list(self, m: Migration) -> None:
        newest = the_archive(m)
        others = [archive for archive in api.listed(m.old) if archive.name != newest.name]
        m.set_note("archives", [asdict(archive) for archive in (newest, *others)])

    def _copy(self, m: Migration, options: api.TransferOptions) -> None:
        sent = api.copy(
            m.old,
            m.new,
            the_archives(m),
            options=options,
            emit=m.emit,
            lent=lambda where: m.set_note("lent_key", where),
        )
        if m.options.archive == "all":
            m.set_note("archives", [asdict(one.archive) for one in sent])

    def _clear(self, m: Migration) -> None:
        api.leftovers(m.old, m.new)
        if m.get_note("lent_key"):
            m.set_note("lent_key", {})

    def revert(self, m: Migration, _undo: dict[str, Any]) -> Actions:
        """Remove the temporary key and partial files; complete copies are kept."""
        yield Action(m.new.name, "remove temporary keys and partial files of the transfer", lambda: self._clear(m))


class Verify(Step):
    """Check that the copy is the same archive, and that it can be decrypted."""

    id = "verify"
    title = "Verify the copied archive (checksum, test decryption)"

    def apply(self, m: Migration) -> Actions:
        """Compare hash, owner and mode, then decrypt the copy to its end, on the new appliance."""
        if m.get_note("archive") is None:
            yield Action(m.new.name, "compare SHA-256, owner and mode; decrypt and list the copy", lambda: None)
            return
        source = the_archive(m)
        copy = replace(source, folder=m.new.paths.backup_dir)
        for one in the_archives(m):
            yield self._compared(m, one)
        yield Action(m.new.name, f"open and list {copy.name}", lambda: self._opens(m, copy))

    def _compared(self, m: Migration, source: Archive) -> Action:
        copy = replace(source, folder=m.new.paths.backup_dir)
        return Action(m.new.name, f"compare the SHA-256 of {copy.path}", lambda: self._same(m, source, copy))

    def _same(self, m: Migration, source: Archive, copy: Archive) -> None:
        copied = archives.hashed(m.new, replace(copy, sha256=""))
        if (copied.sha256, copied.size) != (source.sha256, source.size):
            raise TransferError(
                f"{copy.path} on {m.new.name} has SHA-256 {copied.sha256}, the source has {source.sha256}",
                "run it again: the damaged copy is not used",
            )

    def _opens(self, m: Migration, copy: Archive) -> None:
        proof = archives.prove(m.new, copy, m.passphrase)
        if not proof.opened:
            raise TransferError(
                f"{copy.name} cannot be opened: {proof.why_not}",
                "give the passphrase with which it was encrypted: --passphrase-file FILE",
            )
        if proof.why_not:
            m.emit(Message(f"{copy.name}: {proof.why_not}; its devices are taken from other sources", "warning"))
        m.set_note("archive_members", len(proof.members))
        inside = recognise(proof.members, m.old.paths, listed=m.old_facts.devices or ())
        m.set_note("archive_devices", list(inside.names))


_GOES = 5.0  # seconds in which the last answer has to cease


class Fetch(Step):
    """Copy the backup to the new appliance; it gets its final name when it is complete."""

    id = "fetch"
    title = "Copy the backup to the new appliance"

    def apply(self, m: Migration) -> Actions:
        """Stream it through this workstation, where nothing is stored; a partial file is continued."""
        source = _source(m)
        size = source.archive.size / 1e6
        where = f"{source.archive.folder} to {m.new.paths.backup_dir}"
        yield Action(m.new.name, f"stream {source.archive.name} ({size:.1f} MB) from {where}", lambda: self._bring(m))

    def _bring(self, m: Migration) -> None:
        source = _source(m)
        api.bring(source.source(), source.archive, m.new, limit=m.options.limit, emit=m.emit)


class OldAbsent(Step):
    """Prove that no host answers at the old address."""

    id = "old-absent"
    title = "Confirm that no host is at the old address"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return the MAC addresses of the new appliance, which identify it when it shows the old host keys."""
        return {"old_macs": [], "new_macs": list(network.hardware_addresses(m.new.shell))}

    def apply(self, m: Migration) -> Actions:
        """Skip this if the new appliance keeps its address, or has the old address already."""
        if m.restores_network and m.get_note("offline_proved") is None:
            address = m.old.host.address
            yield Action(m.new.name, f"confirm that no host answers at {address}", lambda: self._prove(m))

    def _prove(self, m: Migration) -> None:
        network.prove_gone(m.new, m.old.host, interface=m.interface, timeout=_GOES)
        m.set_note("offline_proved", time.time())


def _source(m: Migration) -> RestoreSource:
    if m.restore_source is None:
        raise AssertionError("this step belongs to a run that restores a backup")
    return m.restore_source
