"""The properties of an appliance that the vendor's documents leave open, and its faults, as data that tests vary."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tscm_migrate.demo import base as plain
from tscm_migrate.demo.guest import USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tscm_migrate.demo.guest import Guest

WORDINGS = ("documented", "term-prompt", "sentences", "spoken", "debian", "terse", "lines", "colour")
"""Names of the prompt wordings; the texts are in `guest/wording.py`."""

FAULTS: dict[str, str] = {
    "lies_exit0_without_archive": "backup prints success, exits 0 and makes no archive",
    "lies_exit1_with_archive": "backup makes a good archive and exits 1",
    "truncates_archive": "backup makes a truncated archive, and exits 0",
    "backup_fails": "backup prints the reason (the value, if it is a text) and exits with 1",
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
    "reboot_seconds": "a reboot takes this many seconds (done by the namespace lab)",
    "reboot_never": "after a reboot the appliance stays off (done by the namespace lab)",
    "reboot_keeps_address": "after a reboot it has its old address (done by the namespace lab)",
    "reboot_mute_seconds": "after a reboot sshd accepts and sends nothing for this many seconds (done by the namespace lab)",
}
"""All faults that a profile can have, with their effect; the value is True unless described otherwise."""


@dataclass(frozen=True)
class Device(plain.Device):
    """A device whose updates may fail.

    Args:
        fails: how many updates fail before one succeeds; -1 means every one. Survives backup and restore.
        asks: a question that the first update asks (a first login), or None.
    """

    fails: int = 0
    asks: str | None = None


@dataclass(frozen=True)
class Profile(plain.Profile):
    """An appliance with properties that the documents leave open, or that differ between two appliances.

    `faults` takes the names in `FAULTS`.
    """

    PROGRAMS: ClassVar[tuple[str, ...]] = (*plain.Profile.PROGRAMS, "tests.harness.guest")

    dhcp: bool = False
    # operating system
    login_shell: str = "/bin/bash"  # (namespace lab)
    sudo_password: str | None = None  # None: sudo needs none
    sudo_allowed: bool = True
    tsadmin_needs_sudo: bool = False  # tsadmin calls sudo itself, which then asks on the terminal
    disk_free: int | None = None  # free space below /opt as `df` shows it
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
    extra_prompt_in: Literal["backup", "restore"] = "restore"
    reboot_style: Literal["asks", "itself", "tells"] = "asks"
    network_dialogue: bool = False  # restore walks through the dialogue of `tsadmin network`
    upgrade_to: str | None = None  # TSCM-Core after an upgrade of the packages; None: no newer version
    upgrade_wants_reboot: bool = False
    list_command: bool = True  # whether `tsadmin list` exists
    # updates
    ts_update_delay: float = 0.0  # the cron entry is a shell that sleeps first
    ts_update_style: Literal["sh", "perl", "python"] = "sh"  # what `ps` shows before the script's path
    faults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS)
        if unknown or self.wording not in WORDINGS:
            raise ValueError(f"unknown faults {sorted(unknown)} or wording {self.wording!r}")
        if set(self.order) != {"list", "network", "warning", "ssh", "cron"}:
            raise ValueError(f"order must name every question once: {self.order}")

    def for_guest(self) -> dict[str, Any]:
        """Return the data for the programs on the appliance: everything except secrets."""
        data = super().for_guest()
        del data["sudo_password"], data["passphrase"]
        return data

    def customise(self, guest: Guest) -> None:
        """Write what differs from the documented appliance: encryption, network, cron entry, ts-update, package manager."""
        if self.encryption_configured is not None:
            state = {"encrypt": self.encryption_configured}
            secret = {"passphrase": self.passphrase} if self.encryption_configured else {}
            guest.path("state").write_text(json.dumps(state | secret), "utf-8")
        if self.dhcp:
            text = f"auto lo\niface lo inet loopback\n\nauto {self.interface}\niface {self.interface} inet dhcp\n"
            guest.path("interfaces").write_text(text, "utf-8")
        if self.ts_update_delay:
            entry = guest.path("cron_d") / "multidevice-core"
            delay = f" {USER} sleep {self.ts_update_delay:g}; ts-update "
            entry.write_text(entry.read_text("utf-8").replace(f" {USER} ts-update ", delay), "utf-8")
        for manager in ("apt-get",) if self.os_id in ("ubuntu", "debian") else ("dnf", "yum"):
            guest.script(manager, f'#!/bin/sh\nexec {guest.call} {manager} "$@"\n')
        if script := self._ts_update(guest):
            guest.script("ts-update", script)

    def _ts_update(self, guest: Guest) -> str | None:
        """Return a script that stays in the process list under its own path while it works; None: the documented one."""
        words = [guest.python, "-I", "-S", f"{guest.lib}/run.py", "ts-update-work"]
        perl = shutil.which("perl")
        if self.ts_update_style == "perl" and perl:
            return f"#!{perl}\nexit(system({', '.join(map(repr, words))}, @ARGV) >> 8);\n"
        if self.ts_update_style == "python":
            call = f"subprocess.call([*{words!r}, *sys.argv[1:]])"
            return f"#!{guest.python} -IS\nimport subprocess, sys\nraise SystemExit({call})\n"
        return None


UBUNTU_16 = {"os_id": "ubuntu", "os_version": "16.04", "os_name": "Ubuntu 16.04.7 LTS"}
UBUNTU_20 = {"os_id": "ubuntu", "os_version": "20.04", "os_name": "Ubuntu 20.04.6 LTS"}
RHEL_7 = {"os_id": "rhel", "os_version": "7.9", "os_name": "Red Hat Enterprise Linux Server 7.9 (Maipo)"}
RHEL_9 = {"os_id": "rhel", "os_version": "9.4", "os_name": "Red Hat Enterprise Linux 9.4 (Plow)"}


def old_profile(**changes: Any) -> Profile:
    """Return the appliance that is migrated: with devices, logs, and a backup."""
    return Profile(**{**plain.OLD, **changes})


def new_profile(**changes: Any) -> Profile:
    """Return the new appliance: fresh from the image, without devices."""
    return Profile(**{**plain.NEW, **changes})
