"""Immutable data shared by all packages: Host, Paths, Archive, Secret.

Nothing here does I/O. The defaults are the values of the vendor's documents.
"""

from dataclasses import dataclass, field
from pathlib import Path


class Secret:
    """A value that must not be shown: redacted in repr, str and format; call `reveal` to get it.

    `source` is where it comes from ("TSCM_PASSPHRASE", "keyring", "prompt", "file:…") and may be shown.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "given") -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the value, for the call that needs it."""
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
    """Paths on an appliance; the defaults are the documented ones."""

    tsadmin: str = "tsadmin"
    ts_backup: str = "/usr/local/bin/ts-backup"
    backup_dir: str = "/opt/threatstop/backup"
    etc_dir: str = "/opt/threatstop/etc"
    device_glob: str = "devices/*"  # below etc_dir: possible places of device configurations; not documented
    ts_update: str = "ts-update"  # the program's name in the process list
    log_dir: str = "/var/log/threatstop"
    cron_entry: str = "/etc/cron.d/multidevice-core"
    backup_cron: str = "/etc/cron.d/tscm_backup"
    hold_dir: str = "/var/lib/tscm-migrate"  # of this tool: has disabled cron entries; owned by root, not read by cron
    ssh_dir: str = "/etc/ssh"
    os_release: str = "/etc/os-release"
    boot_id: str = "/proc/sys/kernel/random/boot_id"
    tmpfs: str = "/dev/shm"  # noqa: S108 - a memory file system on the appliance, for a 0600 passphrase file


@dataclass(frozen=True)
class Commands:
    """Commands that power off or reboot an appliance; run by `sh -c` with sudo."""

    poweroff: str = "shutdown -h now || systemctl poweroff || poweroff"
    reboot: str = "shutdown -r now || systemctl reboot || reboot"
    # makes sshd read its host keys again after a restore
    reload_ssh: str = 'systemctl reload ssh || systemctl reload sshd || kill -HUP "$(cat /run/sshd.pid)"'


@dataclass(frozen=True)
class Host:
    """One appliance of the inventory."""

    name: str
    address: str
    user: str = "threatstop"
    port: int = 22
    identity_file: Path | None = None
    use_agent: bool = True
    gateway: "Host | None" = None
    fast_transport: bool = True  # False: paramiko's own packets and buffers, see ssh/accelerated/README.md
    interface: str | None = None  # None: eth0 if it exists, else refuse and list the interfaces
    known_hosts: Path | None = None
    paths: Paths = field(default_factory=Paths)
    commands: Commands = field(default_factory=Commands)
    devices: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()  # devices to update first after a migration, in this order
    moved_to: str = ""  # the host that has replaced it: commands to this host are refused
    dialect: Path | None = None  # the file of learned answers; need not exist
    tags: tuple[str, ...] = ()
    # Sources of secrets: "", "prompt", "keyring", "env:VAR", "command:…" or "none"; see tscm_migrate.secrets.
    sudo_password_source: str = ""
    login_password_source: str = ""
    passphrase_source: str = ""
    given: frozenset[str] = frozenset()  # keys set by the user; for others ~/.ssh/config applies

    @property
    def endpoint(self) -> str:
        """Where it is reached: address and port, and its jump hosts; a private address repeats at each site."""
        return f"{self.address}_{self.port}" + (f"_by_{self.gateway.endpoint}" if self.gateway else "")

    def ssh(self, command: str = "", *, terminal: bool = False) -> str:
        """Return the command line with which an operator logs in, or runs a command there."""
        options = [*(["-t"] if terminal else []), *([f"-p {self.port}"] if self.port != 22 else [])]
        return " ".join(["ssh", *options, f"{self.user}@{self.address}", *([command] if command else [])])


@dataclass(frozen=True)
class Hooks:
    """Commands on the workstation that make a hypervisor switch an appliance; None: not configured."""

    snapshot: str | None = None
    offline: str | None = None
    online: str | None = None


@dataclass(frozen=True)
class Policy:
    """Limits set in `[policy]`, in seconds except `device_jobs` and `zone`."""

    drain_timeout: float = 1800.0
    revert_after: float = 1800.0  # until an isolated old appliance returns to the network by itself
    reboot_timeout: float = 900.0
    device_timeout: float = 900.0
    tsadmin_silence: float = 900.0  # of a backup or restore, which may print nothing for long
    tsadmin_timeout: float = 4 * 3600.0
    device_jobs: int = 4  # devices updated at the same time
    zone: str = ""  # the time zone of change windows; "" for the workstation's


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
        """Return the absolute path on the appliance."""
        return f"{self.folder}/{self.name}"

    @property
    def encrypted(self) -> bool:
        """Return whether its name says that it is encrypted."""
        return self.name.endswith(".gpg")
