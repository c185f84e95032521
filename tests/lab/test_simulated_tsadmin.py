"""The simulated tsadmin on a real terminal: its questions, and its effects on the disk."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.guest.wording import QUESTIONS
from tests.harness.guest.wording import WORDINGS as TEXTS
from tests.harness.profile import WORDINGS, Device, Profile, new_profile, old_profile
from tests.support.terminal import Terminal
from tscm_migrate.demo import guest as guests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

PASSPHRASE = "correct horse 🐎"
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


class SimulatedAppliance:
    """A simulated appliance below a folder, with an `ip` command that shows a given address."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        self.profile = profile
        self.root = folder / "root"
        self.guest = guests.install(self.root, profile, inside=str(self.root), lib=str(folder / "lib"))
        profile.customise(self.guest)
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.rebooted = folder / "rebooted"
        self._tool("shutdown", f"echo $@ >> {self.rebooted}; kill -9 $PPID")
        self._tool("systemctl", f"echo $@ >> {folder}/systemctl")
        self.set_address(profile.address)
        self.backups = self.guest.path("backup")
        self.terminals: list[Terminal] = []
        for kind in ("ed25519", "rsa"):
            (self.guest.path("ssh") / f"ssh_host_{kind}_key").write_text(f"{kind} of {profile.name}")

    def _tool(self, name: str, script: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def set_address(self, address: str) -> None:
        interface = self.profile.interface
        line = f"2: {interface}    inet {address}/24 scope global {interface}"
        self._tool("ip", f'case "$*" in *"dev {interface}") echo "{line}" ;; *) exit 1 ;; esac')

    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.tools}:{self.guest.path('bin')}:{os.environ['PATH']}", "LANG": "C.UTF-8"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, check=False, env=self.env(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
        )

    def at_terminal(self, *command: str) -> Terminal:
        self.terminals.append(Terminal(list(command), self.env()))
        return self.terminals[-1]

    def prompt(self, question: str) -> str:
        """Return the text in this wording that distinguishes the prompt from others."""
        wording = TEXTS[self.profile.wording]
        if wording.term_prompt and question == "choose":
            return "\n> ("

        return re.split(r"[{\[]", wording.texts.get(question, QUESTIONS[question]))[0]

    def word(self, *, yes: bool) -> str:
        word = "yes" if yes else "no"
        return word if TEXTS[self.profile.wording].strict else word[0]

    def archives(self) -> list[Path]:
        return sorted(path for path in self.backups.glob("threatstop_backup_*") if path.stat().st_size > 500)

    def devices(self) -> dict[str, bytes]:
        folder = self.guest.path("devices")
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.guest.journal() if event["event"] == name]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Any]:
    made: list[SimulatedAppliance] = []

    def make(profile: Profile) -> SimulatedAppliance:
        folder = tmp_path / f"bench{len(made)}"
        folder.mkdir()
        made.append(SimulatedAppliance(folder, profile))
        return made[-1]

    yield make
    for one in made:
        for terminal in one.terminals:
            terminal.close()


def backup(one: SimulatedAppliance, *, encrypt: bool) -> Path:
    """Make the first backup, answer its questions, and return the new archive."""
    before = set(one.archives())
    terminal = one.at_terminal("tsadmin", "backup")
    terminal.wait_for(one.prompt("encrypt"))
    terminal.type(one.word(yes=encrypt))
    if encrypt:
        terminal.wait_for(one.prompt("new_passphrase"))
        terminal.type(PASSPHRASE)
        terminal.wait_for(one.prompt("again"))
        terminal.type(PASSPHRASE)
    assert terminal.finish() == 0, terminal.shown
    assert PASSPHRASE not in terminal.shown
    (made,) = set(one.archives()) - before
    return made


def unpack(archive: Path, passphrase: str | None = None) -> tarfile.TarFile:
    data = archive.read_bytes()
    if passphrase is not None:
        home = archive.with_name("gpghome")
        home.mkdir(mode=0o700, exist_ok=True)
        command = [
            "gpg",
            "--homedir",
            str(home),
            "--batch",
            "--no-autostart",
            "--pinentry-mode",
            "loopback",
            "--passphrase-fd",
            "0",
            "-d",
        ]
        done = subprocess.run(
            [*command, str(archive)], input=passphrase.encode() + b"\n", capture_output=True, check=True, timeout=100
        )
        data = done.stdout
    return tarfile.open(fileobj=io.BytesIO(data), mode="r:gz")


