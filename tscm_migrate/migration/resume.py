"""Resume a run: rebuild it from its journal, and check the actual state of both appliances."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from tscm_migrate import __version__
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.errors import Cancelled, Exit, JournalNewer, MigrateError, UsageError
from tscm_migrate.events import COMPLETED, Estimated, Message, RunStarted
from tscm_migrate.migration import final_state, journal, locks, participants, plan, rediscover
from tscm_migrate.migration.context import Dialler, Migration, Session
from tscm_migrate.migration.engine import Engine, applied
from tscm_migrate.migration.finish import run_to_end
from tscm_migrate.migration.interrupt import Interrupts
from tscm_migrate.model import Secret
from tscm_migrate.options import MigrateOptions
from tscm_migrate.secrets import Secrets


def select_run(asked: str | None, *, verb: str) -> str:
    """Return the run to resume or to roll back.

    This is the named one, else the newest unfinished one, else the newest of all if it did not end well.

    Raises:
        UsageError: there is no such run. JournalDamaged: its journal cannot be read.
    """
    if asked:
        journal.read(asked)
        return asked
    names = list(journal.runs())
    for name in names:
        if locks.unfinished(name):
            return name
    for name in names:
        newest, _ = journal.read(name)
        if newest.began:
            if newest.outcome not in {*COMPLETED, "rolled-back"}:
                return name
            break
    raise UsageError(f"there is no unfinished run to {verb}", "list all: tscm-migrate run list; then name one")


def warn_of_other_runs(m: Migration, asked: str | None) -> None:
    """Warn of other unfinished runs, unless the run was named by the operator."""
    for name in () if asked else journal.runs():
        if name != m.run and locks.unfinished(name):
            pair = ""
            with contextlib.suppress(MigrateError):  # one that cannot be read does not prevent this one
                record, _ = journal.read(name)
                pair = f" ({record.old} → {record.new})"
            m.emit(Message(f"run {name}{pair} is also unfinished: tscm-migrate run show {name}", "warning"))


def inventory_of(asked: str | None, *, verb: str, given: str | None = None) -> str | Path | None:
    """Return the inventory file of a run: the given one, else the one with which it was started; None if it had none.

    Raises:
        UsageError: that file no longer exists. Others: as of `select_run`.
    """
    run = select_run(asked, verb=verb)
    record, _ = journal.read(run)
    named = record.notes.get("inventory")
    if named and not given and record.inventory is None:
        command = {"roll back": "rollback", "discard": "run discard"}.get(verb, verb)
        fix = f"name the file: tscm-migrate {command} {run} --inventory FILE"
        raise UsageError(f"the inventory of run {run} no longer exists: {named}", fix)
    return given or record.inventory


@contextlib.contextmanager
def reopen(name: str, session: Session, *, verb: str) -> Iterator[Migration]:
    """Open a run from its journal, with this workstation's locks and signal handlers.

    Raises:
        UsageError: the run has no entries. Locked: it is still running. JournalNewer: it has steps of a later version.
        JournalDamaged: its journal cannot be read.
    """
    before, _ = journal.read(name)
    if not before.began:
        raise UsageError(
            f"run {name} has changed nothing; there is nothing to {verb}", "start again: tscm-migrate migrate"
        )
    if unknown := [step for step in before.started if step not in plan.known()]:  # which could not be undone
        raise JournalNewer(name, f"it has begun steps that this version does not have: {', '.join(unknown)}")
    options = MigrateOptions.parse(before.options)
    interrupts = Interrupts(session.emit)
    session = session.watched(interrupts)
    dial = Dialler(session.secrets, session.emit)
    both = participants.from_journal(options, before.notes, session, dial)
    with interrupts.installed(), locks.local_locks(name, [one.host for one in both.reachable]):
        opened = journal.Journal.open(name)  # read again under the lock: it may have grown
        record = opened.record
        facts = _facts(record)
        dial.expected_keys.update({place: tuple(keys) for place, keys in record.notes.get("foreseen", {}).items()})
        session.emit(_started(record, verb, both))
        if verb == "resume":
            for step, seconds in (record.notes.get("estimate") or {}).get("steps", {}).items():
                session.emit(Estimated(step, seconds))
        with contextlib.closing(both):
            yield Migration(
                name, options, both.old, both.new, facts["old"], facts["new"], journal=opened, dial=dial,
                expected_keys=dial.expected_keys, operator=session.operator, policy=session.inventory.policy,
                hooks=session.inventory.hooks, interface=record.notes.get("interface", ""), emit=session.emit,
                interrupts=interrupts, restore_source=both.restore_source,
                only_rehearsal="rehearse" if record.notes.get("only_rehearsal") else "",
            )  # fmt: skip


def _started(record: journal.RunRecord, verb: str, both: participants.Participants) -> RunStarted:
    """Return the first event of a session: the steps that it runs or undoes, and what earlier sessions have done."""
    bare = RunStarted(record.run, verb, both.old.name, both.new.name, both.source)
    only_rehearsal = bool(record.notes.get("only_rehearsal"))
    steps = plan.outline(dead=bool(both.source), only_rehearsal=only_rehearsal)
    offline = record.notes.get("offline_began")
    if verb == "resume":
        skipped = tuple(step for step in record.done if step in record.skipped)
        return replace(bare, steps=steps, done=tuple(record.done), skipped=skipped, offline_since=offline)
    if verb != "rollback":
        return bare
    # A step that has nothing to undo, or did not apply to this run, is not shown.
    shown = {step.id for step in plan.steps(dead=bool(both.source)) if step.revert_summary and applied(record, step.id)}
    undone = tuple(step for step in reversed(steps) if step[0] in record.started and step[0] in shown)
    return replace(bare, steps=undone, offline_since=offline)


def _facts(record: journal.RunRecord) -> dict[str, Facts]:
    """Return the facts of both appliances before the run, from its journal."""
    adapter = TypeAdapter(Facts)
    return {name: adapter.validate_python(item) for name, item in record.notes["facts"].items()}


def resume(asked: str | None, session: Session, *, yes: bool) -> Exit:
    """Continue a run (None: the newest unfinished one): steps that are done are skipped, the others check what is true.

    Its secrets are resolved again, because the journal contains none. Raises as `run.migrate`.
    """
    began, name = time.monotonic(), select_run(asked, verb="resume")
    _refuse_over(name)
    with reopen(name, session, verb="resume") as m:
        warn_of_other_runs(m, asked)
        if not yes and not m.operator.confirm(f"Continue the migration of {m.old.name} to {m.new.name} now?"):
            raise Cancelled
        m.passphrase = _passphrase(m, session.secrets)
        m.journal.write("run-resumed", version=__version__, pid=os.getpid())
        return run_to_end(Engine(m, plan.steps_of(m)), began, first=lambda: prepare(m))


def _refuse_over(name: str) -> None:
    """Refuse to resume a run that is over, before any notification of a start is sent."""
    record, _ = journal.read(name)
    if record.notes.get("only_rehearsal"):
        fix = f"undo what it has changed: tscm-migrate rollback {name}; then run prompts learn again"
        raise UsageError(f"run {name} only learned prompts; it cannot be resumed", fix)
    if record.outcome in COMPLETED and plan.steps()[-1].id in record.done:
        raise UsageError(f"run {name} is over ({record.outcome})", f"see its result: tscm-migrate run show {name}")


def _passphrase(m: Migration, secrets: Secrets) -> Secret | None:
    """Return the passphrase that the rest of the run needs.

    Raises:
        UsageError: the archive is encrypted, and no passphrase was given, for which the restore would ask.
    """
    archive = m.get_note("archive")
    if m.get_note("restored") or (archive is not None and not str(archive["name"]).endswith(".gpg")):
        return None
    passphrase = participants.archive_passphrase(m.options, m.old_facts, secrets, m.old.host, made=archive is not None)
    if passphrase is None and archive is not None and m.options.encrypt:
        fix = "give it as for the migration: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring"
        raise UsageError(f"{archive['name']} is encrypted, and no passphrase was given; nothing was changed", fix)
    return passphrase


def prepare(m: Migration, *, need_new: bool = True) -> None:
    """Find and lock both appliances, wait for a tsadmin that a killed run has left, and remove passphrase files."""
    m.old_answers = rediscover.find_both(m, need_new=need_new)
    there = [one for one in m.reachable if (m.old_answers if one is m.old else one.connected)]
    for appliance in there:
        final_state.settle(appliance, timeout=min(final_state.STILL, m.policy.tsadmin_timeout))
    locks.take(m, *there)
    final_state.clear_secrets(*there)
