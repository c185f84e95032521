"""Frozen data that every room speaks of: hosts, paths, archives, secrets.

Nothing here does I/O. What the vendor's documents leave open is a field with the documented value as its default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Secret:
    """A value that must not be shown: blank in repr, str and format; `reveal` is the only way out.

    `source` says where it came from ("TSCM_PASSPHRASE", "keyring", "prompt", "file:…") and may be shown.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "given") -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret(from {self.source})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(("Secret", self.source))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is never pickled: resolve it where it is used")


@dataclass(frozen=True)
class Paths:
    """Where an appliance keeps its things; the defaults are the documented ones."""

    tsadmin: str = "tsadmin"
    ts_backup: str = "/usr/local/bin/ts-backup"
    backup_dir: str = "/opt/threatstop/backup"
    etc_dir: str = "/opt/threatstop/etc"
    device_glob: str = "devices/*"  # below etc_dir: where device configurations may be; not documented
    ts_update: str = "ts-update"  # the program's name, as a process shows it
    log_dir: str = "/var/log/threatstop"
    cron_entry: str = "/etc/cron.d/multidevice-core"
    backup_cron: str = "/etc/cron.d/tscm_backup"
    hold_dir: str = "/var/lib/tscm-migrate"  # ours: where a held cron entry waits; root-owned, not read by cron
    ssh_dir: str = "/etc/ssh"
    os_release: str = "/etc/os-release"
    boot_id: str = "/proc/sys/kernel/random/boot_id"
    tmpfs: str = "/dev/shm"  # noqa: S108 - a memory file system on the appliance, for a 0600 passphrase file


@dataclass(frozen=True)
class Commands:
    """How an appliance is told to go down or restart; run by `sh -c` with sudo."""

    poweroff: str = "shutdown -h now || systemctl poweroff || poweroff"
    reboot: str = "shutdown -r now || systemctl reboot || reboot"
    # makes sshd read its host keys again, after a restore has replaced them
    reload_ssh: str = 'systemctl reload ssh || systemctl reload sshd || kill -HUP "$(cat /run/sshd.pid)"'


@dataclass(frozen=True)
class Host:
    """One appliance as the inventory names it."""

    name: str
    address: str
    user: str = "threatstop"
    port: int = 22
    identity_file: Path | None = None
    use_agent: bool = True
    gateway: Host | None = None
    fast_transport: bool = True  # False: paramiko's own packets and buffers, see ssh/accelerated/README.md
    interface: str | None = None  # None: eth0 where it exists, else refuse and say which there are
    known_hosts: Path | None = None
    paths: Paths = field(default_factory=Paths)
    commands: Commands = field(default_factory=Commands)
    devices: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()  # devices that are updated first after a migration, in this order
    moved_to: str = ""  # the host that has taken its place: commands to this one are refused
    dialect: Path | None = None  # where what a person has taught is kept; it need not be there
    tags: tuple[str, ...] = ()
    # Where secrets come from: "", "prompt", "keyring", "env:VAR", "command:…" or "none"; see tscm_migrate.secrets.
    sudo_password_source: str = ""
    login_password_source: str = ""
    passphrase_source: str = ""
    given: frozenset[str] = frozenset()  # keys that the inventory (or the spec) says; silence lets ~/.ssh/config speak


@dataclass(frozen=True)
class Hooks:
    """Commands on the workstation that let a hypervisor do the switching; None: there is none."""

    snapshot: str | None = None
    offline: str | None = None
    online: str | None = None


@dataclass(frozen=True)
class Policy:
    """Limits that a site may set in `[policy]`; all in seconds but `device_jobs`."""

    drain_timeout: float = 1800.0
    revert_after: float = 1800.0  # until an isolated old appliance comes back by itself
    reboot_timeout: float = 900.0
    device_timeout: float = 900.0
    tsadmin_silence: float = 900.0  # of a backup or a restore: it may unpack for long and say nothing
    tsadmin_timeout: float = 4 * 3600.0
    device_jobs: int = 4  # devices that are updated at the same time
    zone: str = ""  # the time zone of change windows; "": the workstation's


@dataclass(frozen=True)
class Archive:
    """A backup archive on an appliance.

    `name` is the bare file name (validated: see `archive.names`), `folder` where it lies, `size` in bytes,
    `sha256` 64 hex digits or "" while it is not known, `taken` when it was made in seconds of the epoch, 0 where only
    its name tells it (see `archive.names`).
    """

    name: str
    folder: str
    size: int
    sha256: str = ""
    taken: float = field(default=0.0, compare=False)

    @property
    def path(self) -> str:
        """Absolute path on the appliance."""
        return f"{self.folder}/{self.name}"

    @property
    def encrypted(self) -> bool:
        """Whether the name says that gpg has sealed it."""
        return self.name.endswith(".gpg")
