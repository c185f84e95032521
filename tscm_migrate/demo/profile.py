"""The properties of a simulated appliance, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from tscm_migrate.demo.guest import Guest


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

    def customise(self, guest: Guest) -> None:
        """Change the files of an appliance after its installation; one that is as documented needs no change."""


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
