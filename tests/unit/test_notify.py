"""Hooks, health-check pings and messages, with a real HTTP server and a real shell."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tscm_migrate import notify
from tscm_migrate.errors import NotifyStops, Refused
from tscm_migrate.events import Emit, Event, Message, RunFinished, RunStarted, StepFinished, StepStarted
from tscm_migrate.notify import telling, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = RunStarted("r1", "migrate", "old", "new")


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    requests: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            requests.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{httpd.server_port}", requests
    httpd.shutdown()
    httpd.server_close()


def test_events_are_not_wrapped_without_notify_settings() -> None:
    assert wrap(print, {}) is print


def test_pings_report_start_success_and_failure(server: tuple[str, list[tuple[str, str]]]) -> None:
    place, requests = server
    emit = wrap(lambda _event: None, {"healthcheck": f"http://{place}/ping/x"})
    emit(BEGIN)
    emit(RunFinished("r1", "done", 1.0))
    emit(BEGIN)
    emit(RunFinished("r1", "interrupted", 1.0, held=("old is OFFLINE",)))
    assert [path for path, _ in requests] == ["/ping/x/start", "/ping/x", "/ping/x/start", "/ping/x/fail"]
    assert "old is OFFLINE" in requests[-1][1]


def failing_run(place: str, then: Emit, *events: Event) -> None:
    """Emit these events of a run, which then ends with an error."""
    with telling(then, {"healthcheck": f"http://{place}/ping/x"}) as emit:
        for event in events:
            emit(event)
        raise Refused(("unreachable",))


def test_run_without_a_final_event_is_reported_as_failed(
    server: tuple[str, list[tuple[str, str]]],
) -> None:
    place, requests = server
    seen: list[Event] = []
    over = RunFinished("r1", "failed", 1.0)
    for events in ((BEGIN,), (BEGIN, over)):
        with pytest.raises(Refused):
            failing_run(place, seen.append, *events)
    assert [path for path, _ in requests] == ["/ping/x/start", "/ping/x/fail", "/ping/x/start", "/ping/x/fail"]
    assert "preflight refused: unreachable" in requests[1][1]
    assert seen == [BEGIN, BEGIN, over]


def test_message_contains_the_outcome_of_the_run(server: tuple[str, list[tuple[str, str]]]) -> None:
    pytest.importorskip("apprise")
    place, requests = server
    emit = wrap(lambda _event: None, {"urls": [f"json://{place}/hook"]})
    emit(BEGIN)
    emit(RunFinished("r1", "attention", 1.0, left=("device asa: no login",)))
    message = json.loads(requests[0][1])
    assert message["title"] == "migrate old → new: attention"
    assert "device asa: no login" in message["message"]


def test_check_and_dry_run_send_no_notification(server: tuple[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    place, requests = server
    emit = wrap(lambda _event: None, {"healthcheck": f"http://{place}/x", "before_step": f"touch {tmp_path / 'ran'}"})
    for verb in ("check", "dry run"):
        emit(RunStarted("r1", verb, "old", "new"))
        emit(StepStarted("backup", "Back up"))
        emit(RunFinished("r1", "done", 1.0))
    assert requests == []
    assert not (tmp_path / "ran").exists()


def script(folder: Path, text: str) -> str:
    """Write a Python script; return a command that runs it in every shell of a workstation."""
    file = folder / "a script.py"
    file.write_text(text, encoding="utf-8")
    return f'"{sys.executable}" "{file}"'


def test_hook_that_runs_the_tool_has_the_same_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    file = tmp_path / "log"
    code = f"from tscm_migrate.util.private import state_folder\nopen({str(file)!r}, 'w').write(str(state_folder()))"
    emit = wrap(lambda _event: None, {"after_step": script(tmp_path, code)})
    emit(BEGIN)
    emit(StepFinished("backup", "done"))
    assert file.read_text() == str(tmp_path / "state")


def test_step_commands_get_the_event_in_their_environment(tmp_path: Path) -> None:
    file = tmp_path / "log"
    names = ("EVENT", "STEP", "STEP_STATE", "DETAIL", "OLD", "NEW", "RUN", "VERB")
    text = f"import os\nwith open({str(file)!r}, 'a') as f: print(*(os.environ['TSCM_' + n] for n in {names}), file=f)"
    command = script(tmp_path, text)
    emit = wrap(lambda _event: None, {"before_step": command, "after_step": command, "failed": command})
    emit(BEGIN)
    emit(StepStarted("backup", "Back up"))
    emit(StepFinished("backup", "done"))
    emit(StepFinished("transfer", "failed", detail="no room"))
    emit(RunFinished("r1", "failed", 1.0, held=("old is OFFLINE",)))
    assert file.read_text().splitlines() == [
        "before_step backup started  old new r1 migrate",
        "after_step backup done  old new r1 migrate",
        "failed transfer failed no room old new r1 migrate",
        "failed  failed old is OFFLINE old new r1 migrate",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; print('oh', file=sys.stderr); sys.exit(3)", "exit status 3: oh"),
        ("import time; time.sleep(20)", "did not end within 0 s"),
    ],
)
def test_failing_command_is_a_warning(text: str, words: str, tmp_path: Path) -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"before_step": script(tmp_path, text), "timeout": 0.4 if "sleep" in text else 60})
    emit(BEGIN)
    emit(StepStarted("backup", "Back up"))
    assert isinstance(seen[-1], Message)
    assert words in seen[-1].text


def test_on_failure_stop_ends_a_run_but_no_rollback() -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"before_step": "exit 1", "on_failure": "stop"})
    emit(BEGIN)
    with pytest.raises(NotifyStops):
        emit(StepStarted("backup", "Back up"))
    emit(StepStarted("backup", "put back: Back up"))
    emit(RunStarted("r1", "rollback", "old", "new"))
    emit(StepStarted("backup", "Back up"))
    assert [event for event in seen if isinstance(event, Message)]


def test_unreachable_server_is_a_warning() -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"healthcheck": "http://127.0.0.1:9/x"})
    emit(BEGIN)
    assert "not reached" in str(seen[-1])


@contextlib.contextmanager
def server_that_sends(data: bytes, *, endless: bool = False) -> Iterator[str]:
    """Yield the address of a server that answers each client with `data`; if endless, it repeats it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        over = threading.Event()

        def serve() -> None:
            while True:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    if over.is_set():
                        return
                    peer.sendall(data)
                    while endless and not over.wait(0.05):
                        peer.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join(60)


