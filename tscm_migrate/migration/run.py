"""The main flow of a migration: gather facts, check, plan, confirm, run.

Start reading here. The steps are in `steps/`, their order is in `plan.py`; `engine.py` runs them, and `finish.py` ends
a run.
"""

import contextlib
import platform
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tscm_migrate import __version__
from tscm_migrate.errors import Cancelled, Exit, Interrupted, MigrateError, Refused, UsageError
from tscm_migrate.events import Emit, Estimated, Message, RunFinished, RunStarted, StepFinished, StepStarted
from tscm_migrate.migration import (
    checks,
    estimate,
    final_state,
    finish,
    gather_facts,
    history,
    locks,
    participants,
    passed_checks,
    plan,
    window,
)
from tscm_migrate.migration.context import Dialler, Migration, Session
from tscm_migrate.migration.engine import Engine, Planned
from tscm_migrate.migration.interrupt import Interrupts
from tscm_migrate.migration.journal import Journal, new_run_id
from tscm_migrate.model import Host
from tscm_migrate.options import MigrateOptions


def migrate(options: MigrateOptions, session: Session, *, only_rehearsal: str = "") -> Exit:
    """Migrate one appliance to another.

    Args:
        options: of the command line, checked.
        session: its operator confirms once, and answers questions of tsadmin that no dialect knows.
        only_rehearsal: the command that stops after the rehearsal of the restore and undoes everything ("rehearse",
            "prompts learn"); "" for a migration.

    Raises:
        Refused, Locked: nothing was changed. ManualStepsLeft: done, but something is left to do manually.
        Interrupted: can be resumed. MigrateError: failed; everything was undone.
    """
    began, run = time.monotonic(), new_run_id()
    interrupts = Interrupts(session.emit)
    session = session.watched(interrupts)
    secrets, emit = session.secrets, session.emit
    dial = Dialler(secrets, emit)
    both = participants.resolve(options, session, dial)
    verb = "dry run" if options.dry_run else only_rehearsal or "migrate"
    steps = () if options.dry_run else plan.outline(dead=bool(both.source), only_rehearsal=bool(only_rehearsal))
    emit(RunStarted(run, verb, both.old.name, both.new.name, both.source, steps))
    with contextlib.ExitStack() as stack:
        stack.callback(both.close)
        stack.enter_context(interrupts.installed())
        preparation = stack.enter_context(finish.preparation(run, began, emit))
        if not options.dry_run:
            stack.enter_context(locks.local_locks(run, [one.host for one in both.reachable]))
            locks.refuse_over_unfinished(*(one.name for one in both.reachable))
        surveys = survey(both, options, session)
        findings = preflight(both, surveys, options, emit)
        facts = (surveys[0].facts, surveys[1].facts)
        m = Migration(
            run, options, both.old, both.new, *facts, journal=Journal.nowhere(), dial=dial,
            expected_keys=dial.expected_keys, operator=session.operator, policy=session.inventory.policy,
            passphrase=participants.passphrase_of(both, options, facts[0], secrets),
            interface=gather_facts.interface_of(both, surveys, options), emit=emit, interrupts=interrupts,
            hooks=session.inventory.hooks, only_rehearsal=only_rehearsal, restore_source=both.restore_source,
        )  # fmt: skip
        _show_summary(m, secrets.sources())
        if options.dry_run:
            return _dry_run(m, began)
        planned = Engine(m, plan.steps_of(m)).plan()
        if not only_rehearsal:
            _try_estimate(m, planned)
        _confirm(m, planned)
        estimated = m.get_note("estimate", {})
        m.journal = Journal.create(run)
        _write_first_entry(m, surveys, findings, secrets.sources(), session.inventory.path)
        m.set_note("estimate", estimated)
        preparation.over = True
        return finish.run_to_end(Engine(m, plan.steps_of(m)), began, first=lambda: _lock_and_clean(m))


