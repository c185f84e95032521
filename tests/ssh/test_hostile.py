"""Servers that misbehave: an asyncssh server with faults, raw sockets, and a stopped sshd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncssh
import pytest

from tests.harness import marks
from tests.harness.sshd import Sshd, make_key
from tests.support.servers import SESSION
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.errors import CommandTimeout, ConnectionLost, MigrateError, SshError, TooMuchOutput, Unreachable
from tscm_migrate.model import Host
from tscm_migrate.ssh.connect import NoSecrets, Timeouts, connect
from tscm_migrate.ssh.dialogue import WAIT, Answer, DialoguePace, Pending, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

pytestmark = pytest.mark.slow

# The server runs no command: the word after "act:" in the script chooses its behaviour.


async def _flood(process: asyncssh.SSHServerProcess[bytes]) -> None:
    while True:
        process.stdout.write(b"\x1b[31mno end \r\n" * 2000)
        await process.stdout.drain()


async def _flood_errors(process: asyncssh.SSHServerProcess[bytes]) -> None:
    while True:
        process.stderr.write(b"E" * 30000)
        await process.stderr.drain()


async def _stall(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"half of a li")
    await asyncio.sleep(600)


async def _no_status(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"all said")
    process.stdout.write_eof()
    await asyncio.sleep(600)


async def _abort(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"x" * 100_000)
    await asyncio.sleep(0.2)
    process.channel.get_connection().abort()


async def _close_channel(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"x" * 1000)
    await asyncio.sleep(0.1)
    process.channel.close()


async def _late_status(process: asyncssh.SSHServerProcess[bytes]) -> None:
    if process.term_type:
        process.stdout.write(b"done")
    else:
        process.stdout.write(b"done" + marks.end(process.command, 3))
    process.stdout.write_eof()
    await asyncio.sleep(1)
    process.exit(3)


async def _split_prompt(process: asyncssh.SSHServerProcess[bytes]) -> None:
    for byte in "\x1b[1mGrüße\x1b[0m, \r 10%\r\x1b[Kgo on? ".encode():
        process.stdout.write(bytes([byte]))
        await asyncio.sleep(0.005)
    answer = await process.stdin.readline()
    process.stdout.write(b"\x1b]0;\x07" + answer.strip() + b"!\r\n")
    process.exit(0)


ACTS = {
    name[1:]: act
    for name, act in {
        "_flood": _flood,
        "_flood_errors": _flood_errors,
        "_stall": _stall,
        "_no_status": _no_status,
        "_abort": _abort,
        "_close_channel": _close_channel,
        "_late_status": _late_status,
        "_split_prompt": _split_prompt,
    }.items()
}


async def _serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
    requested = re.search(r"act:(\w+)", process.command or "")
    if process.term_type:
        process.stdout.write(marks.terminal(process.command))
    else:
        process.stdout.write(marks.begin(process.command))
        process.stderr.write(marks.begin(process.command))
    if requested:
        with contextlib.suppress(OSError):  # the client has disconnected
            await ACTS[requested[1]](process)
        return
    process.stdout.write(b"ok\n" + marks.end(process.command))
    process.exit(0)


class _Anyone(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False

    def connection_requested(self, *_: object) -> bool:
        return False


@pytest.fixture(scope="module")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("rogue")
    key = make_key(folder / "host")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=_Anyone,
            server_host_keys=[str(key)],
            process_factory=_serve,
            encoding=None,
            line_editor=False,
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(20)
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.get_port()} {key.with_name('host.pub').read_text()}")
    yield Host(
        "rogue", "127.0.0.1", port=server.get_port(), use_agent=False, identity_file=folder / "host", known_hosts=known
    )

    async def end() -> None:
        server.close()
        acting = asyncio.all_tasks() - {asyncio.current_task()}
        for act in acting:
            act.cancel()
        await asyncio.gather(*acting, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)


@pytest.fixture
def shell(rogue: Host, open_shell: Callable[..., Shell]) -> Shell:
    return open_shell(rogue)


def test_a_server_without_authentication_is_accepted(shell: Shell) -> None:
    assert shell.run("anything").stdout == "ok\n"


@pytest.mark.parametrize("stream", ["flood", "flood_errors"])
def test_endless_output_is_cut_off_and_the_connection_is_kept(shell: Shell, stream: str) -> None:
    with pytest.raises(TooMuchOutput):
        shell.run(f": act:{stream}", limit=3 << 20)
    assert shell.run("x").stdout == "ok\n"


def test_endless_standard_error_of_a_stream_times_out(shell: Shell) -> None:
    with shell.reader(": act:flood_errors", idle=1.5) as reader, pytest.raises(CommandTimeout):
        reader.read()


def test_a_stalled_command_times_out_without_the_server(shell: Shell) -> None:
    with pytest.raises(CommandTimeout):
        shell.run(": act:stall", timeout=-7)  # only the local grace period remains: one second
    with pytest.raises(CommandTimeout), shell.reader(": act:stall", idle=0.5) as reader:
        b"".join(reader)


def test_a_command_without_an_exit_status_times_out(shell: Shell) -> None:
    with pytest.raises(CommandTimeout):
        shell.run(": act:no_status", timeout=-6)
    with shell.reader(": act:no_status") as reader, pytest.raises(CommandTimeout):
        b"".join(reader)


def test_an_exit_status_after_the_end_of_the_output_is_used(shell: Shell) -> None:
    assert shell.run(": act:late_status", check=False).status == 3
    assert shell.converse(": act:late_status", lambda _p: WAIT).status == 3


def _read(shell: Shell, script: str) -> None:
    with shell.reader(script) as reader:
        b"".join(reader)
        reader.finish()


def _write(shell: Shell, script: str) -> None:
    with shell.writer(script) as writer:
        for _ in range(500):
            writer.write(bytes(1 << 18))
        writer.finish()


def test_a_connection_reset_is_a_lost_connection_for_all_calls(rogue: Host, open_shell: Callable[..., Shell]) -> None:
    with pytest.raises(ConnectionLost):
        open_shell(rogue).run(": act:abort")
    with pytest.raises(ConnectionLost):
        _read(open_shell(rogue), ": act:abort")
    with pytest.raises(ConnectionLost):
        _write(open_shell(rogue), ": act:abort")
    assert open_shell(rogue).converse(": act:abort", lambda _p: WAIT).lost


def test_a_channel_closed_without_a_status_is_an_error(shell: Shell) -> None:
    with pytest.raises(SshError):
        _read(shell, ": act:close_channel")
    with pytest.raises(SshError):
        shell.run(": act:close_channel")


def test_a_prompt_sent_byte_by_byte_with_escapes_is_answered_once(shell: Shell) -> None:
    def decide(pending: Pending) -> Answer | Wait:
        return Answer("yes") if pending.line == "go on? " else WAIT

    talk = shell.converse(": act:split_prompt", decide, pace=DialoguePace(idle=60))
    assert [e.prompt for e in talk.exchanges] == ["go on?"]
    assert (talk.text, talk.status) == ("go on? yes\nyes!\n", 0)


def test_refused_tunnels_and_sftp_are_ssh_errors(shell: Shell) -> None:
    with pytest.raises(SshError):
        shell.open_tunnel("127.0.0.1", 9)
    with pytest.raises(SshError):
        shell.sftp()


def test_a_stopped_peer_is_noticed_by_the_keepalive(tmp_path: Path) -> None:
    with Sshd(tmp_path / "s") as server:
        shell = connect(server.host(), credentials=NoSecrets(), timeouts=replace(LONG_TIMEOUTS, dead=6))
        note = tmp_path / "pid"
        shell.run(f"echo {SESSION} >{note}")
        pid = int(note.read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ConnectionLost):
                shell.run("echo hello", timeout=60)
            assert not shell.alive
        finally:
            os.kill(pid, signal.SIGCONT)
            shell.close()


def test_a_quiet_peer_stays_connected(sshd: Sshd) -> None:
    with connect(sshd.host(), credentials=NoSecrets(), timeouts=replace(LONG_TIMEOUTS, dead=6)) as shell:
        assert shell.run("sleep 9; echo still").stdout == "still\n"


def test_a_closed_shell_raises_connection_lost(sshd: Sshd) -> None:
    shell = connect(sshd.host(), credentials=NoSecrets())
    shell.close()
    shell.close()
    assert not shell.alive
    for use in (
        lambda: shell.run("x"),
        shell.sftp,
        lambda: shell.reader("x"),
        lambda: shell.open_tunnel("127.0.0.1", 1),
    ):
        with pytest.raises(ConnectionLost):
            use()


@pytest.mark.parametrize(
    "greeting",
    [b"", b"SSH-2.0-x\r\n", b"SSH-1.5-old\r\n", b"SSH-2.0-x\r\n" + bytes(range(256)) * 40, b"\xff" * 5000],
    ids=["nothing", "only a banner", "version one", "noise after the banner", "noise"],
)
def test_a_listener_with_any_greeting_is_unreachable_within_the_timeout(greeting: bytes) -> None:
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        listener.settimeout(0.2)
        peers = []
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            peers.append(peer)
            peer.sendall(greeting)
        for peer in peers:
            peer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        host = Host("odd", "127.0.0.1", port=listener.getsockname()[1], use_agent=False)
        try:
            with pytest.raises(Unreachable):
                connect(host, credentials=NoSecrets(), timeouts=Timeouts(connect=1.5, banner=1.5))
        finally:
            stop.set()
            thread.join(60)


def test_all_exceptions_of_paramiko_are_translated(tmp_path: Path) -> None:
    import paramiko
    from paramiko import ssh_exception

    from tscm_migrate.ssh.exceptions import translate

    key = paramiko.PKey.from_path(make_key(tmp_path / "k"))
    arguments: dict[str, tuple[object, ...]] = {
        "BadAuthenticationType": ("x", ["password"]),
        "PartialAuthentication": (["password"],),
        "UnableToAuthenticate": (),
        "ChannelException": (1, "x"),
        "BadHostKeyException": ("h", key, key),
        "ProxyCommandFailure": ("nc", "x"),
        "NoValidConnectionsError": ({("h", 22): OSError(111, "x")},),
    }
    foreign = [v for v in vars(ssh_exception).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert len(foreign) > 10
    for kind in foreign:
        error = kind(*arguments.get(kind.__name__, ("x",)))
        for connecting in (True, False):
            assert isinstance(translate(error, "box", connecting=connecting), MigrateError), kind
    for error in (OSError(5, "x"), EOFError(), TimeoutError(), socket.gaierror(-2, "x"), ConnectionResetError()):
        assert isinstance(translate(error, "box"), ConnectionLost)
        assert isinstance(translate(error, "box", connecting=True), Unreachable)
    assert translate(ZeroDivisionError(), "box") is None
    assert isinstance(translate(paramiko.SSHException("a\x1b[31m\nb"), "box"), ConnectionLost)
    assert "\x1b" not in str(translate(paramiko.SSHException("a\x1b[31m\nb"), "box"))
