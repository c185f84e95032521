"""The properties of an appliance that the vendor's documents leave open, as data that labs vary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDINGS = ("documented", "term-prompt", "sentences", "spoken", "debian", "terse", "lines", "colour")
"""Names of the prompt wordings; the texts are in `guest/inside/wording.py`."""

FAULTS: dict[str, str] = {
    "lies_exit0_without_archive": "backup prints success, exits 0 and makes no archive",
    "lies_exit1_with_archive": "backup makes a good archive and exits 1",
    "truncates_archive": "backup makes a truncated archive, and exits 0",
    "backup_fails": "backup prints the reason (the value, if it is a text) and exits with `exit_error`",
    "hangs_backup": "backup prints nothing for this many seconds after its first line",
    "hangs_restore": "restore prints nothing for this many seconds after its first line",
    "restore_fails": "restore stops after half of the devices",
    "restore_skips_devices": "names of devices that restore reports and leaves out; exits 0",
    "restore_exit1": "restore succeeds and exits 1",
    "prints": "command (backup, restore, update) → lines that it prints at its end; its exit status is unchanged",
    "update_fails": "names of devices whose update always fails",
    "hides_archives": "restore finds no archive at all",
    "floods": "restore prints this many bytes of noise before its first prompt",
    "drips": "backup and restore print a line at this interval in seconds, and never end",
    "reboot_seconds": "a reboot takes this many seconds (done by the lab)",
    "reboot_never": "after a reboot the appliance stays off (done by the lab)",
    "reboot_keeps_address": "after a reboot it has its old address (done by the lab)",
    "reboot_mute_seconds": "after a reboot sshd accepts and sends nothing for this many seconds (done by the lab)",
}
"""All faults that a profile can have, with their effect; the value is True unless described otherwise."""


@dataclass(frozen=True)
class Device:
    """A firewall or DNS server that the appliance serves.

    Args:
        size_bytes: of its policy file; random bytes.
        update_seconds: how long `tsadmin update NAME` takes.
        fails: how many updates fail before one succeeds; -1 means every one. Survives backup and restore.
        asks: a question that the first update asks (a first login), or None.
    """

    name: str
    kind: str = "asa"
    size_bytes: int = 4096
    update_seconds: float = 0.1
    fails: int = 0
    asks: str | None = None


@dataclass(frozen=True)
class Profile:
    """One simulated appliance.

    The defaults are as documented; every field is a property that the documents leave open, or that differs between two
    appliances. Times are in seconds, sizes in bytes. `faults` takes the names in `FAULTS`.
    """

    name: str = "old"
    hostname: str = "tsclient"
    # network
    address: str = "10.1.1.43"
    prefix: int = 24
    gateway: str = "10.1.1.1"
    dns: tuple[str, ...] = ("10.1.1.1",)
    dhcp: bool = False
    interface: str = "eth0"
    # operating system
    os_id: str = "ubuntu"
    os_version: str = "20.04"
    os_name: str = "Ubuntu 20.04.6 LTS"
    core_version: str = "1.50-01"
    keyring_version: str = ""
    login_shell: str = "/bin/bash"
    sudo_password: str | None = None  # None: sudo needs none
    sudo_allowed: bool = True
    tsadmin_needs_sudo: bool = False  # tsadmin calls sudo itself, which then asks on the terminal
    # content
    devices: tuple[Device, ...] = ()
    log_bytes: int = 2048  # random bytes in the log folder: determine the size of an archive
    archives: int = 0  # existing backups, an hour apart, the newest an hour old
    disk_free: int | None = None  # free space below /opt as `df` shows it (if the lab supports it)
    clock_offset: float = 0.0  # difference of `date`
    missing: tuple[str, ...] = ()  # programs that are not installed: "rsync", … (namespace lab)
    # backup and restore
    encryption_configured: bool | None = None  # None: the first run asks
    passphrase: str = ""  # the configured passphrase
    asks_passphrase_always: bool = False  # configured or not, backup asks for the passphrase
    honours_passphrase_file: bool = True
    wording: str = "documented"
    order: tuple[str, ...] = ("warning", "list", "network", "ssh", "cron")  # or network first, …
    list_base: int = 1
    list_sort: Literal["newest", "oldest", "name", "shuffled"] = "newest"
    list_shows_links: bool = False
    list_doubles: bool = True  # an archive in the home folder and in the backup folder is listed twice
    extra_prompt: str | None = None  # an undocumented question
    extra_prompt_in: Literal["backup", "restore"] = "restore"
    reboot_style: Literal["asks", "itself", "tells"] = "asks"
    network_dialogue: bool = False  # restore walks through the dialogue of `tsadmin network`
    restarts_sshd: bool = True  # restored host keys show at once; else after the next reboot
    upgrade_to: str | None = None  # TSCM-Core after an upgrade of the packages; None: no newer version
    upgrade_wants_reboot: bool = False
    list_command: bool = True  # whether `tsadmin list` exists
    # updates
    ts_update_seconds: float = 2.0
    ts_update_delay: float = 0.0  # the cron entry is a shell that sleeps first
    ts_update_style: Literal["sh", "perl", "python"] = "sh"  # what `ps` shows before the script's path
    ts_update_argv: str = "--all"
    # exit codes
    exit_ok: int = 0
    exit_error: int = 1
    boot_seconds: float = 1.0  # how long a reboot takes
    faults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS)
        if unknown or self.wording not in WORDINGS:
            raise ValueError(f"unknown faults {sorted(unknown)} or wording {self.wording!r}")
        if set(self.order) != {"list", "network", "warning", "ssh", "cron"}:
            raise ValueError(f"order must name every question once: {self.order}")

    def with_(self, **changes: Any) -> Profile:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def for_guest(self) -> dict[str, Any]:
        """Return the data for the programs on the appliance: everything except secrets."""
        data = asdict(self)
        del data["sudo_password"], data["passphrase"]
        return data


UBUNTU_16 = {"os_id": "ubuntu", "os_version": "16.04", "os_name": "Ubuntu 16.04.7 LTS"}
UBUNTU_20 = {"os_id": "ubuntu", "os_version": "20.04", "os_name": "Ubuntu 20.04.6 LTS"}
RHEL_7 = {"os_id": "rhel", "os_version": "7.9", "os_name": "Red Hat Enterprise Linux Server 7.9 (Maipo)"}
RHEL_9 = {"os_id": "rhel", "os_version": "9.4", "os_name": "Red Hat Enterprise Linux 9.4 (Plow)"}

SOME_DEVICES = (
    Device("edge-asa", "asa", update_seconds=0.3),
    Device("branch-isr", "isr"),
    Device("dc-panos", "panos", size_bytes=65536),
    Device("dns-nios", "nios"),
)


def old_profile(**changes: Any) -> Profile:
    """Return the appliance that is migrated: with devices, logs, and a backup."""
    fields: dict[str, Any] = {"name": "old", "hostname": "tsclient", "devices": SOME_DEVICES, "archives": 1}
    return Profile(**{**fields, **changes})


def new_profile(**changes: Any) -> Profile:
    """Return the new appliance: fresh from the image, without devices."""
    fields: dict[str, Any] = {"name": "new", "hostname": "tsclient-new", "address": "10.1.1.50"}
    return Profile(**{**fields, **changes})
