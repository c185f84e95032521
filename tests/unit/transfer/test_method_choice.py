"""The choice of transfer method and route from what both appliances can do, and the parsing of a rate limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tscm_migrate.errors import UsageError
from tscm_migrate.transfer.methods import METHODS
from tscm_migrate.transfer.routing import RoutingInput, choose, needs_probe
from tscm_migrate.util.text import parse_limit

ALL = frozenset({"shell", "sftp", "rsync", "ssh", "tar"})
BIG = 10**9


def test_big_archive_is_sent_directly_if_the_hosts_reach_each_other() -> None:
    choice = choose(RoutingInput(ALL, ALL, reaches=True, size=BIG))
    assert (choice.method, choice.route, choice.warn) == ("rsync", "direct", False)
    assert ("tar", "relay") in choice.fallbacks


def test_small_archive_is_relayed_and_the_reason_is_shown() -> None:
    choice = choose(RoutingInput(ALL, ALL, reaches=True, size=1000))
    assert (choice.method, choice.route) == ("tar", "relay")
    assert "small" in choice.text()
    assert choose(RoutingInput(ALL, ALL, method="rsync", reaches=True, size=1000)).route == "direct"


@pytest.mark.parametrize(
    ("known", "needed"),
    [
        (RoutingInput(ALL, ALL, size=BIG), True),
        (RoutingInput(ALL, ALL, size=None), True),
        (RoutingInput(ALL, ALL, size=1000), False),
        (RoutingInput(ALL, ALL, method="rsync", size=1000), True),
        (RoutingInput(ALL, ALL, route="direct", size=1000), True),
        (RoutingInput(ALL, ALL, route="relay", size=BIG), False),
        (RoutingInput(ALL, ALL - {"rsync"}, size=BIG), False),
    ],
)
def test_connection_between_hosts_is_probed_only_if_the_choice_depends_on_it(
    known: RoutingInput, *, needed: bool
) -> None:
    assert needs_probe(known) is needed
    if not needed:
        chosen = {choose(replace(known, reaches=reaches)).route for reaches in (None, True, False)}
        assert chosen == {"relay"}


@pytest.mark.parametrize(
    ("source", "target", "reaches", "way", "why"),
    [
        (ALL, ALL, False, ("tar", "relay"), "does not reach"),
        (ALL, ALL - {"rsync"}, None, ("tar", "relay"), "no rsync on the new appliance"),
        (ALL - {"rsync"}, ALL, None, ("tar", "relay"), "no rsync on the old appliance"),
        (ALL - {"tar", "rsync"}, ALL, None, ("sftp", "relay"), "no tar on the old appliance"),
        (frozenset({"sftp"}), ALL, None, ("sftp", "relay"), "no rsync, shell, ssh on the old appliance"),
    ],
)
def test_unavailable_route_is_replaced_and_the_reason_is_shown(
    source: frozenset[str], target: frozenset[str], *, reaches: bool | None, way: tuple[str, str], why: str
) -> None:
    choice = choose(RoutingInput(source, target, reaches=reaches, size=BIG))
    assert (choice.method, choice.route) == way
    assert why in choice.text()
    assert not choice.warn


def test_requested_rsync_that_is_missing_is_replaced_with_a_warning() -> None:
    choice = choose(RoutingInput(ALL, ALL - {"rsync"}, method="rsync"))
    assert (choice.method, choice.warn) == ("tar", True)
    assert "no rsync on the new appliance" in choice.text()


def test_requested_rsync_is_relayed_if_the_hosts_do_not_reach_each_other() -> None:
    choice = choose(RoutingInput(ALL, ALL, method="rsync", reaches=False))
    assert (choice.method, choice.route, choice.warn) == ("rsync", "relay", False)
    assert choose(RoutingInput(ALL, ALL, method="rsync", route="relay", reaches=True)).route == "relay"


def test_requested_route_that_is_unavailable_is_an_error() -> None:
    with pytest.raises(UsageError, match="does not reach"):
        choose(RoutingInput(ALL, ALL, route="direct", reaches=False))
    for method in ("tar", "sftp"):
        with pytest.raises(UsageError, match="pass through this workstation"):
            choose(RoutingInput(ALL, ALL, method=method, route="direct", reaches=True))
    assert choose(RoutingInput(ALL, ALL, route="relay", reaches=True, size=BIG)).route == "relay"


def test_error_without_any_usable_method_names_each_reason() -> None:
    with pytest.raises(UsageError, match="no rsync") as caught:
        choose(RoutingInput(frozenset({"shell"}), frozenset({"shell"})))
    assert "tar" in str(caught.value)
    assert "sftp" in str(caught.value)


def test_requested_method_has_no_fallback() -> None:
    assert choose(RoutingInput(ALL, ALL, method="rsync", reaches=True)).fallbacks == ()


def test_every_method_declares_its_routes() -> None:
    assert set(METHODS) == {"rsync", "tar", "sftp", "pull", "push"}
    assert all(method.caps.routes for method in METHODS.values())


@pytest.mark.parametrize(
    ("text", "rate"), [("20M", 20e6), ("1.5m", 1.5e6), ("800k", 8e5), ("2G", 2e9), ("5000", 5000), ("", 0), ("0", 0),
                       ("20MB/s", 20e6)]
)  # fmt: skip
def test_rate_limit_is_parsed(text: str, rate: float) -> None:
    assert parse_limit(text) == rate


@pytest.mark.parametrize("text", ["fast", "-1M", "20T", "10", "1e6", "20M20M"])
def test_text_that_is_not_a_rate_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="limit"):
        parse_limit(text)
