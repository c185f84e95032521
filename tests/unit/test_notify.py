"""Hooks, pings and messages, against a real HTTP server and a real shell."""

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
    got: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            got.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{httpd.server_port}", got
    httpd.shutdown()
    httpd.server_close()


def test_without_a_table_nothing_is_wrapped() -> None:
    assert wrap(print, {}) is print


def test_pings_tell_start_success_and_failure(server: tuple[str, list[tuple[str, str]]]) -> None:
    place, got = server
    emit = wrap(lambda _event: None, {"healthcheck": f"http://{place}/ping/x"})
    emit(BEGIN)
    emit(RunFinished("r1", "done", 1.0))
    emit(BEGIN)
    emit(RunFinished("r1", "interrupted", 1.0, held=("old is OFFLINE",)))
    assert [path for path, _ in got] == ["/ping/x/start", "/ping/x", "/ping/x/start", "/ping/x/fail"]
    assert "old is OFFLINE" in got[-1][1]


def broken_off(place: str, then: Emit, *events: Event) -> None:
    """A run that says this, and then ends by an error."""
    with telling(then, {"healthcheck": f"http://{place}/ping/x"}) as emit:
        for event in events:
            emit(event)
        raise Refused(("unreachable",))


def test_a_run_that_never_got_to_say_how_it_ended_is_told_as_failed(
    server: tuple[str, list[tuple[str, str]]],
) -> None:
    place, got = server
    seen: list[Event] = []
    over = RunFinished("r1", "failed", 1.0)
    for events in ((BEGIN,), (BEGIN, over)):
        with pytest.raises(Refused):
            broken_off(place, seen.append, *events)
    assert [path for path, _ in got] == ["/ping/x/start", "/ping/x/fail", "/ping/x/start", "/ping/x/fail"]
    assert "preflight refused: unreachable" in got[1][1]
    assert seen == [BEGIN, BEGIN, over]


def test_a_message_says_how_it_ended(server: tuple[str, list[tuple[str, str]]]) -> None:
    pytest.importorskip("apprise")
    place, got = server
    emit = wrap(lambda _event: None, {"urls": [f"json://{place}/hook"]})
    emit(BEGIN)
    emit(RunFinished("r1", "attention", 1.0, left=("device asa: no login",)))
    told = json.loads(got[0][1])
    assert told["title"] == "migrate old → new: attention"
    assert "device asa: no login" in told["message"]


def test_a_check_or_a_dry_run_tells_nobody(server: tuple[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    place, got = server
    emit = wrap(lambda _event: None, {"healthcheck": f"http://{place}/x", "before_step": f"touch {tmp_path / 'ran'}"})
    for verb in ("check", "dry run"):
        emit(RunStarted("r1", verb, "old", "new"))
        emit(StepStarted("backup", "Back up"))
        emit(RunFinished("r1", "done", 1.0))
    assert got == []
    assert not (tmp_path / "ran").exists()


def script(folder: Path, text: str) -> str:
    """A command line for the workstation's shell, whichever that is, that runs this Python."""
    file = folder / "a script.py"
    file.write_text(text, encoding="utf-8")
    return f'"{sys.executable}" "{file}"'


def test_a_hook_that_runs_the_tool_finds_the_same_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    file = tmp_path / "log"
    code = f"from tscm_migrate.util.private import state_folder\nopen({str(file)!r}, 'w').write(str(state_folder()))"
    emit = wrap(lambda _event: None, {"after_step": script(tmp_path, code)})
    emit(BEGIN)
    emit(StepFinished("backup", "done"))
    assert file.read_text() == str(tmp_path / "state")


def test_commands_run_around_each_step_with_what_they_need_to_know(tmp_path: Path) -> None:
    file = tmp_path / "log"
    names = ("EVENT", "STEP", "STEP_STATE", "DETAIL", "OLD", "NEW", "RUN", "VERB")
    text = f"import os\nwith open({str(file)!r}, 'a') as f: print(*(os.environ['TSCM_' + n] for n in {names}), file=f)"
    say = script(tmp_path, text)
    emit = wrap(lambda _event: None, {"before_step": say, "after_step": say, "failed": say})
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
def test_a_command_that_fails_is_a_warning(text: str, words: str, tmp_path: Path) -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"before_step": script(tmp_path, text), "timeout": 0.4 if "sleep" in text else 60})
    emit(BEGIN)
    emit(StepStarted("backup", "Back up"))
    assert isinstance(seen[-1], Message)
    assert words in seen[-1].text


def test_with_stop_it_ends_the_run_but_never_the_way_back() -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"before_step": "exit 1", "on_failure": "stop"})
    emit(BEGIN)
    with pytest.raises(NotifyStops):
        emit(StepStarted("backup", "Back up"))
    emit(StepStarted("backup", "put back: Back up"))
    emit(RunStarted("r1", "rollback", "old", "new"))
    emit(StepStarted("backup", "Back up"))
    assert [event for event in seen if isinstance(event, Message)]


def test_a_server_that_is_gone_is_a_warning() -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"healthcheck": "http://127.0.0.1:9/x"})
    emit(BEGIN)
    assert "not reached" in str(seen[-1])


def saying(what: bytes, *, endless: bool = False) -> Iterator[str]:
    """A server that answers everybody with this, and again and again where it is endless; its address."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        over = threading.Event()

        def serve() -> None:
            while True:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    if over.is_set():
                        return
                    peer.sendall(what)
                    while endless and not over.wait(0.05):
                        peer.sendall(what)

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
def test_a_server_that_speaks_something_else_is_a_warning(what: bytes) -> None:
    for address in saying(what):
        seen: list[Event] = []
        emit = wrap(seen.append, {"healthcheck": address})
        emit(BEGIN)
        assert "not reached" in str(seen[-1])
        assert address not in str(seen[-1]), "it holds a token"


def test_an_address_that_is_none_is_a_warning() -> None:
    seen: list[Event] = []
    emit = wrap(seen.append, {"healthcheck": "http://[::1/x", "urls": ["json://[::1/x", "what is this"]})
    emit(BEGIN)
    emit(RunFinished("r1", "done", 1.0))
    assert len([event for event in seen if isinstance(event, Message)]) == 3


def test_a_server_that_never_comes_to_an_end_keeps_no_run_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_PING_SECONDS", 0.4)
    for address in saying(b"HTTP/1.1 100 Continue\r\n\r\n", endless=True):
        seen: list[Event] = []
        emit = wrap(seen.append, {"healthcheck": address})
        emit(BEGIN)
        assert "not reached" in str(seen[-1])


def test_a_run_that_ends_before_its_first_change_is_told_as_failed(
    server: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    place, got = server
    hosts = "".join(
        f'[hosts.{name}]\naddress = "127.0.0.1"\nport = {port}\n' for port, name in ((1, "old"), (2, "new"))
    )
    file = tmp_path / "hosts.toml"
    file.write_text(f'{hosts}[notify]\nhealthcheck = "http://{place}/x"\n', encoding="utf-8")
    command = [sys.executable, "-m", "tscm_migrate", "migrate", "--from", "old", "--to", "new", "--yes"]
    env = {**os.environ, "TSCM_INVENTORY": str(file), "TSCM_STATE": str(tmp_path / "state")}
    done = subprocess.run(command, env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 3
    assert [path for path, _ in got] == ["/x/start", "/x/fail"]
    assert "nothing was changed" in got[1][1]
