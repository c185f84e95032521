"""Tells others how a pull went: pings for a dead man's switch, messages when something failed.

Addresses hold tokens: they may be given as "env:VAR", and are blanked wherever they would show.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tscm_migrate import notify
from tscm_migrate.errors import UsageError
from tscm_migrate.events import Emit, Message
from tscm_migrate.ui import offsite_tables
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tscm_migrate.fleet.pull import PullOutcome
    from tscm_migrate.offsite.settings import Settings


def resolved(address: str, env: Mapping[str, str] = os.environ) -> str:
    """An address, from the environment where it says so; what is shown from now on has it blanked.

    Raises:
        UsageError: the variable is not set.
    """
    kind, _, name = address.partition(":")
    if kind == "env":
        if not env.get(name):
            raise UsageError(f"the variable {name[:60]} is not set", "[offsite] of the inventory names it")
        address = env[name]
    redact.known.add(address)
    return address


@contextmanager
def unannounced(settings: Settings) -> Iterator[None]:
    """Around a pull that only looks: nobody is told, but who would be must be known.

    Raises:
        UsageError: a variable is not set.
    """
    for address in filter(None, (settings.ping, *settings.notify)):
        resolved(address)
    yield


@contextmanager
def announced(settings: Settings, outcomes: Sequence[PullOutcome], emit: Emit) -> Iterator[None]:
    """Around a pull: `outcomes` is filled inside.

    The ping says start, and then success or failure; a message is sent only for a failure.
    """
    ping = resolved(settings.ping) if settings.ping else ""
    urls = [resolved(url) for url in settings.notify]
    _ping(ping, "/start", "", emit)
    done = False
    try:
        yield
        done = True
    finally:
        failed = [outcome for outcome in outcomes if outcome.value is None or outcome.value.failed]
        told = (
            offsite_tables.pull_summary(outcomes)
            if outcomes
            else "nothing was due\n"
            if done
            else "it was interrupted\n"
        )
        bad = bool(failed) or not done
        _ping(ping, "/fail" if bad else "", told, emit)
        if bad and urls and (problem := notify.message(urls, _title(outcomes, failed), told)):
            emit(Message(f"notify: {problem}", "warning"))


def _title(outcomes: Sequence[PullOutcome], failed: Sequence[PullOutcome]) -> str:
    return f"off-site pull: {len(failed)} of {len(outcomes)} failed" if failed else "off-site pull: interrupted"


def _ping(url: str, end: str, body: str, emit: Emit) -> None:
    if url and (problem := notify.ping(url, end, body)):
        emit(Message(f"the dead man's switch was not reached: {problem}", "warning"))


def tell(settings: Settings, title: str, body: str, emit: Emit) -> None:
    """Send a message to all of `notify`; a failure is a warning."""
    urls = [resolved(url) for url in settings.notify]
    if not urls:
        emit(Message("there is nobody to tell: [offsite] has no `notify`", "warning"))
    elif problem := notify.message(urls, title, body):
        emit(Message(f"notify: {problem}", "warning"))
