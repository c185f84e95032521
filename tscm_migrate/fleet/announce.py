"""Notify others how a pull ended: pings for a monitor that expects them, and messages about failures.

Addresses contain tokens: they may be given as "env:VAR", and are blanked in all output.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tscm_migrate import notify
from tscm_migrate.errors import UsageError
from tscm_migrate.events import Emit, Message
from tscm_migrate.fleet.pull import PullOutcome
from tscm_migrate.offsite.context import Settings
from tscm_migrate.ui import offsite_views
from tscm_migrate.util import redact


def resolved(address: str, env: Mapping[str, str] = os.environ) -> str:
    """Return an address, from the environment if it is "env:VAR"; blank it in all output from now on.

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
    """Check the addresses for a dry run; nothing is sent.

    Raises:
        UsageError: a variable is not set.
    """
    for address in filter(None, (settings.ping, *settings.notify)):
        resolved(address)
    yield


@contextmanager
def announced(settings: Settings, outcomes: Sequence[PullOutcome], emit: Emit) -> Iterator[None]:
    """Notify about the pull that runs inside; it fills `outcomes`.

    A ping is sent at the start, and one for success or failure at the end. Messages are sent about a failure only.
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
        bad = bool(failed) or not done
        text = _summary(outcomes, done=done)
        _ping(ping, "/fail" if bad else "", text, emit)
        if bad and urls and (problem := notify.message(urls, _title(outcomes, failed), text)):
            emit(Message(f"notify: {problem}", "warning"))


def _summary(outcomes: Sequence[PullOutcome], *, done: bool) -> str:
    if outcomes:
        return offsite_views.pull_summary(outcomes)
    return "nothing was due\n" if done else "it was interrupted\n"


def _title(outcomes: Sequence[PullOutcome], failed: Sequence[PullOutcome]) -> str:
    return f"off-site pull: {len(failed)} of {len(outcomes)} failed" if failed else "off-site pull: interrupted"


def _ping(url: str, end: str, body: str, emit: Emit) -> None:
    if url and (problem := notify.ping(url, end, body)):
        emit(Message(f"the ping could not be sent: {problem}", "warning"))


def tell(settings: Settings, title: str, body: str, emit: Emit) -> None:
    """Send a message to all of `notify`; a failure is a warning."""
    urls = [resolved(url) for url in settings.notify]
    if not urls:
        emit(Message("no notification was sent: [offsite] of the inventory has no `notify`", "warning"))
    elif problem := notify.message(urls, title, body):
        emit(Message(f"notify: {problem}", "warning"))
