"""Which way archives travel, and why. Pure: facts in, a decision with its reasons out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tscm_migrate.errors import UsageError
from tscm_migrate.transfer.methods import METHODS

Route = Literal["direct", "relay"]
SMALL = 64_000_000  # bytes below which a key on the target is more than the time it saves is worth


@dataclass(frozen=True)
class RoutingInput:
    """What is asked for and what there is. Tools as in `Facts.tools`, with "shell" and "sftp" where there are those.

    `reaches`: whether the source reaches the target's sshd, None: not tried. `size` in bytes, None: not known.
    """

    source: frozenset[str]
    target: frozenset[str]
    method: str = "auto"
    route: str = "auto"
    reaches: bool | None = None
    size: int | None = None


@dataclass(frozen=True)
class RouteChoice:
    """The way to go, why, and where to turn when it fails on the way; `warn`: it is not what was asked for."""

    method: str
    route: Route
    reasons: tuple[str, ...]
    fallbacks: tuple[tuple[str, Route], ...] = field(default=())
    warn: bool = False

    def text(self) -> str:
        """One line."""
        return f"{self.method}, {self.route}: {'; '.join(self.reasons)}"


_WAYS: tuple[tuple[str, Route], ...] = (("rsync", "direct"), ("tar", "relay"), ("sftp", "relay"), ("rsync", "relay"))
_GOOD = {
    ("rsync", "direct"): "rsync is on both, and the old one reaches the new one: the bytes take the shortest way",
    ("tar", "relay"): "tar is on both; streamed through this workstation, nothing on its disk",
    ("sftp", "relay"): "SFTP is on both; through this workstation",
    ("rsync", "relay"): "rsync is on both; through a tunnel over this workstation",
}


def choose(s: RoutingInput) -> RouteChoice:
    """Decide.

    Raises:
        UsageError: what was asked for excludes each other, or there is no way at all; with every reason.
    """
    if s.method != "auto" and s.route != "auto" and s.route not in METHODS[s.method].caps.routes:
        raise UsageError(
            f"--method {s.method} does not go --route {s.route}: its bytes pass through this workstation",
            "leave --route out, or say --method rsync",
        )
    ways = [way for way in _order(s) if s.route in {"auto", way[1]}]
    asked = [way for way in ways if s.method in {"auto", way[0]}]
    why_not = {way: _blocked(way, s) for way in ways}
    good = [way for way in asked if not why_not[way]]
    passed = asked[: asked.index(good[0])] if good else asked
    others = [way for way in ways if way not in asked and not why_not[way]]
    if not good and not others:
        said = "; ".join(dict.fromkeys(filter(None, why_not.values())))
        raise UsageError(f"the archives cannot travel: {said}", "install what is missing, or leave --route out")
    way, *rest = good or others
    why = list(dict.fromkeys(why_not[passed_by] for passed_by in passed))
    if way == ("tar", "relay") and s.method == "auto" and _is_small(s) and not why_not.get(_WAYS[0], ""):
        why.append("it is small, so no key for a direct way is made")
    why.append(_GOOD[way])
    spare = tuple(rest) if s.method == "auto" else ()
    return RouteChoice(way[0], way[1], tuple(why), spare, warn=not good)


def _is_small(s: RoutingInput) -> bool:
    return s.size is not None and s.size < SMALL


def _order(s: RoutingInput) -> list[tuple[str, Route]]:
    ways = list(_WAYS)
    if _is_small(s) and s.method == "auto" and s.route == "auto":
        ways.append(ways.pop(0))
    return ways


def _blocked(way: tuple[str, Route], s: RoutingInput) -> str:
    """Why this way is closed; "" where it is open."""
    method, route = way
    caps = METHODS[method].caps
    missing = [f"{', '.join(sorted(caps.source - s.source))} on the old one"] if caps.source - s.source else []
    missing += [f"{', '.join(sorted(caps.target - s.target))} on the new one"] if caps.target - s.target else []
    if missing:
        return f"{method} cannot be used: there is no {' and no '.join(missing)}"
    if route == "direct" and s.reaches is False:
        return "the old one does not reach the SSH port of the new one"
    return ""
