"""Rehearse the restore on the new appliance while the old appliance serves, then undo it.

The questions of tsadmin, its duration and the restored devices are known before anything goes offline.
"""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from tscm_migrate.appliance import device_discovery, network
from tscm_migrate.errors import ApplianceError, ConnectionLost, RehearsalFailed, RehearsalRefused, Unreachable
from tscm_migrate.events import Estimated, Message
from tscm_migrate.migration import checks, estimate, rehearsal_undo, saved_settings
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import Step, refusing_unknown
from tscm_migrate.migration.steps.cutover import request_of
from tscm_migrate.migration.steps.second_pass import all_there, has_ended_well, settled
from tscm_migrate.tsadmin import devices, restore
from tscm_migrate.tsadmin.dialect import Kind
from tscm_migrate.tsadmin.session import OperatorPort

_MOST_PASSES = 3
_MOST_LOOKS = 8  # at questions before that about the network, each of which the operator may answer
_AWAY = ("take-offline", "old-absent", "restore-network", "restore")  # steps after which nothing is rehearsed


class RehearseRestore(Step):
    """Run `tsadmin restore` on the new appliance to its end, then up to the question about the network."""

    id = "rehearse-restore"
    title = "Rehearse the restore on the new appliance"
    revert_summary = "restore {new} to its state before the rehearsal, and resume its updates"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return where its cron entries are, and the MAC addresses of both appliances."""
        if m.options.rehearsed:
            m.set_note("rehearsal", {"skipped": f"rehearsed by run {m.options.rehearsed}"})
            return {}
        if run := _kept(m):
            m.set_note("rehearsal", {"skipped": f"rehearsed by run {run}, which was kept"})
            m.emit(Message(f"not rehearsed again: run {run} was kept, and nothing has changed since"))
            return {}
        if not m.options.rehearsal:
            m.set_note("rehearsal", {"skipped": "--no-rehearsal"})
            m.emit(
                Message(
                    "--no-rehearsal: the questions of the restore will be known only when the old appliance is offline",
                    "warning",
                )
            )
            return {}
        old = () if m.restore_source is not None else network.hardware_addresses(m.old.shell)
        macs = {"old_macs": list(old), "new_macs": list(network.hardware_addresses(m.new.shell))}
        return {"in_place": rehearsal_undo.in_place(m.new), **macs}

    def apply(self, m: Migration) -> Actions:
        """Run the rehearsal from its beginning; an interrupted one is undone first."""
        if _not_needed(m):
            return
        name, command = m.new.name, restore.command(m.new, _to_its_end(m))
        if m.get_note("rehearsal_before"):
            yield Action(name, "undo an interrupted rehearsal", lambda: _back(m))
        yield Action(
            name, "pause its updates, and wait for running ones",
            lambda: rehearsal_undo.pause(m.new, timeout=m.drain_timeout),
        )  # fmt: skip
        yield Action(name, "save its own settings, host keys and devices on itself", lambda: _save(m))
        seen: dict[str, Any] = {"asked": [], "passes": 0, "took": {}}
        for number in range(1, _MOST_PASSES + 1):
            again = "" if number == 1 else ", again, for its questions about existing devices"
            news = yield Action(
                name, f"run `{command}` to its end, SSH and cron answered no{again}", lambda: _pass(m, seen)
            )
            if not news:
                break
        yield from _looks(m, seen)
        yield Action(name, "restore its own settings, host keys and devices, and resume its updates", lambda: _back(m))
        if seen["passes"]:
            m.set_note("rehearsal", seen | _tell(m, seen["took"]))

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Undo an unfinished rehearsal."""
        if undo and not m.get_note("rehearsal"):
            yield Action(m.new.name, "restore its state before the rehearsal", lambda: _back(m, undo))


def _not_needed(m: Migration) -> bool:
    """Whether there is nothing to rehearse: it was not asked for, was done, or the cutover has begun."""
    started = {*m.journal.record.started}
    if not m.options.rehearsal or m.get_note("rehearsal") or {*_AWAY} & started:
        return True
    return RehearseRestore.id not in started and bool(_kept(m))  # a plan: nothing is captured yet


def _looks(m: Migration, seen: dict[str, Any]) -> Actions:
    """Yield what is looked at after a rehearsed restore: the device files, and the question about the network."""
    name = m.new.name
    if m.restore_source is None or m.get_note("old_files"):
        yield Action(name, "compare the device files with the old appliance's", lambda: _compare(m, seen))
    if m.restores_network and not (m.options.force_apply_netconf or m.options.prepares_network):
        until = restore.command(m.new, _to_the_network(m))
        what = f"run `{until}` up to its question about the network, and abort there"
        yield Action(name, what, lambda: _look(m, seen))


