"""What a fleet's pull says: a line as each host is done, and a table of what went wrong at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.errors import MigrateError
from tscm_migrate.ui.offsite_tables import size, table, when
from tscm_migrate.util.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.fleet.pull import PullOutcome


def line(outcome: PullOutcome, done: int, total: int) -> str:
    """One host: "[12/200] tscm-a: stored 4.8 MB in 1.2 s"."""
    name = outcome.item.host.name
    if outcome.value is None:
        return f"[{done}/{total}] {name}: FAILED: {_why(outcome)}"
    pulled = outcome.value
    if pulled.seen:
        return f"[{done}/{total}] {name}: nothing was pulled; it has {len(pulled.seen)} of the archives that are meant"
    also = f"; {len(pulled.failed)} archives FAILED" if pulled.failed else ""
    if pulled.outcome == "already":
        return f"[{done}/{total}] {name}: already off-site{also}"
    return f"[{done}/{total}] {name}: stored {size(pulled.size)} in {duration_text(outcome.seconds)}{also}"


def summary(outcomes: Sequence[PullOutcome]) -> str:
    """All of them: what is off-site now, and what failed with its remedy."""
    if not outcomes:
        return "nothing to do: every newest copy is young enough\n"
    failed = [outcome for outcome in outcomes if outcome.value is None]
    if len(outcomes) == 1 and not failed and outcomes[0].value and not outcomes[0].value.seen:
        return _single(outcomes[0]) + _left(outcomes)
    seen = [o.value for o in outcomes if o.value is not None and o.value.seen]
    if seen:
        told = "".join(f"{one.host}: would pull {', '.join(one.seen)}\n" for one in seen)
        return told + "".join(f"{o.item.host.name}: {_why(o)}\n  {_remedy(o)}\n" for o in failed)
    stored = [o.value for o in outcomes if o.value is not None and o.value.outcome == "stored"]
    already = len(outcomes) - len(failed) - len(stored)
    text = f"{len(outcomes)} hosts: {len(stored)} stored ({size(sum(p.size for p in stored))}), {already} already there"
    if not failed:
        return text + "\n" + _left(outcomes)
    rows = [(o.item.host.name, _code(o), _why(o), _remedy(o)) for o in failed]
    return f"{text}, {len(failed)} FAILED\n" + table(("HOST", "CODE", "WHY", "WHAT TO DO"), rows) + _left(outcomes)


def _left(outcomes: Sequence[PullOutcome]) -> str:
    """The archives that could not be stored, of hosts where others were."""
    found = [(o.item.host.name, name, error) for o in outcomes if o.value for name, error in o.value.failed]
    return "".join(
        f"{host}: {name} was NOT stored: {' '.join(error.message().split())[:300]}\n  {error.remedy()}\n"
        for host, name, error in found
    )


def _single(outcome: PullOutcome) -> str:
    pulled = outcome.value
    if pulled is None:
        return ""
    rows = [
        (c.manifest.archive, c.outcome, when(c.manifest.taken_at), size(c.manifest.size), c.manifest.encrypted,
         "read back" if c.manifest.verified_at else "by its size") for c in pulled.copies
    ]  # fmt: skip
    return table(("ARCHIVE", "OUTCOME", "TAKEN (UTC)", ">SIZE", "ENCRYPTED", "VERIFIED"), rows)


def _code(outcome: PullOutcome) -> str:
    return outcome.error.code if isinstance(outcome.error, MigrateError) else "defect"


def _why(outcome: PullOutcome) -> str:
    error = outcome.error
    text = error.message() if isinstance(error, MigrateError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:300]


def _remedy(outcome: PullOutcome) -> str:
    return outcome.error.remedy() if isinstance(outcome.error, MigrateError) else ""
