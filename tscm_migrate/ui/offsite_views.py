"""The off-site store as tables and as the freshness page, whose script keeps the ages current.

Foreign text is cleaned by `redact.outside`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import StoreError, error_fields
from tscm_migrate.ui import page
from tscm_migrate.ui.console import by_reason, table
from tscm_migrate.util import private
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import duration_text, size_text

if TYPE_CHECKING:
    from tscm_migrate.fleet.pull import PullOutcome
    from tscm_migrate.offsite.appliance_retention import ApplianceArchive
    from tscm_migrate.offsite.catalog import Catalog, Copy
    from tscm_migrate.offsite.freshness import HostStatus
    from tscm_migrate.offsite.prune import Leftovers, Pruning
    from tscm_migrate.offsite.pull import Pulled


_NAMED = 200
_SEALING = {"no": "PLAIN", "passphrase": "passphrase", "public-key": "keys"}


def when(at: datetime | None) -> str:
    """Format a time to the minute; "never" for None."""
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"


def copies(catalog: Catalog, now: datetime) -> str:
    """Return the output of `offsite list`."""
    if not catalog.copies:
        return f"no copies in {catalog.url}\n" + _skipped(catalog)
    rows = [
        (c.host, c.id, when(c.taken_at), size_text(c.manifest.size), _SEALING[c.manifest.encrypted], _proof(c, now),
         ",".join(c.tags)) for c in catalog.copies
    ]  # fmt: skip
    head = ("HOST", "COPY", "TAKEN (UTC)", ">SIZE", "ENCRYPTED", "VERIFIED", "TAGS")
    return table(head, rows) + _skipped(catalog)


def _proof(copy: Copy, now: datetime) -> str:
    if copy.damaged:
        return "DAMAGED"
    return f"{duration_text(now - copy.verified_at)} ago" if copy.verified_at else "never"


def unreadable_objects(catalog: Catalog) -> str:
    """Return a line for each unreadable object, 200 at most."""
    text = "".join(f"skipped, cannot be read: {outside(str(thing), 400)}\n" for thing in catalog.unreadable[:_NAMED])
    more = len(catalog.unreadable) - _NAMED
    return text + (f"and {more} more\n" if more > 0 else "")


def _skipped(catalog: Catalog) -> str:
    text = unreadable_objects(catalog)
    if catalog.orphans:
        text += f"{len(catalog.orphans)} uploads without a manifest, of interrupted runs: tscm-migrate offsite clean\n"
    return text


def copy_detail(copy: Copy, now: datetime) -> str:
    """Return the output of `offsite show`."""
    manifest = copy.manifest
    rows: list[tuple[str, Any]] = [
        ("host", copy.host), ("copy", copy.id), ("archive", manifest.archive), ("taken", f"{when(copy.taken_at)} UTC"),
        ("pulled", f"{when(manifest.pulled_at)} UTC by {manifest.tool}"),
        ("size", f"{manifest.size} bytes ({manifest.source_size} on the appliance)"),
        ("SHA-256", manifest.sha256), ("SHA-256 on the appliance", manifest.source_sha256),
        ("encrypted", manifest.encrypted), ("encrypted to", ", ".join(manifest.sealed_to) or "–"),
        ("key ids", ", ".join(manifest.key_ids) or "–"), ("versions", _pairs(manifest.versions)),
        ("system", manifest.os or "–"), ("tags", ", ".join(copy.tags) or "–"), ("verified", _proof(copy, now)),
        ("key in the store", manifest.data),
    ]  # fmt: skip
    if copy.damaged:
        rows.append(("damage", copy.damaged))
    rows += [(f"{r.kind} {when(r.at)}", f"{'ok' if r.ok else 'FAILED'} {r.detail}".strip()) for r in copy.records]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name.ljust(width)}  {outside(str(value))}\n" for name, value in rows)


def _pairs(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}".strip() for name, version in versions.items()) or "–"


def verdicts(pruning: Pruning) -> str:
    """Return the output of `offsite prune --dry-run`."""
    rows = [
        (v.copy.host, when(v.copy.taken_at), "keep" if v.keep else "DELETE", ", ".join(v.reasons), v.copy.id)
        for v in pruning.verdicts
    ]
    stays = len(pruning.verdicts) - len(pruning.going)
    total = sum(copy.manifest.size for copy in pruning.going)
    lines = "".join(f"note: {outside(note)}\n" for note in pruning.notes)
    end = f"{lines}{stays} stay, {len(pruning.going)} go ({size_text(total)})\n"
    return (table(("HOST", "TAKEN (UTC)", "VERDICT", "WHY", "COPY"), rows) if rows else "") + end


def there(archives: Sequence[ApplianceArchive]) -> str:
    """Return the output of `offsite prune --there`."""
    rows = [
        (one.verdict.copy.host, when(one.verdict.copy.taken_at), "keep" if one.verdict.keep else "DELETE",
         ", ".join(one.verdict.reasons), one.archive.name) for one in archives
    ]  # fmt: skip
    return table(("HOST", "TAKEN (UTC)", "VERDICT", "WHY", "ARCHIVE THERE"), rows) if rows else "no archives there\n"


def left(leftovers: Leftovers) -> str:
    """Return the output of `offsite clean`."""
    lines = "".join(
        f"upload without a manifest: {outside(e.key)} ({size_text(e.size)}, {when(e.modified)})\n"
        for e in leftovers.orphans
    )
    lines += "".join(
        f"unfinished upload: {outside(item.key)} (begun {when(item.started)})\n" for item in leftovers.unfinished
    )
    if not leftovers.sweeps:
        lines += "unfinished uploads cannot be listed in this store: set a lifecycle rule that aborts them\n"
    return lines or "nothing was left behind\n"


def statuses(hosts: Sequence[HostStatus]) -> str:
    """Return the output of `offsite status`."""
    rows = [
        (s.host, s.state.upper() if s.state != "fresh" else "fresh", duration_text(s.age),
         duration_text(s.rpo), size_text(s.newest.manifest.size) if s.newest else "–", f"{s.verified}/{s.copies}",
         when(s.drill)) for s in hosts
    ]  # fmt: skip
    head = ("HOST", "STATE", ">AGE", ">RPO", ">SIZE", ">VERIFIED", "LAST DRILL")
    lines = "".join(f"{outside(s.host)}: {outside(warning)}\n" for s in hosts for warning in s.warnings)
    return table(head, rows) + lines


def pull_line(outcome: PullOutcome, done: int, total: int) -> str:
    """Return the line of one host: "[12/200] tscm-a: stored 4.8 MB in 1.2 s"."""
    name = outcome.item.host.name
    if outcome.value is None:
        return f"[{done}/{total}] {name}: FAILED: {_why(outcome)}"
    pulled = outcome.value
    if pulled.seen:
        return f"[{done}/{total}] {name}: nothing was pulled; it has {len(pulled.seen)} of the requested archives"
    also = f"; {len(pulled.failed)} archives FAILED" if pulled.failed else ""
    if pulled.outcome == "already":
        return f"[{done}/{total}] {name}: already off-site{also}"
    return f"[{done}/{total}] {name}: stored {size_text(pulled.size)} in {duration_text(outcome.seconds)}{also}"


def pull_summary(outcomes: Sequence[PullOutcome]) -> str:
    """Return what was stored, and a table of the failures with their remedies."""
    if not outcomes:
        return "nothing to do: every newest copy is young enough\n"
    failed = [one for one in outcomes if one.value is None]
    pulled = [one.value for one in outcomes if one.value is not None]
    if any(one.seen for one in pulled):
        return _dry_run(pulled, failed)
    if len(outcomes) == 1 and not failed:
        return _single(outcomes[0]) + _not_stored(outcomes)
    stored = [one.size for one in pulled if one.outcome == "stored"]
    already = len(pulled) - len(stored)
    size = size_text(sum(stored))
    text = f"{len(outcomes)} hosts: {len(stored)} stored ({size}), {already} already there"
    return f"{text}{_failures(failed)}\n{_not_stored(outcomes)}"


def _failures(failed: Sequence[PullOutcome]) -> str:
    """Return how many hosts failed, and a line for each reason; "" where none did."""
    if not failed:
        return ""
    reasons = by_reason((one.item.host.name, one.error) for one in failed if one.error is not None)
    return f", {len(failed)} FAILED\n{reasons.removesuffix(chr(10))}"


def _dry_run(pulled: Sequence[Pulled], failed: Sequence[PullOutcome]) -> str:
    """Return what would be pulled from each host, and why that is not known of others."""
    planned = "".join(f"{one.host}: would pull {', '.join(one.seen)}\n" for one in pulled if one.seen)
    errors = [(one.item.host.name, _why(one), error_fields(one.error)["remedy"]) for one in failed if one.error]
    return planned + "".join(f"{host}: {why}\n  {remedy}\n" for host, why, remedy in errors)


def _not_stored(outcomes: Sequence[PullOutcome]) -> str:
    """Return a line for each archive that could not be stored, of hosts where others were."""
    failures = [(o.item.host.name, name, error) for o in outcomes if o.value for name, error in o.value.failed]
    return "".join(
        f"{host}: {name} was NOT stored: {' '.join(error.message().split())[:300]}\n  {error.remedy()}\n"
        for host, name, error in failures
    )


def _single(outcome: PullOutcome) -> str:
    pulled = outcome.value
    if pulled is None:
        return ""
    rows = [
        (c.manifest.archive, c.outcome, when(c.manifest.taken_at), size_text(c.manifest.size), c.manifest.encrypted,
         "read back" if c.manifest.verified_at else "by its size") for c in pulled.copies
    ]  # fmt: skip
    return table(("ARCHIVE", "OUTCOME", "TAKEN (UTC)", ">SIZE", "ENCRYPTED", "VERIFIED"), rows)


def _why(outcome: PullOutcome) -> str:
    return " ".join(error_fields(outcome.error)["message"].split())[:300] if outcome.error else ""


_WIDTH, _HEIGHT = 150, 28  # of the plot of sizes, in pixels
_BARS = 30
_STALE = timedelta(days=1)


def page_text(statuses: Sequence[HostStatus], url: str, now: datetime) -> str:
    """Return the page as HTML, with the hosts in the given order.

    It calls itself stale a day after it was written, or after the shortest RPO if that is shorter.
    """
    late = sum(status.state != "fresh" for status in statuses)
    return page.render(
        "offsite.html.j2",
        title=f"{late} of {len(statuses)} late" if late else f"all {len(statuses)} fresh",
        rows=[_row(status) for status in statuses],
        late=late,
        warned=sum(bool(status.warnings) for status in statuses),
        copies=sum(status.copies for status in statuses),
        stored=sum(status.total for status in statuses),
        url=outside(url),
        written=when(now),
        at=round(now.timestamp()),
        stale_seconds=round(min([_STALE, *(status.rpo for status in statuses)]).total_seconds()),
    )


def _row(status: HostStatus) -> dict[str, Any]:
    newest, rpo = status.newest, status.rpo.total_seconds()
    age = status.age.total_seconds() if status.age is not None else None
    used = 100.0 if age is None else min(50 * age / (rpo or 1), 100.0)  # percent of twice the RPO
    return {
        "host": outside(status.host),
        "state": status.state,
        "warnings": [outside(text) for text in status.warnings],
        "taken": round(newest.dated.timestamp()) if newest else None,
        "age": age,
        "rpo": rpo,
        "used": round(max(used, 1.0), 1),
        "text": f"{'no copy' if not newest else duration_text(age)} of {duration_text(rpo)}",
        "size": newest.manifest.size if newest else None,
        "bars": list(_bars(status)),
        "largest": max((size for _, size in status.history[-_BARS:]), default=0),
        "verified": status.verified,
        "copies": status.copies,
        "drill": outside(when(status.drill)),
    }


def _bars(status: HostStatus) -> Iterator[dict[str, Any]]:
    """Yield a bar for each copy; heights start at zero, so that half the size is half the height."""
    shown = status.history[-_BARS:]
    largest = max((size for _, size in shown), default=0) or 1
    step = _WIDTH / max(len(shown), 8)
    for at, (taken, size) in enumerate(shown):
        height = max(size / largest * _HEIGHT, 1)
        yield {
            "x": round(at * step, 1), "y": round(_HEIGHT - height, 1), "width": round(max(step - 1.5, 1), 1),
            "height": round(height, 1), "text": f"{when(taken)}: {size_text(size)}",
        }  # fmt: skip


def write(path: Path, text: str) -> None:
    """Write a file for other users (0644): a web server or a collector of metrics reads it.

    Raises:
        StoreError: it cannot be written there.
    """
    path = private.expanded(path).absolute()
    try:
        private.write(path, text, 0o644)
    except OSError as error:
        raise StoreError(detail=error.strerror or str(error), key=str(path), fix="choose another folder") from error