def migrate_in_window(options: MigrateOptions, session: Session, *, times: window.Clock | None = None) -> Exit:
    """Rehearse a migration at once or at --stage-at, wait for its window, and migrate.

    Nothing stays paused or locked during the wait: the rehearsal is undone, and the last backup is made inside the
    window. Ctrl-C during the wait leaves both appliances unchanged.

    Args: as of `migrate`; `times` replaces the clock in tests.

    Raises:
        WindowClosed: the cutover would not end inside the window; everything was undone. Others: as of `migrate`.
    """
    times, emit = times or window.Clock(), session.emit
    zone = window.zone_of(session.inventory.policy.zone)
    chosen = window.of_options(options.not_before, options.not_after, zone, times.now())
    stage = window.of_options(options.stage_at, None, zone, times.now()).opens
    if stage and chosen.opens and stage >= chosen.opens:
        raise UsageError("--stage-at is not before --not-before", "choose an earlier time for the rehearsal")
    emit(Message(f"change window: {chosen.text(zone)}"))
    if not options.yes and not session.operator.confirm(
        f"Rehearse now and migrate {options.from_} to {options.to} then?"
    ):
        raise Cancelled
    opens, closes = _iso(chosen.opens), _iso(chosen.closes)
    options = replace(options, yes=True, not_before=opens, not_after=closes, stage_at=None)
    if options.rehearsal:
        _wait(stage, "for the time of the rehearsal", emit, times)
        migrate(replace(options, pause_before=None), session, only_rehearsal="rehearse")
        done = estimate.known(options.from_ or options.to, options.to)
        options = replace(options, rehearsed=done.run if done else "")
    _wait(chosen.opens, "for the change window", emit, times)
    return migrate(options, session)


def _wait(until: datetime | None, what: str, emit: Emit, times: window.Clock) -> None:
    """Wait until a time, while nothing is paused or locked.

    Raises:
        Interrupted: by Ctrl-C.
    """
    try:
        window.wait(until, what, emit, times)
    except KeyboardInterrupt:
        emit(Message(f"stopped waiting {what}", "warning"))
        raise Interrupted("nothing is paused or locked", "start again: run the same command again") from None


def with_fixed_end(options: MigrateOptions, zone_name: str, now: datetime) -> MigrateOptions:
    """Check the times of the options; without --not-before, replace --not-after by its date.

    Otherwise a time of day that is over when it is checked would mean the next day.

    Raises:
        UsageError: a time is not valid, or is over.
    """
    zone = window.zone_of(zone_name)
    chosen = window.of_options(options.not_before, options.not_after, zone, now)
    window.of_options(options.stage_at, None, zone, now)
    return options if options.has_window else replace(options, not_after=_iso(chosen.closes))


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _show_summary(m: Migration, sources: Mapping[str, str]) -> None:
    given = ", ".join(f"{what} from {source}" for what, source in sorted(sources.items()))
    for line in (*plan.summary(m), *([f"with  {given}"] if given else [])):
        m.emit(Message(line))


def _confirm(m: Migration, planned: Planned) -> None:
    """Show the steps and the downtime, and ask for confirmation, unless --yes was given or only a rehearsal is run.

    Raises:
        Cancelled: the answer was no.
    """
    for number, (step, _) in enumerate(planned, 1):
        m.emit(Message(f"{number:3}. {step.title}"))
    old, new = m.old.name, m.new.name
    if not m.only_rehearsal:
        m.emit(Message(plan.consequence(m)))
    what = f"Restore {old} on {new} now?" if m.restore_source else f"Migrate {old} to {new} now?"
    if not (m.options.yes or m.only_rehearsal) and not m.operator.confirm(what):
        raise Cancelled


def _dry_run(m: Migration, began: float) -> Exit:
    """Emit every step with its actions, and the estimate; nothing is changed."""
    _estimate(m, Engine(m, plan.steps_of(m)).dry_run())
    m.emit(RunFinished(m.run, "done", round(time.monotonic() - began, 3)))
    return Exit.DONE


def _try_estimate(m: Migration, planned: Planned) -> None:
    """Estimate before the confirmation; a migration does not depend on it."""
    try:
        _estimate(m, planned)
    except MigrateError as error:
        m.emit(Message(f"the duration could not be estimated: {error}", "warning"))


def _estimate(m: Migration, planned: Planned) -> None:
    """Emit and note the estimated seconds of each step that has something to do, of the run and of the downtime."""
    known = estimate.known(m.options.from_ or m.old.name, m.options.to)
    estimates = estimate.steps(m, (step.id for step, _ in planned), estimate.measure(m), known.steps if known else {})
    for one in estimates:
        m.emit(Estimated(one.step, round(one.seconds, 1), one.basis))
    total, downtime = estimate.totals(estimates, estimate.cutover(m))
    m.emit(total)
    m.emit(downtime)
    each = {one.step: round(one.seconds, 1) for one in estimates}
    spread = {"least": downtime.least, "most": downtime.most} if downtime.most else {}
    m.set_note("estimate", {"total": total.seconds, "downtime": downtime.seconds, "steps": each, **spread})


def check(options: MigrateOptions, session: Session) -> Exit:
    """Gather the facts of both appliances and run the preflight checks; nothing is changed.

    Raises:
        Refused: a check failed, and was not allowed with --allow.
    """
    began, run, emit = time.monotonic(), new_run_id(), session.emit
    with contextlib.closing(participants.resolve(options, session, Dialler(session.secrets, emit))) as both:
        emit(RunStarted(run, "check", both.old.name, both.new.name, both.source))
        with finish.preparation(run, began, emit):
            preflight(both, survey(both, options, session), options, emit)
    emit(RunFinished(run, "done", round(time.monotonic() - began, 3)))
    return Exit.DONE


