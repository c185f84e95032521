"""One embedded appliance on the network: power, link, address, and its SSH server with real processes and terminals."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

import asyncssh

from tscm_migrate.demo.base import Collision
from tscm_migrate.demo.embedded.machine import EmbeddedMachine


class Patient(asyncssh.SSHServerConnection):
    """Accepts a service request before each login attempt, as OpenSSH does; asyncssh 2.24 closes at the second."""

    @property
    def _next_service(self) -> bytes | None:
        expected: bytes | None = self.__dict__.get("_expected_service")
        return expected if self._auth_complete else b"ssh-userauth"

    @_next_service.setter
    def _next_service(self, value: bytes | None) -> None:
        self.__dict__["_expected_service"] = value


class Door(asyncssh.SSHServer):
    """Accepts the user with a key from the appliance's authorized_keys, which is read at each login."""

    def __init__(self, machine: EmbeddedMachine, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._machine = machine
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Store the connection, so that a reboot can close it."""
        conn.__class__ = Patient
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Remove the connection."""
        if self._connection is not None:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        """Accept keys only, and only for the appliance's user."""
        keys = self._machine.host("home/threatstop/.ssh/authorized_keys")
        if self._connection is not None and username == "threatstop" and keys.exists():
            with suppress(ValueError, asyncssh.KeyImportError):
                self._connection.set_authorized_keys(str(keys))
        return True

    def server_requested(self, _listen_host: str, _listen_port: int) -> bool:
        """Allow tunnels, as sshd does by default."""
        return True

    def connection_requested(self, _dest_host: str, _dest_port: int, _orig_host: str, _orig_port: int) -> bool:
        """Allow jump connections, too."""
        return True


def sftp_factory(machine: EmbeddedMachine) -> Callable[[asyncssh.SSHServerChannel[bytes]], asyncssh.SFTPServer]:
    """SFTP that starts in the home folder and refuses paths outside the appliance's root."""
    root = os.path.realpath(machine.root).encode()
    home = str(machine.host("home/threatstop")).encode()

    class Files(asyncssh.SFTPServer):
        def map_path(self, path: bytes) -> bytes:
            path = os.fsencode(machine.own_paths(os.fsdecode(path)))
            full = os.path.normpath(os.path.join(home, path))  # noqa: PTH118 - bytes
            folder = os.path.realpath(os.path.dirname(full))  # noqa: PTH120
            if os.path.commonpath([folder, root]) != root and full != root:
                raise asyncssh.SFTPPermissionDenied("outside of this appliance")
            return full

        def reverse_map_path(self, path: bytes) -> bytes:
            return path

    return Files


async def serve(machine: EmbeddedMachine, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Handle one session: a command or a login shell, with or without a terminal."""
    env = machine.env()
    if original := process.env.get("SSH_ORIGINAL_COMMAND"):
        env["SSH_ORIGINAL_COMMAND"] = original
    peer, own = process.get_extra_info("peername"), process.get_extra_info("sockname")
    env["SSH_CONNECTION"] = f"{peer[0]} {peer[1]} {own[0]} {own[1]}"
    env["SSH_CLIENT"] = f"{peer[0]} {peer[1]} {own[1]}"
    shell = machine.shell()
    asked = machine.own_paths(process.command) if process.command else ""
    command = [shell, "-c", asked] if asked else [shell, "-i" if process.term_type else "-s"]
    try:
        if process.term_type:
            await _with_terminal(machine, process, command, {**env, "TERM": process.term_type})
        else:
            await _with_pipes(machine, process, command, env)
    except (OSError, asyncssh.Error):
        with suppress(OSError, asyncssh.Error):
            process.exit(255)
    finally:
        await process.wait_closed()


def _leave(process: asyncssh.SSHServerProcess[bytes], status: int) -> None:
    """Send the end as sshd does: end of file, then the status, then close the channel."""
    process.channel.write_eof()
    if status < 0:
        name = signal.Signals(-status).name.removeprefix("SIG")
        process.exit_with_signal(name)
    else:
        process.exit(status)


async def _with_pipes(
    machine: EmbeddedMachine, process: asyncssh.SSHServerProcess[bytes], command: list[str], env: dict[str, str]
) -> None:
    """Copy the three streams here: asyncssh's own redirection loses the end of a stream under flow control."""
    pipe = subprocess.PIPE
    child = await asyncio.to_thread(machine.start, command, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
    copies = [
        asyncio.create_task(_copy(child.stdout, process.stdout)),
        asyncio.create_task(_copy(child.stderr, process.stderr)),
    ]
    feeding = asyncio.create_task(_feed(process, child))
    try:  # as sshd does: until all pipes are closed
        await asyncio.gather(*copies)
        _leave(process, await asyncio.to_thread(child.wait))
    finally:
        # All of them: a task that still waits for a descriptor would take it from the next session with that number.
        for task in (*copies, feeding):
            task.cancel()
        await asyncio.wait({*copies, feeding})
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


async def _ready(fd: int, *, to_write: bool = False) -> None:
    """Wait until a descriptor can be read or written."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def set_ready() -> None:
        if not future.done():
            future.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
    add(fd, set_ready)
    try:
        await future
    finally:
        remove(fd)


async def _copy(source: IO[bytes] | None, target: asyncssh.SSHWriter[bytes]) -> None:
    assert source is not None  # noqa: S101 - a pipe was asked for
    fd = source.fileno()
    while True:
        await _ready(fd)
        data = os.read(fd, 262144)
        if not data:
            return
        target.write(data)
        await target.drain()


async def _feed(process: asyncssh.SSHServerProcess[bytes], child: subprocess.Popen[bytes]) -> None:
    """Copy the client's input to the command's stdin; pass signals on."""
    assert child.stdin is not None  # noqa: S101 - a pipe was asked for
    fd = child.stdin.fileno()
    os.set_blocking(fd, False)
    with suppress(BrokenPipeError, asyncssh.Error):
        async for data in _input(process, child, 262144):
            rest = data
            while rest:
                await _ready(fd, to_write=True)
                rest = rest[os.write(fd, rest) :]
    child.stdin.close()


async def _input(
    process: asyncssh.SSHServerProcess[bytes], child: subprocess.Popen[bytes], most: int,
    resized: Callable[[Any], None] = lambda _size: None,
) -> AsyncIterator[bytes]:  # fmt: skip
    """Yield the client's input, `most` bytes at a time; pass signals on, and new sizes of its terminal to `resized`."""
    while True:
        try:
            data = await process.stdin.read(most)
        except asyncssh.TerminalSizeChanged as change:
            resized(change.term_size)
            continue
        except asyncssh.SignalReceived as received:
            _signal(child, received.signal)
            continue
        except asyncssh.BreakReceived:
            continue
        if not data:
            return
        yield data


def _signal(child: subprocess.Popen[bytes], name: str) -> None:
    with suppress(ProcessLookupError, AttributeError):
        os.killpg(child.pid, getattr(signal, f"SIG{name}"))


async def _with_terminal(
    machine: EmbeddedMachine, process: asyncssh.SSHServerProcess[bytes], command: list[str], env: dict[str, str]
) -> None:
    master, slave = os.openpty()
    try:
        _resize(master, process.term_size)
        helper = [*machine.shim, "tscm-on-terminal", *command]
        child = await asyncio.to_thread(machine.start, helper, env=env, stdin=slave, stdout=slave, stderr=slave)
    finally:
        os.close(slave)
    ended = asyncio.create_task(asyncio.to_thread(child.wait))
    typing = asyncio.create_task(_type(process, master, child))
    try:
        await _show(process, master, ended)
    finally:
        typing.cancel()
        await asyncio.wait({typing})
        os.close(master)  # its remaining processes get SIGHUP, as with a real sshd
    _leave(process, await ended)


async def _show(process: asyncssh.SSHServerProcess[bytes], master: int, ended: asyncio.Task[int]) -> None:
    """Copy the output of the terminal until the command has ended, or the client has disconnected."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(master, ready.set)
    gone = asyncio.create_task(process.channel.wait_closed())
    for task in (gone, ended):
        task.add_done_callback(lambda _: ready.set())
    try:
        while not gone.done():
            await ready.wait()
            ready.clear()
            while select.select([master], [], [], 0)[0]:
                data = os.read(master, 65536)
                if not data:
                    return
                process.stdout.write(data)
                await process.stdout.drain()
            if ended.done():
                return
    except OSError:
        return  # EIO: the last process on the terminal has ended
    finally:
        loop.remove_reader(master)
        gone.cancel()


async def _type(process: asyncssh.SSHServerProcess[bytes], master: int, child: subprocess.Popen[bytes]) -> None:
    """Copy the client's input to the terminal; pass new sizes and signals on."""
    async for data in _input(process, child, 4096, lambda size: _resize(master, size)):
        await asyncio.to_thread(os.write, master, data)
    os.write(master, b"\x04")


def _resize(master: int, size: Any) -> None:
    width, height = (size[0] or 80), (size[1] or 24)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class Wire:
    """The network of the appliances: one port on loopback addresses, and which appliance has which address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.appliances: list[EmbeddedAppliance] = []
        self.collisions: list[Collision] = []

    def holder(self, address: str) -> EmbeddedAppliance | None:
        """Return the appliance that answers at an address."""
        return next((one for one in self.appliances if one.listening and one.address == address), None)

    async def settle(self) -> None:
        """Let waiting appliances listen if their address is free now."""
        for one in self.appliances:
            if one.on and one.up and not one.listening:
                await one.listen()


class EmbeddedAppliance:
    """A machine with power and a link; every coroutine runs in the lab's loop."""

    def __init__(self, machine: EmbeddedMachine, wire: Wire) -> None:
        self.machine = machine
        self.wire = wire
        self.address = machine.profile.address
        self.on = self.up = False
        self._listener: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._warned: str | None = None

    @property
    def listening(self) -> bool:
        """Whether it answers at its address."""
        return self._listener is not None

    async def boot(self) -> None:
        """Switch it on: with the saved address, a new boot id, and the host keys on its disk."""
        saved = self.machine.guest.saved_net()
        if saved is not None and saved.address:
            self.address = saved.address
        self.machine.new_boot_id()
        self.on = self.up = True
        self._warned = None
        self.machine.start_cron()
        await self.listen()

    async def listen(self) -> None:
        """Answer at the address; if another appliance does, record that once, and try again when it is free."""
        other = self.wire.holder(self.address)
        if other is not None and other is not self:
            if self._warned != self.address:
                names = (other.machine.name, self.machine.name)
                self.wire.collisions.append(Collision(datetime.now(UTC).isoformat(), self.address, names))
            self._warned = self.address
            return
        machine = self.machine
        with suppress(OSError):  # not an address of this machine: not reachable
            self._listener = await asyncssh.listen(
                self.address,
                self.wire.port,
                reuse_address=True,
                server_factory=lambda: Door(machine, self._connections),
                server_host_keys=[str(path) for path in machine.host_keys()],
                process_factory=lambda process: serve(machine, process),
                sftp_factory=sftp_factory(machine),
                encoding=None,
                line_editor=False,
                gss_host=None,
            )

    async def unlisten(self, *, drop: bool = True) -> None:
        """Stop answering; `drop` also closes the connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()  # without waiting: since Python 3.12 that takes until the last connection is closed
        if drop:
            for connection in list(self._connections):
                connection.abort()

    async def halt(self) -> None:
        """Cut the power: all processes end."""
        self.on = self.up = False
        await self.unlisten()
        await asyncio.to_thread(self.machine.kill_all)
        await self.wire.settle()

    async def reboot(self) -> None:
        """Halt and boot."""
        await self.halt()
        await asyncio.sleep(self.machine.profile.boot_seconds)
        await self.boot()

    async def link(self, *, up: bool) -> None:
        """Set the interface up or down; processes continue."""
        self.up = up
        if up and not self.listening:
            await self.listen()
        elif not up:
            await self.unlisten()
            await self.wire.settle()

    async def restart_ssh(self) -> None:
        """Read the host keys again; connections stay open."""
        if self.listening:
            await self.unlisten(drop=False)
            await self.listen()