def _rehearsed(m: Migration) -> restore.RestoreRequest:
    return replace(
        request_of(m), restore_ssh=False, restore_cron=False, force_apply_netconf=False, leave_tmp_files=False,
        continues=False,
    )  # fmt: skip


def _to_its_end(m: Migration) -> restore.RestoreRequest:
    return replace(_rehearsed(m), bypass_netconf=True)


def _to_the_network(m: Migration) -> restore.RestoreRequest:
    return replace(_rehearsed(m), bypass_netconf=False)


def _save(m: Migration) -> None:
    if not saved_settings.save(m.new, saved_settings.REHEARSAL):
        detail = "its own settings could not be saved, so a rehearsal could not be undone"
        fix = f"on it, check the free space (df -h {m.new.paths.hold_dir} /) and that tar is installed; run this again"
        raise ApplianceError(m.new.name, detail, fix=fix)
    m.set_note("rehearsal_before", rehearsal_undo.prints(m.new))


def _back(m: Migration, undo: Mapping[str, Any] | None = None) -> None:
    undo = undo if undo is not None else m.journal.record.undo.get(RehearseRestore.id, {})
    rehearsal_undo.put_back(m, undo, m.get_note("rehearsal_before"))
    m.set_note("rehearsal_before", None)


def _run(
    m: Migration,
    request: restore.RestoreRequest,
    only: Collection[str] | None = None,
    person: OperatorPort | None = None,
) -> restore.RestoreOutcome:
    """Run one dialogue; temporary files that an aborted restore leaves are removed afterwards."""
    m.set_note("rehearsal_names", rehearsal_undo.names(m.new))
    boot = network.boot_of(m.new.shell)
    try:
        with refusing_unknown(m):
            outcome = restore.run(m.new, request, person or m.operator, only=only)
        if outcome.lost and not request.bypass_netconf:  # after a restart it may have the old appliance's address
            raise ConnectionLost(m.new.name)
        if outcome.stopped_at:
            rehearsal_undo.end_dialogue(m)
            back = rehearsal_undo.paused_again(m.new)
        else:
            back = settled(m, outcome, boot, m.keys_of("new"), lambda: rehearsal_undo.paused_again(m.new))
        m.set_note("rehearsal_names", None)
    except (ConnectionLost, Unreachable) as error:
        raise _failed(m, "the connection was lost during the rehearsal of the restore") from error
    if back:
        m.emit(Message(f"{m.new.name}: the restore has restored {', '.join(back)}; paused again", "warning"))
    return outcome


def _failed(m: Migration, detail: str) -> RehearsalFailed:
    return RehearsalFailed(m.new.name, detail, command=m.options.unrehearsed_command)


def _pass(m: Migration, seen: dict[str, Any]) -> bool:
    """Run a restore to its end; return whether it has asked new questions."""
    began = time.monotonic()
    outcome = _run(m, _to_its_end(m))
    took = round(time.monotonic() - began, 1)
    if not seen["passes"]:
        outcome.printed.tell(m.emit, m.new.name)
    if not has_ended_well(m, outcome) and not _all_there(m):
        raise _failed(m, f"the rehearsal ended with exit status {outcome.status}: {outcome.gist}")
    news = [rule for rule in dict.fromkeys(outcome.answered) if rule not in seen["asked"]]
    seen["asked"] += news
    seen["passes"] += 1
    if "operator" not in outcome.answered:  # else it includes the time of an operator
        seen["took"]["restore"] = max(took, seen["took"].get("restore", 0.0))
    return bool(news)


def _all_there(m: Migration) -> bool:
    return bool(m.get_note("old_files")) and all_there(m, devices.file_hashes(m.new))


def _look(m: Migration, seen: dict[str, Any]) -> None:
    """Run the restore up to its question about the network, and check that aborting it changes nothing."""
    before = rehearsal_undo.prints(m.new)
    only = [*seen["asked"]]
    for _ in range(_MOST_LOOKS):
        began, person = time.monotonic(), restore.Unsent(m.operator)
        # Questions that the passes did not ask are about the network settings.
        outcome = _run(m, _to_the_network(m), only, person)
        if person.kind in (None, Kind.LITERAL, *restore.NETWORK):
            break
        only.append(str(person.kind))
    if person.asked is None:  # else it includes the time of an operator
        seen["took"]["restore-network"] = round(time.monotonic() - began, 1)
    if wrong := rehearsal_undo.changed(before, rehearsal_undo.prints(m.new), "network", "addresses", "boot", "keys"):
        at = f"was aborted at {outcome.stopped_at!r}" if outcome.stopped_at else "asked nothing about the network"
        raise _failed(m, f"its restore {at}, and changed: {', '.join(wrong)}")
    if not outcome.stopped_at:
        m.emit(Message(f"{m.new.name}: its restore asks nothing about the network, and does not change it", "warning"))
    seen["question"] = outcome.stopped_at


