"""The main flow: identify, check, plan, ask, run.

Start reading here. The steps themselves are in `steps/`, their order in `plan.py`, how they are run in `engine.py`, how
a run ends in `ending.py`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tscm_migrate import __version__
from tscm_migrate.errors import Cancelled, Exit, Refused, UsageError
from tscm_migrate.events import Checked, Estimated, RunFinished, RunStarted, Said, StepFinished, StepStarted
from tscm_migrate.migration import (
    checks,
    disaster_checks,
    estimate,
    finish,
    gather_facts,
    history,
    leftovers,
    locks,
    participants,
    plan,
    window,
)
from tscm_migrate.migration.context import Dialler, Migration, Operator
from tscm_migrate.migration.engine import Engine
from tscm_migrate.migration.finish import carry_out
from tscm_migrate.migration.interrupt import Interrupts
from tscm_migrate.migration.journal import Journal, new_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from tscm_migrate.events import Emit
    from tscm_migrate.inventory import Inventory
    from tscm_migrate.migration.gather_facts import Identity
    from tscm_migrate.migration.participants import Sides
    from tscm_migrate.model import Host
    from tscm_migrate.options import MigrateOptions
    from tscm_migrate.secrets import Secrets


def migrate(
    options: MigrateOptions,
    *,
    inventory: Inventory,
    secrets: Secrets,
    emit: Emit,
    operator: Operator,
    only_rehearsal: str = "",
) -> Exit:
    """Move a TSCM.

    Args:
        options: what was asked for, checked already.
        inventory: the site.
        secrets: resolves passwords and the passphrase when they are needed.
        emit: sees everything that happens.
        operator: is asked once, and about prompts that no rule knows.
        only_rehearsal: the command that stops after the rehearsal of the restore and undoes everything ("rehearse",
            "prompts learn"); "" for a migration.

    Returns:
        DONE.

    Raises:
        Refused, Locked: nothing was changed. NeedsPerson: done, but something is left to do.
        Interrupted: can be resumed. MigrateError: failed; everything was put back.
    """
    began, run = time.monotonic(), new_run_id()
    interrupts = Interrupts(emit)
    emit = interrupts.emit
    dial = Dialler(secrets, emit)
    both = participants.meet(options, inventory=inventory, secrets=secrets, dial=dial, emit=emit)
    old, new = both.old, both.new
    verb = "dry run" if options.dry_run else only_rehearsal or "migrate"
    emit(RunStarted(run, verb, old.name, new.name, both.source))
    with contextlib.ExitStack() as stack:
        stack.callback(both.close)
        stack.enter_context(interrupts.installed())
        beginning = stack.enter_context(finish.beginning(run, began, emit))
        if not options.dry_run:
            stack.enter_context(locks.held_here(run, [one.host for one in both.there]))
            locks.refuse_over_unfinished(*(one.name for one in both.there))
        found = identify_both(both, options, inventory, emit)
        findings = preflight(both, found, options, emit)
        m = Migration(
            run, options, old, new, found[0].facts, found[1].facts, journal=Journal.nowhere(),
            dial=dial, foreseen=dial.foreseen, operator=operator, policy=inventory.policy, hooks=inventory.hooks,
            passphrase=participants.passphrase_of(both, options, found[0].facts, secrets),
            interface=gather_facts.interface_of(both, found, options), emit=emit, interrupts=interrupts, kept=both.kept,
            only_rehearsal=only_rehearsal,
        )  # fmt: skip
        _summarise(m, secrets.sources())
        if options.dry_run:
            return _foresee(m, began)
        _confirm(m)
        m.journal = Journal.create(run)
        _write_down(m, found, findings, secrets.sources(), inventory.path)
        beginning.over = True
        return carry_out(Engine(m, plan.steps_of(m)), began, first=lambda: _claim(m))


def migrate_in_window(
    options: MigrateOptions,
    *,
    inventory: Inventory,
    secrets: Secrets,
    emit: Emit,
    operator: Operator,
    times: window.Clock | None = None,
) -> Exit:
    """Rehearse a migration at once or at --stage-at, wait for its window, and migrate.

    Nothing stays paused or locked while it waits: the rehearsal is undone, and the last backup is made inside the
    window. Ctrl-C while it waits leaves both appliances as they are.

    Args: see `migrate`; `times` replaces the clock in tests.

    Raises:
        WindowClosed: the cutover would not end inside the window; everything was undone. Others: see `migrate`.
    """
    times = times or window.Clock()
    zone = window.zone_of(inventory.policy.zone)
    chosen = window.of_options(options.not_before, options.not_after, zone, times.now())
    stage = window.of_options(options.stage_at, None, zone, times.now()).opens
    if stage and chosen.opens and stage >= chosen.opens:
        raise UsageError("--stage-at is not before --not-before", "choose an earlier time for the rehearsal")
    emit(Said(f"change window: {chosen.text(zone)}"))
    if not options.yes and not operator.confirm(f"Rehearse now and migrate {options.from_} to {options.to} then?"):
        raise Cancelled
    opens, closes = _iso(chosen.opens), _iso(chosen.closes)
    options = replace(options, yes=True, not_before=opens, not_after=closes, stage_at=None)
    room: dict[str, Any] = {"inventory": inventory, "secrets": secrets, "emit": emit, "operator": operator}
    if options.rehearsal:
        window.wait(stage, "the time of the rehearsal", emit, times)
        migrate(replace(options, pause_before=None), **room, only_rehearsal="rehearse")
        done = estimate.known(options.from_ or options.to, options.to)
        options = replace(options, rehearsed=done.run if done else "")
    window.wait(chosen.opens, "the change window", emit, times)
    return migrate(options, **room)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _summarise(m: Migration, sources: Mapping[str, str]) -> None:
    given = ", ".join(f"{what} from {source}" for what, source in sorted(sources.items()))
    for line in (*plan.summary(m), *([f"with  {given}"] if given else [])):
        m.emit(Said(line))


def _confirm(m: Migration) -> None:
    """Show the steps and ask once, unless the options have answered already.

    Raises:
        UsageError: the answer was no.
    """
    for number, (step, _) in enumerate(Engine(m, plan.steps_of(m)).outline(), 1):
        m.emit(Said(f"{number:3}. {step.title}"))
    old, new = m.old.name, m.new.name
    what = f"Restore {old} on {new} now?" if m.kept else f"Migrate {old} to {new} now?"
    if not (m.options.yes or m.only_rehearsal) and not m.operator.confirm(what):
        raise Cancelled


def _foresee(m: Migration, began: float) -> Exit:
    """A dry run: every step, and how long each may take."""
    Engine(m, plan.steps_of(m)).foresee()
    _estimate(m)
    m.emit(RunFinished(m.run, "done", round(time.monotonic() - began, 3)))
    return Exit.DONE


def _estimate(m: Migration) -> None:
    """Say how long each step, all of it, and the time without a TSCM may take."""
    known = estimate.known(m.options.from_ or m.old.name, m.options.to)
    found = estimate.steps(m, (step.id for step in plan.steps_of(m)), estimate.measure(m), known.steps if known else {})
    for one in found:
        m.emit(Estimated(one.step, round(one.seconds, 1), one.basis))
    m.emit(Estimated("", round(sum(one.seconds for one in found), 1)))
    m.emit(Estimated("downtime", round(estimate.downtime(found), 1)))


def check(options: MigrateOptions, *, inventory: Inventory, secrets: Secrets, emit: Emit) -> Exit:
    """Identify both and run the preflight; nothing is changed, nothing else is asked for.

    Raises:
        Refused: a reason not to start was found, and not acknowledged.
    """
    began, run = time.monotonic(), new_run_id()
    dial = Dialler(secrets, emit)
    with contextlib.closing(
        participants.meet(options, inventory=inventory, secrets=secrets, dial=dial, emit=emit)
    ) as both:
        emit(RunStarted(run, "check", both.old.name, both.new.name, both.source))
        with finish.beginning(run, began, emit):
            preflight(both, identify_both(both, options, inventory, emit), options, emit)
    emit(RunFinished(run, "done", round(time.monotonic() - began, 3)))
    return Exit.DONE


def _claim(m: Migration) -> None:
    """Make both ours before anything is changed, and clear away what a killed run has left there."""
    locks.take(m, *m.there)
    leftovers.clear_secrets(*m.there)


def identify_both(both: Sides, options: MigrateOptions, inventory: Inventory, emit: Emit) -> list[Identity]:
    """Learn the facts of both."""
    began = time.monotonic()
    emit(StepStarted("identify", "Identify both (read-only)"))
    found = gather_facts.learn(both, options, inventory, emit)
    emit(StepFinished("identify", "done", round(time.monotonic() - began, 3)))
    return found


def preflight(both: Sides, found: list[Identity], options: MigrateOptions, emit: Emit) -> list[checks.Finding]:
    """Emit every finding.

    Raises:
        Refused: one is neither harmless nor acknowledged.
    """
    emit(StepStarted("preflight", "Preflight"))
    findings = [finding for identity in found for finding in identity.findings]
    if findings:
        findings = history.explained(findings, both.old.host, both.new.host)
    else:
        old, new = found
        situation = checks.Situation(
            old.facts, new.facts, both.old.host, both.new.host, options, old.answers, old.pinned, old.inside
        )
        findings = checks.preflight(situation, disaster_checks.CHECKS if both.kept else checks.CHECKS)
    for finding in findings:
        allowed = finding.name in options.allow and not finding.firm
        emit(Checked(finding.name, finding.severity, finding.text, finding.remedy, allowed, finding.firm))
    for name in checks.idle(findings, options.allow):
        emit(Said(f"--allow {name}: no check of this name has found anything"))
    refused = checks.refusals(findings, options.allow)
    if refused:
        emit(StepFinished("preflight", "failed"))
        raise Refused(tuple(dict.fromkeys(f.name for f in refused)), any(f.firm for f in refused))
    emit(StepFinished("preflight", "done"))
    return findings


def _write_down(
    m: Migration,
    found: list[Identity],
    findings: list[checks.Finding],
    secret_sources: dict[str, str],
    site: Path | None,
) -> None:
    """The first entry of the journal: all that a resume or the report needs and that cannot be asked for again."""
    shown = {"json": False, "yes": True, "passphrase_file": None, "inventory": None}
    rescued = (
        {"kept": m.kept.note(), "old_host": _place(m.old.host), "archive": asdict(m.kept.archive)} if m.kept else {}
    )
    m.journal.write(
        "run-started", run=m.run, verb=m.only_rehearsal or "migrate", version=__version__,
        old=m.old.name, new=m.new.name,
        options={key: value for key, value in asdict(m.options).items() if key not in shown},
        notes={
            "facts": {"old": asdict(found[0].facts), "new": asdict(found[1].facts)},
            "new_address": m.new.host.address,
            "new_keys": [found[1].shown],
            "old_keys": _shown_by_old(found[0]),
            "old_files": found[0].files,
            "new_files": found[1].files,
            "interface": m.interface,
            "checks": [{**asdict(f), "allowed": f.name in m.options.allow} for f in findings],
            "secret_sources": secret_sources,
            "inventory": str(site.absolute()) if site else "",
            "only_rehearsal": m.only_rehearsal,
            **rescued,
        },
    )  # fmt: skip


def _shown_by_old(old: Identity) -> list[str]:
    """What it has shown; of a dead one, what known_hosts has where its archive has nothing."""
    if old.shown:
        return [old.shown]
    return [] if old.facts.host_keys else [key for _, key in old.pinned]


def _place(host: Host) -> dict[str, Any]:
    return {"name": host.name, "address": host.address, "port": host.port}
