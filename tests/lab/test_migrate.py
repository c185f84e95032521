"""Complete migrations between real OpenSSH hosts: the final state, and refusals without changes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.migrations import MIGRATE, all_output, device_files, keys_of, needed, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

PASSPHRASE = "Tr0ub4dor &3 'quoted' $HOME"
SUDO = "hunter2-of-the-lab"


def migrate(lab: NamespaceLab, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return lab.run_tool(*MIGRATE, "--yes", *options, env={"TSCM_PASSPHRASE": PASSPHRASE, **env}, timeout=400)


def entry_of(lab: NamespaceLab, name: str = "new") -> str:
    return lab.on(name, "stat -c '%U %a' /etc/cron.d/multidevice-core; cat /etc/cron.d/multidevice-core").stdout


@pytest.fixture
def watch_processes() -> Iterator[Any]:
    """Return a function that collects the command lines of all processes of the appliances during the test."""
    stop, threads, command_lines = threading.Event(), [], set[str]()

    def watch(lab: NamespaceLab) -> set[str]:
        def record() -> None:
            while not stop.wait(0.15):
                for name in ("old", "new"):
                    try:
                        command_lines.update(lab.on(name, "ps -ww -eo args=", timeout=5).stdout.splitlines())
                    except Exception:  # noqa: BLE001, S112 - it is off, or restarting
                        continue

        threads.append(threading.Thread(target=record, daemon=True))
        threads[-1].start()
        return command_lines

    yield watch
    stop.set()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(
    ("old", "options", "env"),
    [
        pytest.param(
            {"sudo_password": SUDO, "ts_update_delay": 2.0}, (), {"TSCM_SUDO_PASSWORD": SUDO}, id="encrypted-sudo"
        ),
        pytest.param(
            {"ts_update_style": "perl"}, ("--no-encrypt", "--no-restore-ssh", "--restore-cron"), {}, id="plain"
        ),
    ],
)
def test_a_migration_moves_devices_keys_and_address_safely(
    make_lab: MakeLab, watch_processes: Any, old: dict[str, Any], options: tuple[str, ...], env: dict[str, str]
) -> None:
    lab = make_lab(old, {"sudo_password": old.get("sudo_password")})
    before = {name: (device_files(lab, name), keys_of(lab, name)) for name in ("old", "new")}
    shown = lab.on("new", "cat /home/threatstop/.ssh/authorized_keys").stdout
    lab.on("old", "echo '# set by the operator of tscm-old' >> /etc/cron.d/multidevice-core")
    cron = {name: entry_of(lab, name) for name in ("old", "new")}
    processes = watch_processes(lab)
    result = migrate(lab, *options, **env)
    assert result.returncode == 0, all_output(result)

    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert device_files(lab, "new") == before["old"][0]
    assert keys_of(lab, "new") == before["new" if "--no-restore-ssh" in options else "old"][1]
    listing = lab.on("new", "stat -c '%U:%G %a %F %n' /opt/threatstop/backup/threatstop_backup_*").stdout
    assert re.fullmatch(r"threatstop:threatstop 664 regular file \S+\n", listing), listing
    assert entry_of(lab) == cron["old" if "--restore-cron" in options else "new"]
    leftovers = lab.on("new", "ls -A /dev/shm /tmp; cd /var/lib/tscm-migrate && stat -c '%n %a %U' . *").stdout
    assert leftovers.split() == ["/dev/shm:", "/tmp:", ".", "700", "root", "own-settings.tar", "600", "root"]
    assert lab.on("new", "cat /home/threatstop/.ssh/authorized_keys").stdout == shown

    assert_no_update_ran(lab)
    for secret in filter(None, (PASSPHRASE, SUDO)):
        assert not [line for line in processes if secret in line]
        assert_secret_nowhere(lab, secret, result)
    assert any("tsadmin restore" in line for line in processes), "processes were recorded while the secrets were in use"
    assert re.search(r"^  downtime +[1-9][\d.]* (?:s|min)\b", result.stdout, re.MULTILINE), all_output(result)


def run_journal(lab: NamespaceLab) -> list[dict[str, Any]]:
    (path,) = (lab.folder / "workstation").rglob("journal.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_no_update_ran(lab: NamespaceLab) -> None:
    """Assert that no ts-update ran on the old appliance between the end of the draining and the power-off."""
    drained = next(
        datetime.fromisoformat(entry["t"])
        for entry in run_journal(lab)
        if entry["event"] == "step-done" and entry["data"]["step"] == "hold-updates"
    )
    for entry in lab.journal("old"):
        if entry["event"].startswith("ts-update"):
            assert datetime.fromisoformat(entry["t"]) < drained, entry


def assert_secret_nowhere(lab: NamespaceLab, secret: str, result: subprocess.CompletedProcess[str]) -> None:
    """Assert that a secret is not in the output, in the workstation's files, or in files of the new appliance."""
    assert secret not in result.stdout + result.stderr
    state = lab.folder / "workstation"
    hits = [str(path) for path in state.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert hits == []
    pattern = lab.folder / "pattern"
    pattern.write_text(secret)
    places = ("dev/shm", "tmp", "home", "opt/threatstop", "var/log/threatstop", "var/lib/tscm-migrate")
    folders = [str(lab.live_root_of("new") / place) for place in places]
    matches = subprocess.run(
        ["grep", "-rlFsf", str(pattern), "-D", "skip", *folders],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert list(matches.stdout.splitlines()) == []


@pytest.mark.parametrize(
    ("old", "new", "options", "name"),
    [
        ({"core_version": "1.46-09"}, {}, (), "core-too-old"),
        ({"core_version": "1.5"}, {}, (), "core-too-old"),
        ({}, {"os_version": "16.04"}, (), "os-differs"),
        ({}, {"core_version": "1.47-01"}, (), "new-is-older"),
        ({"disk_free": 200_000}, {}, (), "disk-full"),
        ({}, {"disk_free": 200_000}, (), "disk-full"),
        ({}, {}, ("--interface", "eth7"), "interface-missing"),
        ({}, {"sudo_allowed": False}, (), "no-sudo"),
    ],
)
def test_preflight_refuses_with_a_remedy_and_without_changes(
    make_lab: MakeLab, old: dict[str, Any], new: dict[str, Any], options: tuple[str, ...], name: str
) -> None:
    lab = make_lab(old, new)
    before = [state_of(lab, host) for host in ("old", "new")]
    assert "multidevice-core" in before[0]
    result = migrate(lab, *options)
    assert result.returncode == 3, all_output(result)
    assert f"[error] {name}:" in result.stdout, all_output(result)
    lines = result.stdout.splitlines()
    reasons = [number for number, line in enumerate(lines) if f"[error] {name}:" in line]
    assert "what to do:" in lines[reasons[0] + 1], all_output(result)  # printed once for several reasons in a row
    assert [state_of(lab, host) for host in ("old", "new")] == before


def test_the_same_host_as_old_and_new_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab()
    before = state_of(lab, "old")
    for other in ("tscm-old", "threatstop@10.1.1.43"):
        result = lab.run_tool("migrate", "--from", "tscm-old", "--to", other, "--yes", "--no-encrypt")
        assert (result.returncode, "are the same host" in result.stderr) == (2, True), all_output(result)
    assert state_of(lab, "old") == before


def test_preflight_refuses_a_wrong_clock(make_lab: MakeLab) -> None:
    lab = make_lab()
    ahead = "#!/bin/sh\nexec /usr/bin/date -d '+400 seconds' \"$@\"\n"
    lab.on(
        "new", f"printf '%s' {json.dumps(ahead)} > /usr/local/bin/date; sed -i '1!s/\\\\n/\\n/g' /usr/local/bin/date"
    )
    (lab.root_of("new") / "usr/local/bin/date").write_text(ahead)
    lab.on("new", "chmod 755 /usr/local/bin/date")
    result = migrate(lab)
    assert (result.returncode, "[error] clock-off:" in result.stdout) == (3, True), all_output(result)


def test_an_unreachable_appliance_is_refused_without_changes(make_lab: MakeLab) -> None:
    lab = make_lab()
    before = state_of(lab, "old")
    lab.power_off("new")
    result = migrate(lab)
    assert (result.returncode, "[error] unreachable:" in result.stdout) == (3, True), all_output(result)
    assert state_of(lab, "old") == before


def test_a_wrong_host_key_stops_with_both_fingerprints(make_lab: MakeLab) -> None:
    lab = make_lab()
    known = lab.inventory.with_name("known_hosts")
    known.write_text(known.read_text().replace("10.1.1.43", "10.1.1.x").replace("10.1.1.50", "10.1.1.43"))
    before = state_of(lab, "old")
    result = migrate(lab)
    assert result.returncode == 12, all_output(result)
    assert len(set(re.findall(r"SHA256:[A-Za-z0-9+/]{43}", result.stderr))) >= 2
    assert state_of(lab, "old") == before


def test_devices_on_the_new_appliance_are_only_a_warning(make_lab: MakeLab) -> None:
    from tests.harness.profile import Device

    lab = make_lab({}, {"devices": (Device("edge-asa"), Device("left-over"))})
    result = migrate(lab)
    assert result.returncode == 0, all_output(result)
    assert "[warning] devices-on-new:" in result.stdout
    assert "edge-asa" in next(line for line in result.stdout.splitlines() if "devices-on-new" in line)


def test_an_unknown_prompt_of_the_backup_undoes_all_changes(make_lab: MakeLab) -> None:
    question = "Send anonymous usage data to the vendor"
    lab = make_lab({"extra_prompt": question, "extra_prompt_in": "backup"})
    before = state_of(lab, "old")
    result = migrate(lab)
    assert result.returncode == 3, all_output(result)
    assert question in result.stderr
    assert "all changes were undone" in result.stdout
    answers = [entry for entry in lab.journal("old") if question in json.dumps(entry) and entry.get("answer")]
    assert answers == []
    assert state_of(lab, "old") == before


def test_an_unknown_prompt_of_the_restore_stops_and_reports_the_state(make_lab: MakeLab) -> None:
    question = "Shall the log archive be deleted"
    lab = make_lab({}, {"extra_prompt": question, "order": ("list", "network", "warning", "ssh", "cron")})
    result = migrate(lab, "--no-rehearsal")
    assert result.returncode == 5, all_output(result)
    assert question in result.stderr
    tail = result.stdout[-1500:] + result.stderr
    assert "PAUSED" in tail
    assert "tscm-migrate resume" in tail
    assert "tscm-migrate rollback" in tail
    assert "prompts learn tscm-new" in result.stderr  # a resume would stop at the same question
    shown = [line for line in result.stdout.splitlines() if line.lstrip().startswith("| ")]
    assert question in shown[-1], all_output(result)
    assert len(shown) > 1, all_output(result)  # the lines before the question
    assert PASSPHRASE not in result.stdout


def test_an_operator_at_a_terminal_answers_the_unknown_prompt(make_lab: MakeLab) -> None:
    question = "Is this the primary site"
    lab = make_lab({"extra_prompt": question, "extra_prompt_in": "backup"})
    screen = Screen(lab, *MIGRATE, env={"TSCM_PASSPHRASE": PASSPHRASE})
    try:
        screen.expect("is replaced by")  # with the estimate, before the question
        screen.expect("Migrate tscm-old to tscm-new now?")
        screen.type("y")
        screen.expect("answer> ")
        screen.type("y")
        screen.expect("remember? [Y/n] ")
        screen.type("")
        screen.expect("kind> ")
        screen.type("")
        assert screen.wait(150) == 0, screen.text
    finally:
        screen.close()
    assert question in screen.text
    dialect = (lab.workstation.inventory.parent / "dialect.toml").read_text(encoding="utf-8")
    assert f'text = "{question}[y/n]:"' in dialect
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}


class Screen:
    """The tool on a pseudo terminal."""

    def __init__(self, lab: NamespaceLab, *args: str, env: dict[str, str]) -> None:
        self.text = ""
        master, slave = pty.openpty()
        self.master = master
        command = [*lab.workstation.inside(), *_tool(*args)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env={**lab.env(), **env}, start_new_session=True
        )
        os.close(slave)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                return
            if not data:
                return
            self.text += data.decode(errors="replace")

    def expect(self, wanted: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while wanted not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def type(self, line: str) -> None:
        os.write(self.master, line.encode() + b"\n")

    def wait(self, timeout: float) -> int:
        status = self.process.wait(timeout)
        self.reader.join(60)
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        os.close(self.master)


def _tool(*args: str) -> list[str]:
    from tscm_migrate.demo.base import tool_command

    return tool_command(*args)


def test_a_dry_run_shows_all_steps_and_changes_nothing(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab()
    before = [state_of(lab, host) for host in ("old", "new")]
    result = migrate(lab, "--dry-run")
    assert result.returncode == 0, all_output(result)
    for words in (
        "disable /etc/cron.d/multidevice-core",
        "tsadmin backup",
        "power off",
        "tsadmin restore",
        "tsadmin update",
    ):
        assert words in result.stdout, all_output(result)
    assert [state_of(lab, host) for host in ("old", "new")] == before
    assert not list(lab.folder.rglob("journal.jsonl.lock"))