def _lock_and_clean(m: Migration) -> None:
    """Lock the appliances, and remove the passphrase files that a killed run has left on them."""
    locks.take(m, *m.reachable)
    final_state.clear_secrets(*m.reachable)


def survey(both: participants.Participants, options: MigrateOptions, session: Session) -> list[gather_facts.HostSurvey]:
    """Gather the facts of both appliances, as the step "identify" of the events."""
    began, emit = time.monotonic(), session.emit
    emit(StepStarted("identify", "Gather facts of both appliances (read-only)"))
    surveys = gather_facts.gather_both(both, options, session.inventory, emit)
    emit(StepFinished("identify", "done", round(time.monotonic() - began, 3)))
    return surveys


def preflight(
    both: participants.Participants, surveys: list[gather_facts.HostSurvey], options: MigrateOptions, emit: Emit
) -> list[checks.Finding]:
    """Run the preflight checks and emit every finding.

    Raises:
        Refused: a check failed, and was not allowed with --allow.
    """
    emit(StepStarted("preflight", "Preflight checks"))
    findings = _findings(both, surveys, options)
    for finding in findings:
        emit(checks.checked(finding, options.allow))
    problems = [finding for finding in findings if finding.severity != "ok"]
    for name in checks.idle(problems, options.allow):
        emit(Message(f"--allow {name}: no check of this name has found anything"))
    refused = checks.refusals(findings, options.allow)
    if refused:
        emit(StepFinished("preflight", "failed"))
        raise Refused(tuple(dict.fromkeys(f.name for f in refused)), any(f.firm for f in refused))
    passed = sum(finding.severity == "ok" for finding in findings)
    emit(StepFinished("preflight", "done", 0.0, f"{passed} of {len(findings)} checks passed"))
    return findings


def _findings(
    both: participants.Participants, surveys: list[gather_facts.HostSurvey], options: MigrateOptions
) -> list[checks.Finding]:
    """Run the checks; where an appliance could not be looked at, return why instead."""
    findings = [finding for identity in surveys for finding in identity.findings]
    if findings:
        return history.explained(findings, both.old.host, both.new.host)
    old, new = surveys
    situation = checks.PreflightInput(
        old.facts, new.facts, both.old.host, both.new.host, options, old.answers, old.pinned, old.inside
    )
    return passed_checks.run(situation, checks.DISASTER_CHECKS if both.restore_source else checks.CHECKS)


def _write_first_entry(
    m: Migration,
    surveys: list[gather_facts.HostSurvey],
    findings: list[checks.Finding],
    secret_sources: dict[str, str],
    site: Path | None,
) -> None:
    """Write the journal's first entry: what a resume or the report needs and what cannot be read again later."""
    shown = {"json": False, "yes": True, "passphrase_file": None, "inventory": None}
    rescued = (
        {"kept": m.restore_source.note(), "old_host": _place(m.old.host), "archive": asdict(m.restore_source.archive)}
        if m.restore_source
        else {}
    )
    m.journal.write(
        "run-started", run=m.run, verb=m.only_rehearsal or "migrate", version=__version__,
        old=m.old.name, new=m.new.name,
        options={key: value for key, value in asdict(m.options).items() if key not in shown},
        notes={
            "facts": {"old": asdict(surveys[0].facts), "new": asdict(surveys[1].facts)},
            "new_address": m.new.host.address,
            "new_keys": [surveys[1].shown],
            "old_keys": _shown_by_old(surveys[0]),
            "old_files": surveys[0].files,
            "new_files": surveys[1].files,
            "interface": m.interface,
            "checks": [asdict(checks.checked(f, m.options.allow)) for f in findings],
            "operator": {"user": locks.user_name(), "workstation": f"{socket.gethostname()} ({platform.system()})"},
            "secret_sources": secret_sources,
            "inventory": str(site.absolute()) if site else "",
            "only_rehearsal": m.only_rehearsal,
            **rescued,
        },
    )  # fmt: skip


def _shown_by_old(old: gather_facts.HostSurvey) -> list[str]:
    """Return the host key that it has shown; of a dead appliance, its keys in known_hosts if its archive has none."""
    if old.shown:
        return [old.shown]
    return [] if old.facts.host_keys else [key for _, key in old.pinned]


def _place(host: Host) -> dict[str, Any]:
    return {"name": host.name, "address": host.address, "port": host.port}
