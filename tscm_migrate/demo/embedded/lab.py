"""The embedded lab: two appliances on loopback addresses, served from a thread; without root."""

import asyncio
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from tscm_migrate.demo.base import INVENTORY_NAMES, Name, Profile, free_port, tool_env
from tscm_migrate.demo.embedded.appliance import EmbeddedAppliance, Wire
from tscm_migrate.demo.embedded.machine import EmbeddedMachine, due_commands

OLD_ADDRESS, NEW_ADDRESS = "127.0.1.43", "127.0.1.50"
PATIENCE = 60.0


def available() -> str | None:
    """Return why an embedded lab cannot run here; None if it can."""
    for address in (OLD_ADDRESS, NEW_ADDRESS):
        with socket.socket() as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return f"{address} is not a loopback address here; on macOS: sudo ifconfig lo0 alias {address}"
    return None


class EmbeddedLab:
    """Two appliances and a workstation to run the tool; a context manager that ends all its processes.

    Args:
        folder: for all files; created if necessary, not removed by `close`.
        old: the old appliance; its network is replaced by the lab's.
        new: the new appliance, likewise.
    """

    machine_class: ClassVar[type[EmbeddedMachine]] = EmbeddedMachine

    def __init__(self, folder: Path, old: Profile, new: Profile) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        network = {"prefix": 24, "gateway": "127.0.1.1", "dns": ("127.0.1.1",)}
        self._profiles: dict[Name, Profile] = {
            "old": old.with_(name="old", address=OLD_ADDRESS, **network),
            "new": new.with_(name="new", address=NEW_ADDRESS, **network),
        }
        self.port = free_port(OLD_ADDRESS, NEW_ADDRESS)  # the address moves, the port stays
        self._run = Path(tempfile.mkdtemp(prefix="tscm-lab-"))  # the path of a socket must be short
        self._wire = Wire(self.port)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(128))
        self._thread = threading.Thread(target=self._loop.run_forever, name="tscm-lab", daemon=True)
        self._background: set[asyncio.Task[None]] = set()
        self._control: asyncio.Server | None = None
        self._machines: dict[Name, EmbeddedMachine] = {}
        self._appliances: dict[Name, EmbeddedAppliance] = {}
        self.inventory = self.folder / "hosts.toml"

    # ---- from start to end

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        control = self.control
        for name, profile in self._profiles.items():
            machine = self.machine_class(self.folder, name, profile, control)
            self._machines[name] = machine
            self._appliances[name] = EmbeddedAppliance(machine, self._wire)
        self._wire.appliances = list(self._appliances.values())
        write_inventory(self.folder, {INVENTORY_NAMES[name]: m for name, m in self._machines.items()}, self.port)
        (self.folder / "workstation").mkdir(exist_ok=True)
        self._thread.start()
        self._call(self._open(control))

    def close(self) -> None:
        """End all processes and listeners."""
        if self._thread.is_alive():
            for appliance in self._appliances.values():
                self._call(appliance.halt())
            self._call(self._shut())
            self._call(self._end_sessions())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
        if not self._loop.is_running() and not self._loop.is_closed():
            self._loop.close()
        for machine in self._machines.values():
            machine.kill_all()
        shutil.rmtree(self._run, ignore_errors=True)

    async def _open(self, control: Path) -> None:
        self._control = await asyncio.start_unix_server(self._answer, str(control))
        for appliance in self._appliances.values():
            await appliance.boot()
        self._spawn(self._cron())

    async def _shut(self) -> None:
        if self._control is not None:
            self._control.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _end_sessions(self) -> None:
        """Close unfinished sessions, so that none raises an error later when it is garbage-collected."""
        for _ in range(5):  # an ended session may wait once more, for its channel
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=2.0)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _cron(self) -> None:
        """Start the commands of the appliances' cron.d folders at the beginning of each minute."""
        while True:
            now = datetime.now().astimezone()
            await asyncio.sleep(60 - now.second - now.microsecond / 1e6 + 0.005)
            minute = datetime.now().astimezone()
            for appliance in self._wire.appliances:
                machine = appliance.machine
                if not appliance.on:
                    continue
                for command in due_commands(machine.host("etc/cron.d"), minute):
                    await asyncio.to_thread(machine.start_quietly, command)

    # ---- what the stand-ins ask

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ValueError, KeyError, OSError):
            request = json.loads(await reader.readline())
            reply = await self._obey(self._appliances[request["name"]], request)
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _obey(self, one: EmbeddedAppliance, request: dict[str, Any]) -> dict[str, Any]:
        op = request["op"]
        if op in ("net", "holds", "state"):
            return self._state(op, one, request)
        if op == "power":
            if request["on"] != one.on:
                await (one.boot() if request["on"] else one.halt())
        elif op == "ask":
            one.machine.guest.change(extra_prompt=request["question"])
        elif op in ("reboot", "poweroff"):
            self._spawn(self._soon(one.reboot() if op == "reboot" else one.halt()))
        elif op == "link":
            self._spawn(self._soon(one.link(up=request["up"])))
        elif op == "restart_ssh":
            await one.restart_ssh()
        return {}

    def _state(self, op: str, one: EmbeddedAppliance, request: dict[str, Any]) -> dict[str, Any]:
        if op == "holds":
            return {"held": self._wire.holder(request["address"]) is not None}
        if op == "state":
            return {"on": one.on, "address": one.address if one.listening else None}
        profile = one.machine.profile
        state = {"address": one.address, "prefix": profile.prefix, "gateway": profile.gateway, "up": one.up}
        return {**state, "interface": profile.interface}

    async def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it after the caller's last output was sent."""
        await asyncio.sleep(0.2)
        await work

    # ---- the lab's interface

    @property
    def control(self) -> Path:
        """The socket of the appliances' stand-ins and of the demo's `appliance` command."""
        return self._run / "control"

    def env(self) -> dict[str, str]:
        """The tool's environment."""
        return tool_env(self.folder, self.inventory)


