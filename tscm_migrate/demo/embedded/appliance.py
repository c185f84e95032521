"""One embedded appliance on the network: power, link, address, listener."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncssh

from tscm_migrate.demo.base import Collision
from tscm_migrate.demo.embedded import server

if TYPE_CHECKING:
    from tscm_migrate.demo.embedded.machine import EmbeddedMachine


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
                server_factory=lambda: server.Door(machine, self._connections),
                server_host_keys=[str(path) for path in machine.host_keys()],
                process_factory=lambda process: server.serve(machine, process),
                sftp_factory=server.sftp_factory(machine),
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
