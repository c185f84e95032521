"""Which copies stay, and why: a pure decision. The same for off-site copies and for archives on an appliance."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from tscm_migrate.errors import NaiveTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Aged:
    """One copy, as far as its age matters. `taken_at` aware; `verified`: its bytes were read and found right."""

    host: str
    id: str
    taken_at: datetime
    verified: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """How many to keep; 0 turns one off.

    `daily` … `yearly`: the newest of each of the last N days (ISO weeks, months, years) that have a copy, in `zone`.
    `within`: everything younger. `protect`: tags that keep a copy for ever. `unverified_for`: how long a copy that
    nobody has verified is left alone when a newer one is verified.
    """

    last: int = 3
    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    yearly: int = 3
    within: timedelta = timedelta(days=2)
    protect: tuple[str, ...] = ("keep",)
    unverified_for: timedelta = timedelta(days=30)
    zone: tzinfo = UTC


@dataclass(frozen=True)
class Verdict:
    """Whether a copy stays; each that stays has at least one reason, and each that goes has exactly one."""

    copy: Aged
    keep: bool
    reasons: tuple[str, ...] = field(default=())


_SLOTS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("daily", lambda t: t.date()),
    ("weekly", lambda t: t.isocalendar()[:2]),
    ("monthly", lambda t: (t.year, t.month)),
    ("yearly", lambda t: t.year),
)


def retain(copies: Sequence[Aged], policy: Policy, now: datetime) -> list[Verdict]:
    """Say which copies stay, and why; delete nothing.

    Hosts are looked at one by one. Only verified copies fill places; the newest verified one of a host always stays.

    Args:
        copies: in any order.
        policy: how many to keep.
        now: aware. A copy dated later stays, with the reason "future", and fills no place.

    Returns:
        One verdict a copy, by host, newest first.

    Raises:
        NaiveTime: a time without a zone.
    """
    if now.tzinfo is None or any(copy.taken_at.tzinfo is None for copy in copies):
        raise NaiveTime("a time without a zone")
    hosts = sorted({copy.host for copy in copies})
    return [verdict for host in hosts for verdict in _host([c for c in copies if c.host == host], policy, now)]


def _host(copies: list[Aged], policy: Policy, now: datetime) -> list[Verdict]:
    ordered = sorted(copies, key=lambda copy: (copy.taken_at, copy.id), reverse=True)
    past = [copy for copy in ordered if copy.taken_at <= now]
    counted = [copy for copy in past if copy.verified]
    reasons: dict[int, list[str]] = {id(copy): [] for copy in ordered}
    for number, copy in enumerate(counted[: max(policy.last, 1)], 1):
        reasons[id(copy)].append("newest verified" if number == 1 else f"last {number}")
    for name, bucket in _SLOTS:
        for copy, label in _firsts(counted, bucket, getattr(policy, name), policy.zone):
            reasons[id(copy)].append(f"{name} {label}")
    for copy in ordered:
        reasons[id(copy)] += _for_itself(copy, policy, now, counted)
    return [Verdict(copy, bool(reasons[id(copy)]), tuple(reasons[id(copy)]) or _why_not(copy)) for copy in ordered]


def _firsts(
    counted: Iterable[Aged], bucket: Callable[[datetime], object], places: int, zone: tzinfo
) -> Iterable[tuple[Aged, str]]:
    """The newest copy of each of the last `places` buckets that have one."""
    seen: set[object] = set()
    for copy in counted:
        if len(seen) >= places:
            return
        key = bucket(copy.taken_at.astimezone(zone))
        if key not in seen:
            seen.add(key)
            yield copy, _label(key)


def _label(key: object) -> str:
    return "-".join(f"{part:02d}" for part in key) if isinstance(key, tuple) else str(key)


def _for_itself(copy: Aged, policy: Policy, now: datetime, counted: Sequence[Aged]) -> list[str]:
    """Reasons that have nothing to do with the other copies, nearly."""
    reasons = [f"tag {tag}" for tag in copy.tags if tag in policy.protect]
    age = now - copy.taken_at
    if age < timedelta(0):
        reasons.append("future")
    elif age <= policy.within:
        reasons.append("within")
    if not copy.verified:
        if not counted or copy.taken_at > counted[0].taken_at:
            reasons.append("unverified, and none newer is verified")
        elif age <= policy.unverified_for:
            reasons.append("unverified")
    return reasons


def _why_not(copy: Aged) -> tuple[str, ...]:
    return ("no place left",) if copy.verified else ("never verified, and a newer one is",)
