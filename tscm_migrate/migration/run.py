"""The main flow: identify, check, plan, ask, run; and what is said and put back when it does not go through.

Start reading here. The steps themselves are in `steps/`, their order in `plan.py`, how they are run in `engine.py`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tscm_migrate import __version__
from tscm_migrate.appliance.base import Appliance
from tscm_migrate.appliance.names import newest
from tscm_migrate.errors import Exit, Interrupted, NeedsPerson, Refused, UsageError
from tscm_migrate.events import Checked, RunFinished, RunStarted, Said, StepFinished, StepStarted
from tscm_migrate.migration import checks, outcome, plan
from tscm_migrate.migration.context import Migration, Operator
from tscm_migrate.migration.engine import Engine
from tscm_migrate.migration.identify import Identity, identify
from tscm_migrate.migration.journal import Journal, new_run_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.events import Emit
    from tscm_migrate.inventory import Inventory
    from tscm_migrate.options import MigrateOptions
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.site import Host, Secret
    from tscm_migrate.ssh.shell import Shell


class Dialler:
    """Connects to hosts; knows which keys are foreseen at an address whose appliance has changed."""

    def __init__(self, secrets: Secrets, emit: Emit) -> None:
        self._secrets = secrets
        self._emit = emit
        self.foreseen: dict[str, tuple[str, ...]] = {}

    def __call__(self, host: Host, expect: Sequence[str] | None = None) -> Shell:
        """Connect; see `ssh.connect.connect`."""
        from tscm_migrate.ssh.connect import connect

        keys = expect if expect is not None else self.foreseen.get(host.address)
        return connect(host, credentials=self._secrets, emit=self._emit, expect=keys)


def migrate(options: MigrateOptions, *, inventory: Inventory, secrets: Secrets, emit: Emit, operator: Operator) -> Exit:
    """Move a TSCM.

    Args:
        options: what was asked for, checked already.
        inventory: the site.
        secrets: resolves passwords and the passphrase when they are needed.
        emit: sees everything that happens.
        operator: is asked once, and about prompts that no rule knows.

    Returns:
        DONE.

    Raises:
        Refused: preflight; nothing was changed. NeedsPerson: done, but something is left to do.
        Interrupted: can be resumed. MigrateError: failed; everything was put back.
    """
    began = time.monotonic()
    dial = Dialler(secrets, emit)
    old = Appliance(inventory.host(options.from_), dial, emit)
    new = Appliance(inventory.host(options.to), dial, emit)
    run = new_run_id()
    emit(RunStarted(run, "dry run" if options.dry_run else "migrate", old.name, new.name))
    with contextlib.closing(old), contextlib.closing(new):
        found = _identify(old, new, emit)
        findings = _check(old, new, found, options, emit)
        passphrase = _passphrase(options, found[0], secrets, old.host)
        m = Migration(
            run, options, old, new, found[0].facts, found[1].facts,
            journal=Journal.nowhere() if options.dry_run else Journal.create(run),
            dial=dial, foreseen=dial.foreseen, operator=operator, policy=inventory.policy, passphrase=passphrase,
            interface=checks.resolve_interface(found[0].facts, old.host, options.interface), emit=emit,
        )  # fmt: skip
        for line in plan.summary(m):
            emit(Said(line))
        engine = Engine(m, plan.steps())
        if options.dry_run:
            engine.foresee()
            emit(RunFinished(run, "done", round(time.monotonic() - began, 3)))
            return Exit.DONE
        if not options.yes and not operator.confirm(f"Migrate {old.name} to {new.name} now?"):
            raise UsageError("not confirmed; nothing was changed", "say yes, or give --yes")
        _write_down(m, found, findings)
        return carry_out(engine, began)


def _identify(old: Appliance, new: Appliance, emit: Emit) -> list[Identity]:
    began = time.monotonic()
    emit(StepStarted("identify", "Identify both (read-only)"))
    found = identify(old, new)
    emit(StepFinished("identify", "done", round(time.monotonic() - began, 3)))
    return found


def _check(
    old: Appliance, new: Appliance, found: list[Identity], options: MigrateOptions, emit: Emit
) -> list[checks.Finding]:
    """Emit every finding; refuse where one is neither harmless nor acknowledged."""
    emit(StepStarted("preflight", "Preflight"))
    findings = [finding for identity in found for finding in identity.findings]
    if not findings:
        findings = checks.preflight(checks.Situation(found[0].facts, found[1].facts, old.host, new.host, options))
    for finding in findings:
        allowed = finding.name in options.allow and not finding.firm
        emit(Checked(finding.name, finding.severity, finding.text, finding.remedy, allowed))
    refused = checks.refusals(findings, options.allow)
    if refused:
        emit(StepFinished("preflight", "failed"))
        raise Refused(tuple(dict.fromkeys(finding.name for finding in refused)))
    emit(StepFinished("preflight", "done"))
    return findings


def _passphrase(options: MigrateOptions, old: Identity, secrets: Secrets, host: Host) -> Secret | None:
    """The archives' passphrase, where one is needed.

    Raises:
        UsageError: one is needed, or may be, and there is none.
    """
    if not options.encrypt:
        return None
    last = newest(old.facts.archives)
    plain = last is not None and not last.encrypted
    if options.archive != "new" and plain:
        return None
    found = secrets.passphrase(host)
    if found is None and not plain:
        fix = "give --passphrase-file FILE or TSCM_PASSPHRASE; or --no-encrypt for a plain backup"
        raise UsageError("there is no passphrase for the backup", fix)
    return found


def _write_down(m: Migration, found: list[Identity], findings: list[checks.Finding]) -> None:
    """The first entries of the journal: all that a resume or the report needs and that cannot be asked for again."""
    shown = {"json": False, "yes": True, "passphrase_file": None, "inventory": None}
    m.journal.write(
        "run-started", run=m.run, verb="migrate", version=__version__, old=m.old.name, new=m.new.name,
        options={**{k: v for k, v in asdict(m.options).items() if k not in shown}},
    )  # fmt: skip
    m.note("facts", {"old": asdict(found[0].facts), "new": asdict(found[1].facts)})
    m.note("new_address", m.new.host.address)
    m.note("new_keys", [found[1].shown])
    m.note("old_keys", [found[0].shown])
    m.note("old_files", found[0].files)
    m.note("interface", m.interface)
    m.note("checks", [{**asdict(f), "allowed": f.name in m.options.allow} for f in findings])


def carry_out(engine: Engine, began: float) -> Exit:
    """Run the steps, and end in a state that is known and said; also used by resume.

    Raises:
        As `migrate`.
    """
    m = engine.m
    try:
        engine.run()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a defect of ours too must leave nobody in the dark
        _recover(engine, error, began)
    left = outcome.left_to_do(m)
    _end(m, "attention" if left else "done", began, outcome.standing(m, engine))
    if left:
        raise NeedsPerson(tuple(left))
    return Exit.DONE


def _recover(engine: Engine, error: BaseException, began: float) -> None:
    """Before the cutover everything is put back; after it, what is held or offline is said with the way on and back."""
    m = engine.m
    interrupted = isinstance(error, KeyboardInterrupt)
    if outcome.can_put_back(engine):
        m.emit(Said(f"{'interrupted' if interrupted else f'failed: {error}'}; putting everything back", "warning"))
        failed = engine.roll_back()
        standing = outcome.standing(m, engine)
        if not failed:
            _end(m, "interrupted" if interrupted else "failed", began, standing or ("everything was put back",))
            if interrupted:
                raise Interrupted("everything was put back", f"start again: tscm-migrate resume {m.run}") from error
            raise error
    _end(m, "interrupted", began, outcome.standing(m, engine))
    reason = "by the operator" if interrupted else str(error)
    ways = f"go on: tscm-migrate resume {m.run}; or go back: tscm-migrate rollback {m.run}"
    raise Interrupted(reason, ways) from error


def _end(m: Migration, how: Any, began: float, standing: tuple[str, ...]) -> None:
    """Write and say how the run ended; the last thing printed names what is held or offline."""
    m.journal.write("run-ended", outcome=how, standing=list(standing))
    seconds = round(time.monotonic() - began, 3)
    m.emit(RunFinished(m.run, how, seconds, outcome.downtime(m), standing))


def moved(host: Host, address: str) -> Host:
    """The same appliance at another address."""
    return replace(host, address=address)
