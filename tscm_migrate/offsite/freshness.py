"""Compare each host's newest verified copy with its RPO. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Literal

from tscm_migrate.offsite.catalog import Catalog, Copy
from tscm_migrate.util.text import duration_text

_AHEAD = timedelta(hours=1)  # a copy dated later than that does not count
_BEFORE = 7  # earlier copies that a size is compared with
_SHRUNK, _GROWN = 0.5, 4.0
_HISTORY = 60


@dataclass(frozen=True)
class HostStatus:
    """The state of one host; `age`: time since the appliance made the newest verified copy."""

    host: str
    state: Literal["fresh", "late", "never"]
    rpo: timedelta
    age: timedelta | None = None
    newest: Copy | None = None
    copies: int = 0
    verified: int = 0
    total: int = 0  # bytes in the store
    drill: datetime | None = None  # when the newest good drill was
    warnings: tuple[str, ...] = ()
    history: tuple[tuple[datetime, int], ...] = field(default=())  # (taken, bytes on the appliance), oldest first

    def as_dict(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        newest = self.newest
        return {
            "v": 1,
            "host": self.host,
            "state": self.state,
            "rpo_seconds": self.rpo.total_seconds(),
            "age_seconds": self.age.total_seconds() if self.age is not None else None,
            "newest": newest.id if newest else None,
            "taken_at": newest.taken_at.isoformat() if newest else None,
            "verified_at": newest.verified_at.isoformat() if newest and newest.verified_at else None,
            "size": newest.manifest.size if newest else None,
            "copies": self.copies,
            "verified": self.verified,
            "total": self.total,
            "drilled_at": self.drill.isoformat() if self.drill else None,
            "warnings": list(self.warnings),
        }


def judge(
    catalog: Catalog,
    hosts: Iterable[str],
    rpo_of: Callable[[str], timedelta],
    now: datetime,
    drill_every: timedelta | None = None,
) -> list[HostStatus]:
    """Return the state of every host, the worst first.

    Args:
        catalog: what the store holds.
        hosts: only these; others that have copies are left out.
        rpo_of: how old the newest verified copy of a host may get.
        now: aware.
        drill_every: how old the newest good drill may get; None: any age.
    """
    found = [_host(catalog.of(host), host, rpo_of(host), now, drill_every) for host in sorted(set(hosts))]
    found = [replace(one, warnings=(*one.warnings, *_unread(catalog, one.host))) for one in found]
    order = {"never": 0, "late": 1, "fresh": 2}
    return sorted(found, key=lambda status: (order[status.state], not status.warnings, status.host))


def _host(
    copies: tuple[Copy, ...], host: str, rpo: timedelta, now: datetime, drill_every: timedelta | None
) -> HostStatus:
    good = [copy for copy in copies if copy.verified_at and not _ahead(copy, now)]
    verified = sorted(good, key=lambda copy: (copy.dated, copy.taken_at), reverse=True)
    newest = verified[0] if verified else None
    age = max(now - newest.dated, timedelta(0)) if newest else None
    last_drill = max((c.drill.at for c in copies if c.drill and c.drill.ok), default=None)
    warnings = [*_odd(copies, now), *_size(verified), *_drills(copies, last_drill, now, drill_every)]
    history = tuple((c.dated, c.manifest.source_size) for c in reversed(verified[:_HISTORY]))
    size = sum(copy.manifest.size for copy in copies)
    return HostStatus(
        host, _state(age, rpo), rpo, age, newest, len(copies), len(verified), size, last_drill, tuple(warnings), history
    )


def _state(age: timedelta | None, rpo: timedelta) -> Literal["fresh", "late", "never"]:
    if age is None:
        return "never"
    return "late" if age > rpo else "fresh"


def _unread(catalog: Catalog, host: str) -> list[str]:
    count = sum(thing.of(host) for thing in catalog.unreadable)
    return [f"{count} objects of it in the store cannot be read: tscm-migrate offsite list"] if count else []


def _odd(copies: tuple[Copy, ...], now: datetime) -> list[str]:
    notes = [f"{copy.manifest.archive}: {copy.damaged}" for copy in copies if copy.damaged][:3]
    notes += [f"{copy.id} is dated in the future: is a clock wrong?" for copy in copies if _ahead(copy, now)][:3]
    copies = tuple(copy for copy in copies if not _ahead(copy, now))
    if copies and not copies[0].verified_at and not copies[0].damaged:
        notes.append("the newest copy was never verified")
    return notes


def _ahead(copy: Copy, now: datetime) -> bool:
    return copy.future or copy.dated > now + _AHEAD


def _size(verified: list[Copy]) -> list[str]:
    before = [copy.manifest.source_size for copy in verified[1 : 1 + _BEFORE]]
    usual = median(before) if before else 0
    if not usual:
        return []
    share = verified[0].manifest.source_size / usual
    if share <= _SHRUNK:
        return [f"the newest copy has {share:.0%} of the usual size: is something missing in it?"]
    return [f"the newest copy has {share:.1f} times the usual size"] if share >= _GROWN else []


def _drills(copies: tuple[Copy, ...], last: datetime | None, now: datetime, every: timedelta | None) -> list[str]:
    failed = [c for c in copies[:1] if c.drill and not c.drill.ok]
    notes = [f"the last drill failed: {c.drill.detail}" for c in failed if c.drill]
    if every is not None and (last is None or now - last > every):
        notes.append(f"no good drill within {duration_text(every)}")
    return notes


def prometheus(statuses: Iterable[HostStatus], now: datetime) -> str:
    """Return metrics for the textfile collector (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    rows: dict[str, list[tuple[str, float]]] = {}
    for status in statuses:
        newest = status.newest
        values = {
            "newest_verified_timestamp_seconds": newest.taken_at.timestamp() if newest else 0.0,
            "rpo_seconds": status.rpo.total_seconds(),
            "late": float(status.state != "fresh"),
            "copies": float(status.copies),
            "newest_size_bytes": float(newest.manifest.size) if newest else 0.0,
            "stored_bytes": float(status.total),
            "drill_timestamp_seconds": status.drill.timestamp() if status.drill else 0.0,
            "warnings": float(len(status.warnings)),
        }
        for name, value in values.items():
            rows.setdefault(name, []).append((status.host, value))
    lines = []
    for name, samples in rows.items():
        lines += [f"# HELP tscm_offsite_{name} {_HELP[name]}", f"# TYPE tscm_offsite_{name} gauge"]
        lines += [f'tscm_offsite_{name}{{host="{_label(host)}"}} {value:.15g}' for host, value in samples]
    lines += [
        "# HELP tscm_offsite_checked_timestamp_seconds When this was written.",
        "# TYPE tscm_offsite_checked_timestamp_seconds gauge",
        f"tscm_offsite_checked_timestamp_seconds {now.astimezone(UTC).timestamp():.15g}",
    ]
    return "\n".join(lines) + "\n"


_HELP = {
    "newest_verified_timestamp_seconds": "When the newest verified copy was taken; 0 for none.",
    "rpo_seconds": "How old the newest verified copy may get.",
    "late": "1 if the newest verified copy is older than the RPO, or does not exist.",
    "copies": "Copies in the store.",
    "newest_size_bytes": "Size of the newest verified copy.",
    "stored_bytes": "Size of all copies.",
    "drill_timestamp_seconds": "When the last good restore drill was; 0 for none.",
    "warnings": "Number of warnings.",
}


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
