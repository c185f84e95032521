"""Chooses the method and the route of a transfer, with reasons. Pure."""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

from tscm_migrate.errors import UsageError
from tscm_migrate.transfer.methods import METHODS

Route = Literal["direct", "relay"]
SMALL = 64_000_000  # bytes; below this size, lending a key costs more than it saves


@dataclass(frozen=True)
class RoutingInput:
    """The requested method and route, and what is available.

    Attributes:
        source: programs on the source as in `Facts.tools`, also "shell" and "sftp".
        target: the same for the target.
        method: a name in METHODS, or auto.
        route: direct, relay or auto.
        reaches: whether the source reaches the target's sshd; None: not tried.
        size: of all archives in bytes; None: not known.
    """

    source: frozenset[str]
    target: frozenset[str]
    method: str = "auto"
    route: str = "auto"
    reaches: bool | None = None
    size: int | None = None


@dataclass(frozen=True)
class RouteChoice:
    """The method and route to use, the reasons, and what to use if it fails; `warn`: it is not the requested one."""

    method: str
    route: Route
    reasons: tuple[str, ...]
    fallbacks: tuple[tuple[str, Route], ...] = field(default=())
    warn: bool = False

    def text(self) -> str:
        """The choice in one line."""
        return f"{self.method}, {self.route}: {'; '.join(self.reasons)}"


_ALL: tuple[tuple[str, Route], ...] = (("rsync", "direct"), ("tar", "relay"), ("sftp", "relay"), ("rsync", "relay"))
_GOOD = {
    ("rsync", "direct"): "both appliances have rsync, and the old appliance reaches the new appliance directly",
    ("tar", "relay"): "both appliances have tar; streamed through this workstation, nothing is stored on it",
    ("sftp", "relay"): "both appliances have SFTP; through this workstation",
    ("rsync", "relay"): "both appliances have rsync; through a tunnel over this workstation",
}


def choose(s: RoutingInput) -> RouteChoice:
    """Choose method and route.

    Raises:
        UsageError: the requested method and route contradict each other, or no method is possible; with all reasons.
    """
    _check(s)
    why_not = {choice: _blocked(choice, s) for choice in _order(s) if s.route in {"auto", choice[1]}}
    asked = [choice for choice in why_not if s.method in {"auto", choice[0]}]
    possible = [choice for choice, reason in why_not.items() if not reason]
    good = [choice for choice in asked if choice in possible]
    if not possible:
        reasons = "; ".join(dict.fromkeys(why_not.values()))
        raise UsageError(f"no transfer method is possible: {reasons}", "install what is missing, or leave --route out")
    choice, *rest = good or possible
    why = list(dict.fromkeys(takewhile(bool, map(why_not.__getitem__, asked))))
    why += _reasons(choice, s, blocked=bool(why_not.get(_ALL[0])))
    return RouteChoice(*choice, tuple(why), tuple(rest) if s.method == "auto" else (), warn=not good)


def _reasons(choice: tuple[str, Route], s: RoutingInput, *, blocked: bool) -> list[str]:
    """Return why it is good; `blocked`: the first choice of a large archive is not possible."""
    small = choice == ("tar", "relay") and s.method == "auto" and _is_small(s) and not blocked
    return [*(["the archive is small, so no key for a direct transfer is created"] if small else []), _GOOD[choice]]


def _check(s: RoutingInput) -> None:
    if s.method != "auto" and s.route != "auto" and s.route not in METHODS[s.method].caps.routes:
        raise UsageError(
            f"--method {s.method} is not possible with --route {s.route}: its bytes pass through this workstation",
            "leave --route out, or use --method rsync",
        )


def _is_small(s: RoutingInput) -> bool:
    return s.size is not None and s.size < SMALL


def needs_probe(s: RoutingInput) -> bool:
    """Return whether the choice depends on a connection from the source to the target, which takes seconds if it fails.

    A small archive is relayed anyway, unless another route was requested.
    """
    relayed = s.route == "relay" or (_is_small(s) and s.method == "auto" and s.route == "auto")
    return "rsync" in s.source & s.target and not relayed


def _order(s: RoutingInput) -> list[tuple[str, Route]]:
    routes = list(_ALL)
    if _is_small(s) and s.method == "auto" and s.route == "auto":
        routes.append(routes.pop(0))
    return routes


def _blocked(choice: tuple[str, Route], s: RoutingInput) -> str:
    """Return why a method and route cannot be used; "" where they can."""
    method, route = choice
    caps = METHODS[method].caps
    missing = [f"{', '.join(sorted(caps.source - s.source))} on the old appliance"] if caps.source - s.source else []
    missing += [f"{', '.join(sorted(caps.target - s.target))} on the new appliance"] if caps.target - s.target else []
    if missing:
        return f"{method} cannot be used: there is no {' and no '.join(missing)}"
    if route == "direct" and s.reaches is False:
        return "the old appliance does not reach the SSH port of the new appliance"
    return ""
