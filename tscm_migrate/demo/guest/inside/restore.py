"""`tsadmin restore`: a dialogue, in two phases with a reboot between where the address has to change."""

from __future__ import annotations

import tarfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from . import archive
from .base import Machine, Net, Options, ProgramExit, address_of, apply_network, device_label, device_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = ("multidevice-core", "tscm_backup")


class TsadminRestore:
    """One restore: the choices and answers so far."""

    def __init__(self, machine: Machine, options: Options) -> None:
        self.machine = machine
        self.options = options
        self.own = ""
        self.archives: list[Path] = []
        self.chosen: Path | None = None
        self.passphrase: str | None = None
        self.with_ssh = self.with_cron = False

    def run(self) -> int:
        """Ask all questions, then restore; return the exit status."""
        machine, options = self.machine, self.options
        if options.bypass_netconf and options.force_apply_netconf:
            machine.fail("--bypass_netconf and --force_apply_netconf exclude each other", 2)
        self.begin()
        self.own, _ = address_of(machine, options.interface)
        self.archives = self.index()
        if not self.archives:
            machine.fail("No backups found")
        for number, question in enumerate(self.order()):
            getattr(self, question)()
            if number == 0 and machine.profile["extra_prompt"]:
                machine.ask_yes(machine.profile["extra_prompt"])
        self.apply()
        return 0

    def begin(self) -> None:
        """Write the first line, as root."""
        self.machine.want_root()
        self.machine.info(self.machine.text("restore"))

    def order(self) -> tuple[str, ...]:
        """Return the names of the questions, in their order."""
        return ("warning", "list", "network", "ssh", "cron")

    def index(self) -> list[Path]:
        """Return the archives in the home and backup folders, the newest first."""
        folders = [self.machine.path(name) for name in ("backup", "home")]
        paths = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return sorted((path for path in paths if self.is_listed(path)), key=lambda path: path.name, reverse=True)

    def is_listed(self, path: Path) -> bool:
        """Return whether it is an archive with the right mode."""
        named = archive.NAME.fullmatch(path.name) is not None and not path.is_symlink()
        return named and path.stat().st_mode & 0o440 == 0o440

    # ---- the questions, each by its name in `order`

    def list(self) -> None:
        """Show the archives and let one be chosen."""
        self.chosen = self.archives[self.machine.ask_number(self.archives)]
        self.machine.note("chosen", archive=self.chosen.name, path=str(self.chosen))

    def network(self) -> None:
        """Compare the addresses; if they differ, save those of the backup and end with a reboot."""
        machine, options = self.machine, self.options
        if options.bypass_netconf:
            machine.warn(machine.text("bypass"))
            return
        if check := machine.text("check"):
            machine.info(check)
        with self.opened() as tar:
            saved = archive.manifest_of(tar)["network"]
        theirs = saved["address"]
        if theirs == self.own and not options.force_apply_netconf:
            machine.info(f"Network configuration is up to date ({self.own})")
            return
        if theirs != self.own and not machine.ask_yes("network", own=self.own, theirs=theirs):
            machine.fail("Restore cancelled: the network configuration differs from the backup")
        self.save_network(saved)
        if theirs != self.own:
            self.reboot()

    def save_network(self, saved: dict[str, Any]) -> None:
        """Save the backup's settings for the next boot."""
        values = (saved["address"], saved["prefix"], saved.get("gateway", ""), tuple(saved.get("dns", ())))
        apply_network(self.machine, Net(self.options.interface, *values), self.own)

    def reboot(self) -> NoReturn:
        """End the first phase: ask for a reboot."""
        if not self.machine.ask_yes("reboot"):
            self.end_without_reboot()
        self.restart()

    def end_without_reboot(self) -> NoReturn:
        """Ask the operator to reboot later."""
        self.machine.info(self.machine.text("please_reboot"))
        raise ProgramExit(0)

    def restart(self) -> NoReturn:
        """Reboot the appliance."""
        machine = self.machine
        machine.info("Rebooting ...")
        done = machine.sudo("reboot")
        if done.returncode:
            machine.fail(f"Could not reboot: {done.stderr.strip()}")
        time.sleep(60)
        machine.fail("The reboot did not happen")

    def warning(self) -> None:
        """Warn once if devices exist."""
        if device_names(self.machine) and not self.machine.ask_yes("warning"):
            self.machine.fail("Restore cancelled.")

    def ssh(self) -> None:
        """Ask about the host keys."""
        self.with_ssh = self.machine.ask_yes("ssh")

    def cron(self) -> None:
        """Ask about the cron files."""
        self.with_cron = self.machine.ask_yes("cron")

    # ---- the work

    @contextmanager
    def opened(self) -> Iterator[tarfile.TarFile]:
        """Open the chosen archive (the newest before one is chosen); ask for its passphrase when it is first needed."""
        machine = self.machine
        path = self.chosen or max(self.archives, key=lambda p: p.resolve().name)
        if path.name.endswith(".gpg") and self.passphrase is None:
            self.passphrase = machine.given_passphrase(self.options)
            if self.passphrase is None:
                self.passphrase = machine.ask_secret("passphrase")
        try:
            with archive.opened(machine, path, self.passphrase) as tar:
                yield tar
        except archive.WrongPassphraseError:
            machine.fail(machine.text("not_opened"))
        except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
            machine.fail(f"The backup is damaged: {type(error).__name__}")

    def apply(self) -> None:
        """Restore everything: devices, then cron, then host keys."""
        machine = self.machine
        machine.note("restore-start", archive=str(self.chosen), ssh=self.with_ssh, cron=self.with_cron)
        with self.opened() as tar:
            self.restore_devices(tar)
            for path in archive.extract(tar, archive.FOLDERS["log"], machine.path("log")):
                machine.own(path, 0o644)
            if self.with_cron:
                self._cron(tar)
            if self.with_ssh:
                written = archive.extract(tar, "etc/ssh", machine.path("ssh"))
                machine.info(f"SSH configuration restored ({len(written)} files)")
        if self.with_ssh:
            machine.sudo("restart_ssh")
        machine.note("restore-end", ssh=self.with_ssh, cron=self.with_cron)
        self.end()

    def restore_devices(self, tar: tarfile.TarFile) -> None:
        """Overwrite the appliance's devices with the archive's."""
        for name in names_in(tar):
            restore_device(self.machine, tar, name)

    def end(self) -> None:
        """Write the last line."""
        self.machine.info(self.machine.text("restored"))

    def _cron(self, tar: tarfile.TarFile) -> None:
        """Replace the appliance's own entries as a set: an entry that the archive lacks is removed."""
        folder = self.machine.path("cron_d")
        for name in OURS:
            (folder / name).unlink(missing_ok=True)
        for path in archive.extract(tar, "etc/cron.d", folder):
            path.chmod(0o644)
        self.machine.info("Cron configuration restored")


def names_in(tar: tarfile.TarFile) -> list[str]:
    """Return the devices in an archive."""
    prefix = archive.FOLDERS["devices"] + "/"
    return sorted({m.name[len(prefix) :].split("/")[0] for m in tar.getmembers() if m.name.startswith(prefix)})


def restore_device(machine: Machine, tar: tarfile.TarFile, name: str) -> None:
    """Overwrite one device of this appliance with the archive's."""
    for path in archive.extract(tar, archive.FOLDERS["devices"] + "/", machine.path("devices"), only=name):
        machine.own(path, 0o640)
    folder = machine.path("devices") / name
    if folder.is_dir():
        machine.own(folder, 0o750)
    machine.info(machine.text("restoring", name=name, label=device_label(machine, name)))