_PATHS = {
    "tsadmin": "usr/local/bin/tsadmin",
    "ts_backup": "usr/local/bin/ts-backup",
    "backup_dir": "opt/threatstop/backup",
    "etc_dir": "opt/threatstop/etc",
    "log_dir": "var/log/threatstop",
    "cron_entry": "etc/cron.d/multidevice-core",
    "backup_cron": "etc/cron.d/tscm_backup",
    "hold_dir": "var/lib/tscm-migrate",
    "ssh_dir": "etc/ssh",
    "os_release": "etc/os-release",
    "boot_id": "proc/boot_id",
    "tmpfs": "dev/shm",
}


def write_inventory(folder: Path, machines: Mapping[str, EmbeddedMachine], port: int) -> None:
    """Write the three files to `folder`, and the public key to each appliance."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519", comment="tscm-lab")
    identity = folder / "client_key"
    key.write_private_key(identity)
    identity.chmod(0o600)
    key.write_public_key(identity.with_suffix(".pub"))
    lines = ['known_hosts = "known_hosts"', "", "[defaults]", 'user = "threatstop"']
    lines += [f"identity_file = {json.dumps(str(identity))}", "use_agent = false", f"port = {port}", ""]
    pinned = []
    for name, machine in machines.items():
        allowed = machine.host("home/threatstop/.ssh/authorized_keys")
        allowed.write_bytes(key.export_public_key())
        allowed.chmod(0o600)
        profile = machine.profile
        pinned += [f"[{profile.address}]:{port} {public}" for public in machine.public_keys()]
        lines += [f"[hosts.{name}]", f'address = "{profile.address}"', f'interface = "{profile.interface}"']
        lines += [f"[hosts.{name}.paths]"]
        lines += [f"{field} = {json.dumps(str(machine.host(path)))}" for field, path in _PATHS.items()] + [""]
    (folder / "known_hosts").write_text("\n".join(pinned) + "\n", "utf-8")
    (folder / "hosts.toml").write_text("\n".join(lines) + "\n", "utf-8")