def _compare(m: Migration, seen: dict[str, Any]) -> None:
    was = m.get_note("old_files", {}) if m.restore_source is not None else devices.file_hashes(m.old)
    known = (*(m.old_facts.devices or ()), *m.old.host.devices) or tuple(m.get_note("archive_devices", ()))
    findings = compare(was, devices.file_hashes(m.new), known, before=m.get_note("new_files", {}))
    events = [checks.checked(one, m.options.allow) for one in findings]
    for event in events:
        m.emit(event)
    seen["checks"] = [asdict(event) for event in events]
    if refused := checks.refusals(findings, m.options.allow):
        raise RehearsalRefused(tuple(one.name for one in refused), details="; ".join(one.text for one in refused))


def compare(
    was: Mapping[str, str], here: Mapping[str, str], known: Sequence[str], *, before: Mapping[str, str]
) -> list[checks.Finding]:
    """Compare the device files after a restore with those of the old appliance. Pure.

    `was`, `here` and `before` are path → SHA-256: on the old appliance, and on the new after and before the restore.
    """
    there = device_discovery.in_tree(was)
    missing = sorted({name for name in known if name in there} - device_discovery.in_tree(here))
    ours = device_discovery.about(dict(was), known)
    remedy = "see what the restore printed about it; or, if this is expected: --allow "
    if missing or (ours and not set(ours) & set(here)):
        text = f"the restore writes no files of {', '.join(missing) or 'any device'}"
        return [checks.Finding("rehearsal-devices-missing", "error", text, f"{remedy}rehearsal-devices-missing")]
    added = sorted(set(here) - set(was) - set(before))
    if texts := _differences(ours, here, added):
        text = f"of the device files that the restore writes, {'; '.join(texts)}"
        return [checks.Finding("rehearsal-files-differ", "warning", text)]
    return [
        checks.Finding("rehearsal-files", "ok", f"the restore writes all {len(ours)} device files of the old appliance")
    ]


def _differences(was: Mapping[str, str], here: Mapping[str, str], added: list[str]) -> list[str]:
    """Return how many files differ, are missing or were added, with the first of their names."""
    other = sorted(path for path in was if here.get(path) not in (None, was[path]))
    absent = sorted(path for path in was if path not in here)
    kinds = ((other, "differ"), (absent, "are missing"), (added, "are not on the old appliance"))
    return [
        f"{len(paths)} {what} ({', '.join(paths[:3])}{', …' if paths[3:] else ''})" for paths, what in kinds if paths
    ]


def _tell(m: Migration, took: dict[str, float]) -> dict[str, Any]:
    """Keep what the rehearsal took; emit and return the estimated downtime, and what a person has to prepare."""
    last_start = estimate.last_start(m.new) if m.restores_network else None
    if last_start is not None:
        took[estimate.START] = last_start
    kept = _unchanged(m) if m.options.keep else {}
    estimate.keep(m.options.from_ or m.old.name, m.options.to, estimate.Rehearsal(_now(), m.run, dict(took), kept))
    expected = estimate.cutover(m)
    for one in expected.parts:
        m.emit(Estimated(one.step, round(one.seconds, 1), one.basis))
    m.emit(estimate.estimated(expected))
    lines = estimate.to_prepare_for(m)
    for line in lines:
        m.emit(Message(f"prepare: {line}"))
    return {"downtime": asdict(expected), "prepare": lines, "last_start": last_start}


def _kept(m: Migration) -> str:
    """Return the run of a kept rehearsal that serves this migration; "" where it has to be rehearsed."""
    known = estimate.known(m.options.from_ or m.old.name, m.options.to)
    if not (known and known.kept and m.options.rehearsal) or m.only_rehearsal or m.options.rehearsed:
        return ""
    return known.run if known.serves(_unchanged(m), datetime.now(UTC)) else ""


def _unchanged(m: Migration) -> dict[str, str]:
    """Return what must not change for a rehearsal to stay valid: new appliance, old devices, options."""
    now, options = rehearsal_undo.prints(m.new), m.options
    asked = (
        options.encrypt,
        options.bypass_netconf,
        options.force_apply_netconf,
        options.interface,
        m.interface,
        options.network,
    )
    return {
        "new": " ".join(now[name] for name in ("own", "keys", "network")),
        "versions": str((sorted(m.old_facts.versions), sorted(m.new_facts.versions))),
        "devices": str(sorted(m.old_facts.devices or m.old.host.devices)),
        "options": str(asked),
        "dialect": _dialect(m),
    }


def _dialect(m: Migration) -> str:
    """Return a hash of what a person has taught; "" where nothing was."""
    path = m.new.host.dialect
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
