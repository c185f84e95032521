"""What all labs share: profiles of appliances, names, the command of the tool and its environment, free ports."""

import os
import socket
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

Name = Literal["old", "new"]
CHECKOUT = Path(__file__).resolve().parents[2]  # from here `python -m tscm_migrate` is imported
INVENTORY_NAMES = {"old": "tscm-old", "new": "tscm-new"}


@dataclass(frozen=True)
class Collision:
    """Two appliances wanted the same address; `at` is aware UTC in ISO form."""

    at: str
    address: str
    names: tuple[str, ...]


def tool_command(*args: str) -> list[str]:
    """Return the command that starts the tool in a lab: this interpreter, this checkout."""
    return [sys.executable, "-m", "tscm_migrate", *args]


def tool_env(folder: Path, inventory: Path) -> dict[str, str]:
    """Return the environment of the tool: state and configuration in the lab's folder, without agent and keyring."""
    ours = {
        "TSCM_INVENTORY": str(inventory),
        "HOME": str(folder / "workstation"),
        "XDG_STATE_HOME": str(folder / "workstation" / "state"),
        "XDG_CONFIG_HOME": str(folder / "workstation" / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in (str(CHECKOUT), *sys.path) if path),
    }
    keep = {"PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "COVERAGE_PROCESS_START"}
    return {**{name: value for name, value in os.environ.items() if name in keep}, **ours}


_GIVEN: set[int] = set()
_FIRST, _SPREAD, _TRIES = 12_000, 8_000, 2_000


def free_port(*addresses: str, also: int = 0) -> int:
    """Return a port that is free on all these addresses, with its neighbour `also`; never twice the same in a process.

    Below 32768: the system may give an ephemeral port to an outgoing connection before a server has bound it, and a
    client could then connect to itself.

    Args:
        addresses: default: 127.0.0.1.
        also: distance of a second port.

    Raises:
        OSError: no port is free.
    """
    start = _FIRST + (os.getpid() * 97) % _SPREAD  # parallel processes try different ports
    for port in range(start, start + _TRIES):
        if port not in _GIVEN and all(_is_free(one, port, port + also) for one in addresses or ("127.0.0.1",)):
            _GIVEN.add(port)
            return port
    raise OSError("no port is free")


def _is_free(address: str, *ports: int) -> bool:
    for port in set(ports):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


@dataclass(frozen=True)
class Device:
    """A firewall or DNS server that the appliance serves; an update takes `update_seconds`."""

    name: str
    kind: str = "asa"
    size_bytes: int = 4096  # of its policy file: random bytes
    update_seconds: float = 0.1


@dataclass(frozen=True)
class Profile:
    """One simulated appliance that behaves as documented. Times are in seconds, sizes in bytes."""

    PROGRAMS: ClassVar[tuple[str, ...]] = ("tscm_migrate.demo.guest.inside",)
    """Packages that are copied to the appliance; `main` of the last one is started."""

    name: str = "old"
    hostname: str = "tsclient"
    address: str = "10.1.1.43"
    prefix: int = 24
    gateway: str = "10.1.1.1"
    dns: tuple[str, ...] = ("10.1.1.1",)
    interface: str = "eth0"
    os_id: str = "ubuntu"
    os_version: str = "20.04"
    os_name: str = "Ubuntu 20.04.6 LTS"
    core_version: str = "1.50-01"
    devices: tuple[Device, ...] = ()
    log_bytes: int = 2048  # random bytes in the log folder: determine the size of an archive
    archives: int = 0  # existing backups, an hour apart, the newest an hour old
    extra_prompt: str | None = None  # an undocumented question of restore
    ts_update_seconds: float = 2.0
    boot_seconds: float = 1.0  # how long a reboot takes

    def with_(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def for_guest(self) -> dict[str, Any]:
        """Return the data for the programs on the appliance."""
        return asdict(self)


SOME_DEVICES = (
    Device("edge-asa", "asa", update_seconds=0.3),
    Device("branch-isr", "isr"),
    Device("dc-panos", "panos", size_bytes=65536),
    Device("dns-nios", "nios"),
)
OLD: dict[str, Any] = {"name": "old", "hostname": "tsclient", "devices": SOME_DEVICES, "archives": 1}
"""Fields of the appliance that is migrated: with devices and a backup."""
NEW: dict[str, Any] = {"name": "new", "hostname": "tsclient-new", "address": "10.1.1.50"}
"""Fields of the new appliance: fresh from the image, without devices."""
