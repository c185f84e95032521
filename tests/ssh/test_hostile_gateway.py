"""A hostile jump host: it cannot impersonate the host behind it, and cannot delay a connection beyond the timeouts."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from tests.harness.sshd import Sshd, make_key
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.errors import HostKeyError, MigrateError
from tscm_migrate.model import Host
from tscm_migrate.ssh.connect import NoSecrets, Timeouts, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(Sshd.available() is not None, reason="no sshd"),
]
QUICK = Timeouts(connect=4, banner=4, auth=6, channel=6, dead=6)


async def _silent(_reader: Any, _writer: Any) -> None:
    await asyncio.sleep(600)


async def _closes(_reader: Any, writer: Any) -> None:
    writer.close()


async def _garbage(_reader: Any, writer: Any) -> None:
    while True:
        writer.write(b"\x00\xff" * 5000)
        await writer.drain()


async def _banners(_reader: Any, writer: Any) -> None:
    while True:
        writer.write(b"not an SSH banner \x1b[2J\r\n" * 100)
        await writer.drain()


async def _long_line(_reader: Any, writer: Any) -> None:
    while True:
        writer.write(b"x" * 10000)
        await writer.drain()


async def _huge_packet(_reader: Any, writer: Any) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\xff\xff\xff\xf4\x04")
    while True:
        writer.write(bytes(100_000))
        await writer.drain()


async def _another(port: int, reader: Any, writer: Any) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: Any, target: Any) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
        target.close()

    await asyncio.gather(copy(reader, back), copy(there, writer))


FAULTS = {f.__name__.strip("_"): f for f in (_silent, _closes, _garbage, _banners, _long_line, _huge_packet)}


class _Gateway(asyncssh.SSHServer):
    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def begin_auth(self, _username: str) -> bool:
        return False

    def connection_requested(self, *_where: Any) -> Any:
        how = self._state["how"]
        if how == "refused":
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "no \x1b[2J")
        if how == "another":
            return functools.partial(_another, self._state["port"])
        return FAULTS[how]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, dict[str, Any], Sshd]]:
    folder = tmp_path_factory.mktemp("gateway")
    state: dict[str, Any] = {}
    key = make_key(folder / "host")
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=lambda: _Gateway(state), server_host_keys=[str(key)]
        )
        state["listens"] = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    public = " ".join(key.with_name("host.pub").read_text().split()[:2])
    known = folder / "known"
    with Sshd(folder / "honest") as honest, Sshd(folder / "other") as other:
        state["port"] = other.port
        known.write_text(f"[127.0.0.1]:{state['listens']} {public}\n" + honest.known_hosts.read_text())
        jump = Host("jump", "127.0.0.1", port=state["listens"], user="x", known_hosts=known, use_agent=False)
        yield honest.host("behind", known_hosts=known, gateway=jump), state, other
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)


def test_another_host_behind_the_gateway_is_refused_by_its_key(gateway: tuple[Host, dict[str, Any], Sshd]) -> None:
    host, state, _ = gateway
    state["how"] = "another"
    with pytest.raises(HostKeyError):
        connect(host, credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)


@pytest.mark.parametrize("how", [*FAULTS, "refused"])
def test_invalid_data_of_the_gateway_ends_within_the_timeouts(
    gateway: tuple[Host, dict[str, Any], Sshd], how: str
) -> None:
    host, state, _ = gateway
    state["how"] = how
    with pytest.raises(MigrateError) as error:
        connect(host, credentials=NoSecrets(), timeouts=QUICK)
    assert "\x1b" not in error.value.message()