def begin_restore(one: SimulatedAppliance, archive: Path, *, encrypted: bool) -> Terminal:
    """Start a restore, choose the archive, and type its passphrase."""
    terminal = one.at_terminal("tsadmin", "restore")
    choose(one, terminal, archive.name)
    if encrypted:
        terminal.wait_for(one.prompt("passphrase"))
        terminal.type(PASSPHRASE)
    return terminal


def restore_to_reboot(one: SimulatedAppliance, archive: Path, *, encrypted: bool) -> None:
    """Run the first phase of a restore: choose the archive, confirm the network settings and the reboot."""
    terminal = begin_restore(one, archive, encrypted=encrypted)
    terminal.wait_for(one.prompt("network"))
    terminal.type(one.word(yes=True))
    terminal.wait_for(one.prompt("reboot"))
    terminal.type(one.word(yes=True))
    terminal.finish()


def choose(one: SimulatedAppliance, terminal: Terminal, name: str, *, warned: bool = False) -> None:
    """Choose an archive by its name; with `warned`, confirm the warning about devices first."""
    if warned:
        terminal.wait_for(one.prompt("warning"))
        terminal.type("y")
    terminal.wait_for(one.prompt("choose"))
    (line,) = [text for text in terminal.shown.splitlines() if name in text][:1]
    number = re.search(r"\d+", line)
    assert number is not None, line
    terminal.type(number[0])


def restore_rest(one: SimulatedAppliance, archive: Path, *, encrypted: bool, ssh: bool, cron: bool) -> int:
    """Run the second phase of a restore, and return the exit status."""
    terminal = begin_restore(one, archive, encrypted=encrypted)
    terminal.wait_for(one.prompt("ssh"))
    terminal.type(one.word(yes=ssh))
    terminal.wait_for(one.prompt("cron"))
    terminal.type(one.word(yes=cron))
    return terminal.finish()


def _matrix() -> Iterator[Any]:
    """Yield each wording with both list bases, encrypted or not; one of each wording is not marked slow."""
    for number, wording in enumerate(WORDINGS):
        for base, encrypt in ((0, False), (0, True), (1, False), (1, True)):
            slow = [] if (base, encrypt) == (number % 2, number % 3 > 0) else [pytest.mark.slow]
            yield pytest.param(wording, base, encrypt, marks=slow, id=f"{wording}-{base}-{encrypt}")


@needs_gpg
@pytest.mark.parametrize(("wording", "base", "encrypt"), list(_matrix()))
def test_a_backup_restored_in_two_phases_brings_the_devices(
    bench: Any, wording: str, base: int, *, encrypt: bool
) -> None:
    old = bench(old_profile(wording=wording))
    new = bench(new_profile(wording=wording, list_base=base))
    archive = backup(old, encrypt=encrypt)
    assert archive.name.endswith(".gpg") == encrypt
    shutil.copy(archive, new.guest.path("home"))
    (new.guest.path("home") / archive.name).chmod(0o664)

    restore_to_reboot(new, archive, encrypted=encrypt)
    assert new.rebooted.read_text().split() == ["-r", "now"]
    assert new.devices() == {}
    saved = new.guest.saved_net()
    assert (saved.address, saved.prefix, saved.gateway, saved.dns) == ("10.1.1.43", 24, "10.1.1.1", ("10.1.1.1",))

    new.set_address("10.1.1.43")
    assert restore_rest(new, archive, encrypted=encrypt, ssh=True, cron=False) == 0
    assert new.devices() == old.devices()
    assert old.devices()
    assert (new.guest.path("ssh") / "ssh_host_rsa_key").read_text() == "rsa of old"


@needs_gpg
def test_an_archive_contains_the_configuration_of_the_appliance(bench: Any) -> None:
    old = bench(old_profile())
    with unpack(backup(old, encrypt=True), PASSPHRASE) as tar:
        names = set(tar.getnames())
        manifest = json.load(tar.extractfile("manifest.json"))
    assert {
        "opt/threatstop/etc/devices/edge-asa/device.json",
        "opt/threatstop/etc/devices/edge-asa/policy.dat",
        "var/log/threatstop/ts-backup.log",
        "etc/cron.d/multidevice-core",
        "etc/ssh/ssh_host_ed25519_key",
        "etc/network/interfaces",
    } <= names
    assert manifest["network"]["address"] == "10.1.1.43"
    assert manifest["updates_running"] == 0


