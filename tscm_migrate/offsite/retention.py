"""Decide which copies to keep, and why. Pure; used for off-site copies and for archives on an appliance."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby

from tscm_migrate.errors import TimeZoneMissing


@dataclass(frozen=True, slots=True)
class Aged:
    """What retention needs to know about one copy.

    Args:
        host, id: identify it.
        taken_at: aware, from its name.
        verified: its bytes were read back and are correct.
        tags: as set by the operator.
        arrived: when it was pulled; None if that is not known.
        behind: a copy with a later date was there already when it arrived.
    """

    host: str
    id: str
    taken_at: datetime
    verified: bool = True
    tags: tuple[str, ...] = ()
    arrived: datetime | None = None
    behind: bool = False

    @property
    def known_at(self) -> datetime:
        """Return when it was pulled; if that is not known, when it was taken."""
        return self.arrived or self.taken_at

    @property
    def future(self) -> bool:
        """Whether its date was later than the clock of any time zone when it arrived."""
        return self.taken_at > self.known_at + _AHEAD

    def may_displace(self, other: "Aged") -> bool:
        """Whether it can replace `other`: because it was there first, or was made after `other` arrived.

        An appliance chooses the names of its archives, and so their dates. A copy that arrives behind others never
        replaces one that was there before.
        """
        before = self.known_at <= other.known_at
        return self is other or before or (self.taken_at > other.known_at and not self.behind)


_AHEAD = timedelta(hours=15)  # names may be in local time
_NEVER = datetime.min.replace(tzinfo=UTC)


def in_order(copies: Iterable[Aged]) -> list[Aged]:
    """Sort copies by their arrival, and set `behind` on each that arrived after one with a later date."""
    latest: dict[str, datetime] = {}
    found: list[Aged] = []
    for _, group in groupby(sorted(copies, key=lambda copy: copy.known_at), key=lambda copy: copy.known_at):
        batch = [replace(c, behind=c.behind or c.taken_at < latest.get(c.host, c.taken_at)) for c in group]
        for copy in batch:
            if copy.verified and not copy.future:
                latest[copy.host] = max(latest.get(copy.host, copy.taken_at), copy.taken_at)
        found += batch
    return found


@dataclass(frozen=True)
class RetentionPolicy:
    """How many copies to keep; 0 turns a rule off.

    Args:
        last: the newest N.
        daily, weekly, monthly, yearly: the newest of each of the last N days (ISO weeks, …) that have a copy.
        within: all that are younger.
        protect: tags that keep a copy for ever.
        unverified_for: how long a copy that was never verified is kept although a newer one is verified.
        zone: in which days, weeks, months and years are counted.
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a copy is kept, with at least one reason; a copy that is not kept has exactly one."""

    copy: Aged
    keep: bool
    reasons: tuple[str, ...] = field(default=())


_SLOTS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("daily", lambda t: t.date()),
    ("weekly", lambda t: t.isocalendar()[:2]),
    ("monthly", lambda t: (t.year, t.month)),
    ("yearly", lambda t: t.year),
)


def retain(copies: Sequence[Aged], policy: RetentionPolicy, now: datetime) -> list[Verdict]:
    """Decide for each copy whether it is kept, and why; delete nothing.

    Each host is decided separately. Only verified copies count for the rules, and the newest verified copy of a host is
    always kept. A copy is dropped only if it would be dropped as well without those that arrived later, behind others
    (see `in_order`).

    Args:
        copies: in any order.
        policy: how many to keep.
        now: aware. A copy dated later is kept, with the reason "future", and counts for no rule; nor does a copy that
            was dated in the future when it arrived.

    Returns:
        One verdict for each copy, by host, newest first.

    Raises:
        TimeZoneMissing: a time without a zone.
    """
    if now.tzinfo is None or any(copy.taken_at.tzinfo is None for copy in copies):
        raise TimeZoneMissing("a time without a zone")
    groups = groupby(sorted(copies, key=lambda copy: copy.host), key=lambda copy: copy.host)
    return [verdict for _, group in groups for verdict in _host(list(group), policy, now)]


def _host(copies: list[Aged], policy: RetentionPolicy, now: datetime) -> list[Verdict]:
    ordered = sorted(copies, key=lambda copy: (copy.taken_at, copy.id), reverse=True)
    counted = [copy for copy in ordered if copy.taken_at <= now and copy.verified and not copy.future]
    places, filling = _places(counted, policy), set(map(id, counted))
    displaced_unfairly = _unfair(counted)
    verdicts = []
    for copy in ordered:
        reasons = [*places.get(id(copy), ()), *_for_itself(copy, policy, now, counted)]
        if not reasons and id(copy) in filling and displaced_unfairly(copy):
            reasons = _fair_places(copy, counted, policy)
        verdicts.append(Verdict(copy, bool(reasons), tuple(reasons) or _why_not(copy)))
    return verdicts


def _fair_places(copy: Aged, counted: Iterable[Aged], policy: RetentionPolicy) -> list[str]:
    """Return the rules by which a copy would be kept without the copies that may not displace it."""
    fair = [other for other in counted if other.may_displace(copy)]
    return _places(fair, policy).get(id(copy), [])


def _unfair(counted: Iterable[Aged]) -> Callable[[Aged], bool]:
    """Return a function that says whether any of these may not displace a copy (see `Aged.may_displace`).

    It needs one search for each copy instead of a comparison with every other one: a host may have thousands.
    """
    arrived = sorted(counted, key=lambda copy: copy.known_at)
    known = [copy.known_at for copy in arrived]
    earliest = [_NEVER if copy.behind else copy.taken_at for copy in arrived]  # of those from here on
    for at in range(len(earliest) - 2, -1, -1):
        earliest[at] = min(earliest[at], earliest[at + 1])

    def unfair(copy: Aged) -> bool:
        later = bisect_right(known, copy.known_at)
        return later < len(known) and earliest[later] <= copy.known_at

    return unfair


def _places(counted: Sequence[Aged], policy: RetentionPolicy) -> dict[int, list[str]]:
    """Return the rules by which copies are kept, by the id() of the copy; `counted`: newest first."""
    reasons: dict[int, list[str]] = {}
    last = max(policy.last, 1)
    for number, copy in enumerate(counted[:last], 1):
        reasons.setdefault(id(copy), []).append("newest verified" if number == 1 else f"last {number}")
    for copy in sorted(counted, key=lambda copy: copy.known_at, reverse=True)[:last]:
        if id(copy) not in reasons:
            reasons[id(copy)] = ["pulled last"]
    for name, bucket in _SLOTS:
        for copy, label in _firsts(counted, bucket, getattr(policy, name), policy.zone):
            reasons.setdefault(id(copy), []).append(f"{name} {label}")
    return reasons


def _firsts(
    counted: Iterable[Aged], bucket: Callable[[datetime], object], places: int, zone: tzinfo
) -> Iterable[tuple[Aged, str]]:
    """Yield the newest copy of each of the last `places` buckets that have one, with the bucket's label."""
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


def _for_itself(copy: Aged, policy: RetentionPolicy, now: datetime, counted: Sequence[Aged]) -> list[str]:
    """Return the reasons that do not come from a rule that counts copies."""
    reasons = [f"tag {tag}" for tag in copy.tags if tag in policy.protect]
    age = now - copy.taken_at
    if age < timedelta(0):
        reasons.append("future")
    elif age <= policy.within:
        reasons.append("within")
    elif timedelta(0) <= now - copy.known_at < policy.within:
        reasons.append("pulled within")
    if not copy.verified:
        newer = next((other for other in counted if other.may_displace(copy)), None)  # the newest of them
        if newer is None or copy.taken_at > newer.taken_at:
            reasons.append("unverified, and none newer is verified")
        elif age <= policy.unverified_for:
            reasons.append("unverified")
    return reasons


def _why_not(copy: Aged) -> tuple[str, ...]:
    return ("no place left",) if copy.verified else ("never verified, and a newer one is",)
