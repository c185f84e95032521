"""Pings and messages about pulls; addresses that contain a token are never shown."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import Unreachable, UsageError
from tscm_migrate.events import Event, Message
from tscm_migrate.fleet.announce import announced, resolved, tell
from tscm_migrate.fleet.pool import Outcome
from tscm_migrate.model import Host
from tscm_migrate.offsite.context import PullJob, Settings
from tscm_migrate.offsite.pull import Pulled, PullOptions
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB = PullJob(Host("tscm-a", "192.0.2.1"), "/x", PullOptions())
GOOD = Outcome(JOB, Pulled("tscm-a", ()))
BAD = Outcome(JOB, None, Unreachable("tscm-a", "no answer"))


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that records what is posted to it: its address, and the list of path and body."""
    posted: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["content-length"])).decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/t0ken-of-the-switch", posted
    server.shutdown()
    server.server_close()
    thread.join(60)


def test_a_success_pings_without_a_message(server: tuple[str, list[tuple[str, str]]]) -> None:
    url, posted = server
    outcomes: list[Outcome[PullJob, Pulled]] = []
    with announced(Settings(ping=url, notify=(url.replace("http", "json"),)), outcomes, _fail):
        outcomes.append(GOOD)
    assert [path for path, _ in posted] == ["/t0ken-of-the-switch/start", "/t0ken-of-the-switch"]


def test_a_failure_pings_fail_and_sends_a_message(server: tuple[str, list[tuple[str, str]]]) -> None:
    url, posted = server
    outcomes: list[Outcome[PullJob, Pulled]] = []
    with announced(Settings(ping=url, notify=(url.replace("http", "json") + "/msg",)), outcomes, _fail):
        outcomes += [GOOD, BAD]
    assert [path for path, _ in posted][1:] == ["/t0ken-of-the-switch/fail", "/t0ken-of-the-switch/msg"]
    assert "no answer" in posted[1][1]
    assert "1 of 2 failed" in posted[2][1]


def test_an_interrupted_pull_is_a_failure(server: tuple[str, list[tuple[str, str]]]) -> None:
    url, posted = server
    with pytest.raises(KeyboardInterrupt), announced(Settings(ping=url), [], _fail):
        raise KeyboardInterrupt
    assert posted[-1][0].endswith("/fail")


def test_unreachable_addresses_are_warnings_without_the_address() -> None:
    events: list[Event] = []
    settings = Settings(ping="http://127.0.0.1:1/t0ken-x", notify=("json://127.0.0.1:1/t0ken-y",))
    outcomes = [BAD]
    with announced(settings, outcomes, events.append):
        pass
    tell(Settings(), "x", "y", events.append)
    texts = [event.text for event in events if isinstance(event, Message)]
    assert len(texts) == 4
    assert not [text for text in texts if "t0ken" in text]


def test_an_address_can_come_from_the_environment() -> None:
    assert resolved("env:PING", {"PING": "https://hc.test/s3cret-1"}) == "https://hc.test/s3cret-1"
    assert "s3cret-1" not in redact.known("see https://hc.test/s3cret-1 there")
    with pytest.raises(UsageError, match="PING"):
        resolved("env:PING", {})


def _fail(event: Event) -> None:
    raise AssertionError(f"unexpected event: {event}")