def test_a_backup_updates_the_latest_link_and_asks_only_once(bench: Any) -> None:
    old = bench(old_profile(archives=0))
    first = backup(old, encrypt=False)
    done = old.run("ts-backup")
    assert done.returncode == 0, done.stdout
    second = old.archives()[-1]
    assert second != first
    assert (old.backups / "threatstop_latest.tsbak").readlink() == second
    assert [event["question"] for event in old.events("asked")] == ["encrypt"]


@needs_gpg
@pytest.mark.parametrize("honours", [True, False])
def test_a_passphrase_file_is_used_if_the_appliance_supports_it(bench: Any, tmp_path: Path, *, honours: bool) -> None:
    old = bench(old_profile(honours_passphrase_file=honours, encryption_configured=True))
    file = tmp_path / "phrase"
    file.write_text(PASSPHRASE + "\n")
    done = old.run("tsadmin", "backup", f"--gpg_passphrase_file={file}")
    assert (done.returncode == 0) == honours, done.stdout
    assert PASSPHRASE not in json.dumps(old.guest.journal())
    if honours:
        with unpack(old.archives()[-1], PASSPHRASE) as tar:
            assert "manifest.json" in tar.getnames()


@needs_gpg
def test_a_restore_with_a_wrong_passphrase_changes_nothing(bench: Any) -> None:
    old = bench(old_profile(archives=0))
    archive = backup(old, encrypt=True)
    before = old.devices()
    terminal = old.at_terminal("tsadmin", "restore")
    choose(old, terminal, archive.name, warned=True)
    terminal.wait_for(old.prompt("passphrase"))
    terminal.type("wrong")
    assert terminal.finish() == 1
    assert "[ERROR] : Unable to decrypt backup" in terminal.shown
    assert old.devices() == before
    assert old.events("restore-start") == []


def test_existing_devices_cause_a_warning_and_no_stops_the_restore(bench: Any) -> None:
    old = bench(old_profile(archives=0))
    backup(old, encrypt=False)
    before = old.devices()
    terminal = old.at_terminal("tsadmin", "restore")
    terminal.wait_for(old.prompt("warning"))
    assert "[WARN ] : This TSCM already has devices setup:\r\n  branch-isr (Cisco ISR)\r\n" in terminal.shown
    terminal.type("n")
    assert terminal.finish() == 1
    assert old.devices() == before
    assert [event["question"] for event in old.events("asked")].count("warning") == 1


def test_an_archive_is_listed_only_if_the_group_can_read_it(bench: Any) -> None:
    old = bench(old_profile(archives=2, devices=()))
    hidden, shown = sorted(old.backups.glob("threatstop_backup_*"))
    hidden.chmod(0o600)
    terminal = old.at_terminal("tsadmin", "restore")
    terminal.wait_for(old.prompt("choose"))
    assert shown.name in terminal.shown
    assert hidden.name not in terminal.shown


def test_the_list_shows_duplicates_and_links_if_the_profile_says_so(bench: Any) -> None:
    old = bench(old_profile(archives=1, devices=(), list_shows_links=True, list_doubles=True))
    (archive,) = old.backups.glob("threatstop_backup_*")
    shutil.copy2(archive, old.guest.path("home"))
    terminal = old.at_terminal("tsadmin", "restore")
    terminal.wait_for(old.prompt("choose"))
    assert terminal.shown.count(archive.name) == 2
    assert terminal.shown.count("threatstop_latest") == 1


@pytest.mark.parametrize("style", ["asks", "itself", "tells"])
def test_the_first_phase_reboots_as_the_profile_says(bench: Any, style: str) -> None:
    old, new = bench(old_profile(archives=0)), bench(new_profile(reboot_style=style))
    archive = backup(old, encrypt=False)
    shutil.copy2(archive, new.backups)
    terminal = new.at_terminal("tsadmin", "restore")
    choose(new, terminal, archive.name)
    terminal.wait_for(new.prompt("network"))
    terminal.type("y")
    if style == "asks":
        terminal.wait_for(new.prompt("reboot"))
        terminal.type("y")
    terminal.finish()
    assert new.rebooted.exists() == (style != "tells")
    assert new.guest.saved_net().address == "10.1.1.43"


def test_the_network_dialogue_asks_for_each_setting(bench: Any) -> None:
    new = bench(new_profile())
    terminal = new.at_terminal("tsadmin", "network")
    for prompt, answer in [
        ("Use DHCP[y/n]: ", "n"),
        ("IP Address: ", "172.16.2.100"),
        ("Subnet Mask: ", "255.255.0.0"),
        ("Gateway: ", "172.16.0.1"),
        ("DNS Server: ", "172.16.0.2"),
        ("DNS Server: ", ""),
        ("Apply settings[y/n]: ", "y"),
    ]:
        terminal.wait_for(prompt)
        terminal.type(answer)
    assert terminal.finish() == 0
    assert "Adding: IP Address '172.16.2.100'" in terminal.shown
    saved = new.guest.saved_net()
    assert (saved.address, saved.prefix, saved.dns) == ("172.16.2.100", 16, ("172.16.0.2",))


