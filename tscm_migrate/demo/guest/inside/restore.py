"""`tsadmin restore`: a dialogue, in two phases with a reboot between where the address has to change."""

from __future__ import annotations

import hashlib
import tarfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from . import archive, ask, devices, network
from .backup import given
from .base import ProgramExit, address_of, device_names
from .network import Net

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .base import Machine, Options

OURS = ("multidevice-core", "tscm_backup")


def run(machine: Machine, options: Options) -> int:
    """Ask all questions in this appliance's order, then restore."""
    if options.bypass_netconf and options.force_apply_netconf:
        machine.fail("--bypass_netconf and --force_apply_netconf exclude each other", 2)
    machine.want_root()
    machine.info(machine.wording.message("restore"))
    machine.hang("hangs_restore")
    machine.drip()
    flood = int(machine.faults.get("floods", 0))
    for _ in range(flood // 80):
        machine.write("." * 79 + "\n")
    flow = Flow(machine, options)
    for number, question in enumerate(machine.profile["order"]):
        getattr(flow, question)()
        if number == 0 and machine.profile["extra_prompt"] and machine.profile["extra_prompt_in"] == "restore":
            ask.yes(machine, machine.profile["extra_prompt"])
    flow.apply()
    return int(machine.profile["exit_error" if machine.faults.get("restore_exit1") else "exit_ok"])


def index(machine: Machine) -> list[Path]:
    """Return the archives that restore finds: in the home and backup folders, with the right owner and mode."""
    if machine.faults.get("hides_archives"):
        return []
    profile = machine.profile
    found: list[Path] = []
    for folder in (machine.path("backup"), machine.path("home")):
        paths = sorted(folder.iterdir()) if folder.is_dir() else ()
        found += [path for path in paths if _is_listed(machine, path) and _readable(machine, path)]
    if not profile["list_doubles"]:
        found = list({path.name: path for path in reversed(found)}.values())
    keys: dict[str, Any] = {
        "newest": lambda p: p.name,
        "oldest": lambda p: p.name,
        "name": str,
        "shuffled": lambda p: hashlib.sha256(str(p.name).encode()).digest(),
    }
    return sorted(found, key=keys[profile["list_sort"]], reverse=profile["list_sort"] == "newest")


def _is_listed(machine: Machine, path: Path) -> bool:
    if archive.NAME.fullmatch(path.name) and not path.is_symlink():
        return True
    return bool(archive.LATEST.fullmatch(path.name) and machine.profile["list_shows_links"] and path.exists())


def _readable(machine: Machine, path: Path) -> bool:
    about = path.stat()
    rightly_owned = machine.owner is None or not machine.privileged or about.st_uid == machine.owner[0]
    return about.st_mode & 0o440 == 0o440 and rightly_owned


class Flow:
    """One restore: the choices and answers so far."""

    def __init__(self, machine: Machine, options: Options) -> None:
        self.machine = machine
        self.options = options
        self.own, _ = address_of(machine, options.interface)
        self.found = index(machine)
        self.chosen: Path | None = None
        self.passphrase: str | None = None
        self.with_ssh = self.with_cron = False
        if not self.found:
            machine.fail("No backups found")

    # ---- the questions, each by its name in Profile.order

    def list(self) -> None:
        """Show the archives and let one be chosen."""
        machine, base = self.machine, self.machine.profile["list_base"]
        machine.busy("Indexing backups")
        if machine.wording.term_prompt:
            at = ask.number(machine, [path.name for path in self.found], base=base)
            self._choose(machine.fail("No valid selection, giving up.") if at is None else at)
            return
        machine.info(machine.wording.title)
        for number, path in enumerate(self.found, base):
            about = path.stat()
            date = datetime.fromtimestamp(about.st_mtime, UTC).strftime("%Y-%m-%d %H:%M")
            values = {"n": number, "name": path.name, "path": path, "size": about.st_size, "date": date}
            machine.write(machine.wording.item.format(**values) + "\n")
        last = base + len(self.found) - 1
        for _ in range(ask.TRIES):
            answer = ask.line(machine, "choose", first=str(base), last=str(last)).strip()
            if answer.isascii() and answer.isdigit() and base <= int(answer) <= last:
                self._choose(int(answer) - base)
                return
            machine.error(machine.wording.message("not_listed"))
        machine.fail("No valid selection, giving up.")

    def _choose(self, at: int) -> None:
        self.chosen = self.found[at]
        self.machine.note("chosen", archive=self.chosen.name, path=str(self.chosen))

    def network(self) -> None:
        """Compare the addresses; if they differ, save those of the backup and end with a reboot."""
        machine, options = self.machine, self.options
        if options.bypass_netconf:
            machine.warn(machine.wording.message("bypass"))
            return
        if check := machine.wording.message("check"):
            machine.info(check)
        with self.opened() as tar:
            saved = archive.manifest_of(tar)["network"]
        theirs = saved["address"]
        if theirs == self.own and not options.force_apply_netconf:
            machine.info(f"Network configuration is up to date ({self.own})")
            return
        if theirs != self.own and not ask.yes(machine, "network", own=self.own, theirs=theirs):
            machine.fail("Restore cancelled: the network configuration differs from the backup")
        if machine.profile["network_dialogue"]:
            network.dialogue(machine, options.interface, self.own)
        else:
            dns = tuple(saved.get("dns", ()))
            net = Net(options.interface, False, theirs, saved["prefix"], saved.get("gateway", ""), dns)  # noqa: FBT003
            network.apply(machine, net, self.own)
        if theirs != self.own:
            self.reboot()

    def reboot(self) -> NoReturn:
        """End the first phase as this appliance does."""
        machine, style = self.machine, self.machine.profile["reboot_style"]
        machine.note("first-phase-done", style=style)
        if style == "itself":
            machine.warn("The system is going to reboot. Run the restore again afterwards.")
        elif style == "tells" or not ask.yes(machine, "reboot"):
            machine.info(machine.wording.message("please_reboot"))
            raise ProgramExit(machine.profile["exit_ok"])
        machine.info("Rebooting ...")
        done = machine.sudo("reboot")
        if done.returncode:
            machine.fail(f"Could not reboot: {done.stderr.strip()}")
        time.sleep(60)
        machine.fail("The reboot did not happen")

    def warning(self) -> None:
        """Warn once if devices exist."""
        if device_names(self.machine) and not ask.yes(self.machine, "warning"):
            self.machine.fail("Restore cancelled.")

    def ssh(self) -> None:
        """Ask about the host keys."""
        self.with_ssh = ask.yes(self.machine, "ssh")

    def cron(self) -> None:
        """Ask about the cron files."""
        self.with_cron = ask.yes(self.machine, "cron")

    # ---- the work

    @contextmanager
    def opened(self) -> Iterator[tarfile.TarFile]:
        """Open the chosen archive (the newest before one is chosen); ask for its passphrase when it is first needed."""
        machine = self.machine
        path = self.chosen or max(self.found, key=lambda p: p.resolve().name)
        if path.name.endswith(".gpg") and self.passphrase is None:
            self.passphrase = given(machine, self.options)
            if self.passphrase is None:
                self.passphrase = ask.secret(machine, "passphrase")
        try:
            with archive.opened(machine, path, self.passphrase) as tar:
                yield tar
        except archive.WrongPassphraseError:
            machine.fail(machine.wording.message("not_opened"))
        except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
            machine.fail(f"The backup is damaged: {type(error).__name__}")

    def apply(self) -> None:
        """Restore everything: devices, then cron, then host keys."""
        machine = self.machine
        machine.note("restore-start", archive=str(self.chosen), ssh=self.with_ssh, cron=self.with_cron)
        with self.opened() as tar:
            failed = devices.restore(machine, tar)
            for path in archive.extract(tar, archive.FOLDERS["log"], machine.path("log")):
                machine.own(path, 0o644)
            if self.with_cron:
                self._cron(tar)
            if self.with_ssh:
                written = archive.extract(tar, "etc/ssh", machine.path("ssh"))
                machine.info(f"SSH configuration restored ({len(written)} files)")
        if self.with_ssh and machine.profile["restarts_sshd"]:
            machine.sudo("restart_ssh")
        machine.note("restore-end", ssh=self.with_ssh, cron=self.with_cron, failed=failed)
        if failed:
            machine.warn(f"There were issues during the restore: {', '.join(failed)}")
        machine.info(machine.wording.message("restored"))

    def _cron(self, tar: tarfile.TarFile) -> None:
        """Replace the appliance's own entries as a set: an entry that the archive lacks is removed."""
        folder = self.machine.path("cron_d")
        for name in OURS:
            (folder / name).unlink(missing_ok=True)
        for path in archive.extract(tar, "etc/cron.d", folder):
            path.chmod(0o644)
        self.machine.info("Cron configuration restored")