@pytest.mark.parametrize(
    "what", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 99999, b"\0" * 9]
)
def test_server_with_an_invalid_answer_is_a_warning(what: bytes) -> None:
    with server_that_sends(what) as address:
        seen: list[Event] = []
        emit = wrap(seen.append, {"healthcheck": address})
        emit(BEGIN)
        assert "not reached" in str(seen[-1])
        assert address not in str(seen[-1]), "the address contains a token"


def test_invalid_address_is_a_warning() -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"healthcheck": "http://[::1/x", "urls": ["json://[::1/x", "what is this"]})
    emit(BEGIN)
    emit(RunFinished("r1", "done", 1.0))
    assert len([event for event in seen if isinstance(event, Message)]) == 3


def test_server_with_an_endless_answer_does_not_delay_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_PING_SECONDS", 0.4)
    with server_that_sends(b"HTTP/1.1 100 Continue\r\n\r\n", endless=True) as address:
        seen: list[Event] = []
        emit = wrap(seen.append, {"healthcheck": address})
        emit(BEGIN)
        assert "not reached" in str(seen[-1])


def test_run_refused_before_its_first_change_is_reported_as_failed(
    server: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    place, requests = server
    hosts = "".join(
        f'[hosts.{name}]\naddress = "127.0.0.1"\nport = {port}\n' for port, name in ((1, "old"), (2, "new"))
    )
    file = tmp_path / "hosts.toml"
    file.write_text(f'{hosts}[notify]\nhealthcheck = "http://{place}/x"\n', encoding="utf-8")
    command = [sys.executable, "-m", "tscm_migrate", "migrate", "--from", "old", "--to", "new", "--yes"]
    env = {**os.environ, "TSCM_INVENTORY": str(file), "TSCM_STATE": str(tmp_path / "state")}
    done = subprocess.run(command, env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 3
    assert [path for path, _ in requests] == ["/x/start", "/x/fail"]
    assert "nothing was changed" in requests[1][1]