def test_cron_files_are_replaced_as_a_set_if_confirmed(bench: Any) -> None:
    old = bench(old_profile(archives=0))
    cron = old.guest.path("cron_d")
    entry_text = (cron / "multidevice-core").read_text()
    (cron / "multidevice-core").unlink()
    archive = backup(old, encrypt=False)
    (cron / "multidevice-core").write_text(entry_text)
    for with_cron in (False, True):
        terminal = old.at_terminal("tsadmin", "restore")
        choose(old, terminal, archive.name, warned=True)
        for question, yes in (("ssh", False), ("cron", with_cron)):
            terminal.wait_for(old.prompt(question))
            terminal.type(old.word(yes=yes))
        assert terminal.finish() == 0
        assert (cron / "multidevice-core").exists() == (not with_cron)


def test_the_questions_come_in_the_order_of_the_profile(bench: Any) -> None:
    old = bench(old_profile(archives=0, order=("network", "warning", "cron", "ssh", "list")))
    archive = backup(old, encrypt=False)
    terminal = old.at_terminal("tsadmin", "restore")
    for question in ("warning", "cron", "ssh"):
        terminal.wait_for(old.prompt(question))
        terminal.type("y")
    choose(old, terminal, archive.name)
    assert terminal.finish() == 0


def test_a_device_update_fails_as_often_as_the_profile_says(bench: Any) -> None:
    old = bench(old_profile(devices=(Device("flaky", fails=1), Device("dead", fails=-1), Device("good"))))
    tried = [old.run("tsadmin", "update", name).returncode for name in ("flaky", "flaky", "dead", "dead", "good", "no")]
    assert tried == [1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("style", ["sh", "perl", "python"])
def test_a_running_update_is_in_ps_and_in_the_manifest(bench: Any, style: str) -> None:
    old = bench(old_profile(ts_update_style=style, ts_update_seconds=300, encryption_configured=False, archives=0))
    script = str(old.guest.path("bin") / "ts-update")
    with subprocess.Popen([script, "--all"], env=old.env(), start_new_session=True) as update:
        try:
            shown, deadline = "", time.monotonic() + 90
            while script not in shown and time.monotonic() < deadline:  # the interpreter takes a moment to start
                shown = old.run("ps", "-p", str(update.pid), "-o", "args=").stdout
            assert f"{script} --all" in shown
            assert old.run("tsadmin", "backup").returncode == 0
            with unpack(old.archives()[-1]) as tar:
                assert json.load(tar.extractfile("manifest.json"))["updates_running"] >= 1
        finally:
            os.killpg(update.pid, 15)
            update.wait(60)


@pytest.mark.parametrize(
    ("fault", "status", "archives"),
    [("lies_exit0_without_archive", 0, 0), ("lies_exit1_with_archive", 1, 1), ("backup_fails", 1, 0)],
)
def test_a_backup_can_report_a_wrong_status(bench: Any, fault: str, status: int, archives: int) -> None:
    old = bench(old_profile(archives=0, encryption_configured=False, faults={fault: True}))
    assert old.run("tsadmin", "backup").returncode == status
    assert len(old.archives()) == archives


def test_tsadmin_without_a_terminal_fails_without_questions(bench: Any) -> None:
    old = bench(old_profile(archives=1))
    for command in ("backup", "restore"):
        done = old.run("tsadmin", command)
        assert done.returncode == 1
        assert "No terminal" in done.stdout


def test_versions_are_printed_as_documented_and_list_can_be_missing(bench: Any) -> None:
    old = bench(old_profile(list_command=False, core_version="1.47-02"))
    shown = old.run("tsadmin", "version", "--all").stdout
    assert shown.splitlines()[0] == "[INFO ] : ThreatSTOP Versions:"
    assert "  TSCM-Core          1.47-02" in shown
    assert old.run("tsadmin", "list").returncode == 2


def test_a_missing_interface_stops_a_backup(bench: Any) -> None:
    old = bench(old_profile(interface="ens192", encryption_configured=False, archives=0))
    assert old.run("tsadmin", "backup").returncode == 1
    assert old.run("tsadmin", "backup", "--interface=ens192").returncode == 0
