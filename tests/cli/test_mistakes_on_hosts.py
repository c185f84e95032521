"""The messages for frequent mistakes with hosts: the complete output of the real program with real SSH servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support import snapshots
from tests.support.embedded_lab import needs_embedded_lab
from tscm_migrate.demo.base import tool_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.embedded import EmbeddedLab
    from tscm_migrate.demo.base import Name

pytestmark = [
    pytest.mark.slow,
    needs_embedded_lab,
]
PAIR = ("--from", "tscm-old", "--to", "tscm-new")
PHRASE = "the right one"


class Workstation:
    """Runs the tool as on a workstation that reaches the two appliances of a lab."""

    def __init__(self, lab: EmbeddedLab, phrase: str = PHRASE) -> None:
        self.lab = lab
        self.env = {**lab.env(), "TSCM_PASSPHRASE": phrase}
        self.names = {str(lab.folder): "LAB", f":{lab.port}": ":PORT", f"port {lab.port}": "port PORT"}

    def tool(self, *words: str, inventory: Path | None = None, **env: str) -> str:
        more = {"TSCM_INVENTORY": str(inventory)} if inventory else {}
        done = subprocess.run(
            tool_command(*words), env={**self.env, **more, **env}, cwd=self.lab.folder / "workstation",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110, check=False,
        )  # fmt: skip
        return snapshots.page(words, done.stdout, done.returncode, self.names)

    def migrate(self, *more: str, **env: str) -> str:
        return self.tool("migrate", *PAIR, "--yes", *more, **env)

    def check(self, *more: str, **env: str) -> str:
        return self.tool("plan", "--checks-only", *PAIR, *more, **env)

    def no_archives(self) -> None:
        for path in self.lab.guest("old").path("backup").glob("*.tsbak*"):
            path.unlink()

    @contextlib.contextmanager
    def inventory(self, change: Callable[[str], str], known: str | None = None) -> Iterator[Path]:
        """Yield a changed copy of the inventory, optionally with other pinned keys."""
        folder = self.lab.folder / "workstation" / "site"
        folder.mkdir()
        (folder / "hosts.toml").write_text(change(self.lab.inventory.read_text()))
        pinned = (self.lab.folder / "known_hosts").read_text()
        (folder / "known_hosts").write_text(pinned if known is None else known)
        try:
            yield folder / "hosts.toml"
        finally:
            shutil.rmtree(folder)

    @contextlib.contextmanager
    def appliance(self, name: Name, **changes: Any) -> Iterator[None]:
        """Change the profile of an appliance within the block."""
        guest = self.lab.guest(name)
        before = {}
        for path in (guest.host(f"{guest.lib}/config.json"), self.lab.folder / name / "lib" / "shims.json"):
            before[path] = path.read_text()
            config = json.loads(before[path])
            inner = config.get("profile", config)
            inner.update({key: value for key, value in changes.items() if key in inner})
            path.write_text(json.dumps(config))
        try:
            yield
        finally:
            for path, text in before.items():
                path.write_text(text)


@pytest.fixture(scope="module")
def workstation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    old = old_profile(encryption_configured=True, passphrase=PHRASE, ts_update_seconds=0.2)
    with embedded.EmbeddedLab(tmp_path_factory.mktemp("lab"), old, new_profile(boot_seconds=0.2)) as lab:
        yield Workstation(lab)


def wrong_host_name(workstation: Workstation) -> str:
    with workstation.inventory(lambda text: text.replace('"127.0.1.50"', '"tscm-new.invalid"')) as file:
        return workstation.tool("plan", "--checks-only", *PAIR, inventory=file)


def wrong_key(workstation: Workstation) -> str:
    import asyncssh

    key = workstation.lab.folder / "workstation" / "other_key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    key.chmod(0o600)
    with workstation.inventory(lambda text: re.sub("identity_file = .*", f'identity_file = "{key}"', text)) as file:
        return workstation.tool("plan", "--checks-only", *PAIR, inventory=file)


def unpinned_host(workstation: Workstation) -> str:
    with workstation.inventory(str, known="") as file:
        return workstation.tool("plan", "--checks-only", *PAIR, inventory=file)


def changed_host_key(workstation: Workstation) -> str:
    pinned = (workstation.lab.folder / "known_hosts").read_text().replace("127.0.1.43", "X")
    with workstation.inventory(str, known=pinned.replace("127.0.1.50", "127.0.1.43")) as file:
        return workstation.tool("plan", "--checks-only", *PAIR, inventory=file)


def wrong_passphrase(workstation: Workstation) -> str:
    """Migrate with a wrong passphrase for an existing archive."""
    made = workstation.lab.on("old", "tsadmin backup </dev/null", root=False)
    assert made.returncode == 0, made.stdout + made.stderr
    try:
        return workstation.migrate("--archive", "latest", TSCM_PASSPHRASE="not the right one")
    finally:
        workstation.no_archives()


def full_disk(workstation: Workstation) -> str:
    with workstation.appliance("new", disk_free=1 << 20):
        return workstation.check()


def old_version(workstation: Workstation) -> str:
    with workstation.appliance("old", core_version="1.39-02"):
        return workstation.check()


def other_base_os(workstation: Workstation) -> str:
    release = workstation.lab.guest("new").path("os_release")
    before = release.read_text()
    release.write_text(before.replace("20.04", "16.04"))
    try:
        return workstation.check()
    finally:
        release.write_text(before)


def no_sudo(workstation: Workstation) -> str:
    with workstation.appliance("new", sudo_allowed=False):
        return workstation.check()


def no_such_archive(workstation: Workstation) -> str:
    return workstation.migrate("--archive", "threatstop_backup_2001-01-01_00_00_00.tsbak.gpg")


def no_backup_at_all(workstation: Workstation) -> str:
    return workstation.migrate("--archive", "latest")


def no_passphrase(workstation: Workstation) -> str:
    del workstation.env["TSCM_PASSPHRASE"]
    try:
        return workstation.migrate()
    finally:
        workstation.env["TSCM_PASSPHRASE"] = PHRASE


def host_that_is_off(workstation: Workstation) -> str:
    workstation.lab.power_off("new")
    try:
        return workstation.check()
    finally:
        workstation.lab.power_on("new")


def unknown_prompt(workstation: Workstation) -> str:
    with workstation.appliance("old", extra_prompt="Is the moon full?", extra_prompt_in="backup"):
        return workstation.migrate()


def silent_server(workstation: Workstation) -> str:
    """Pin the key of a server that accepts the connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        workstation.names[f"port {port}"], workstation.names[f":{port}"] = "port PORT", ":PORT"
        return workstation.tool("host", "pin", f"threatstop@127.0.0.1:{port}")


ON_HOSTS = (
    wrong_host_name, wrong_key, unpinned_host, changed_host_key, wrong_passphrase, full_disk, old_version,
    other_base_os, no_sudo, no_such_archive, no_backup_at_all, no_passphrase,
    host_that_is_off, unknown_prompt, silent_server,
)  # fmt: skip


@pytest.mark.parametrize("mistake", ON_HOSTS, ids=lambda f: f.__name__.replace("_", "-"))
def test_output_for_mistake_on_hosts_matches_snapshot(
    mistake: Callable[[Workstation], str], workstation: Workstation
) -> None:
    workstation.no_archives()
    snapshots.compare(mistake.__name__.replace("_", "-"), mistake(workstation))


@pytest.mark.slow
def test_output_for_locked_interrupted_and_damaged_run_matches_snapshot(workstation: Workstation) -> None:
    update = workstation.lab.guest("old").path("bin") / "ts-update"
    words = ("migrate", *PAIR, "--yes")
    with workstation.appliance("old", ts_update_seconds=60.0):
        workstation.lab.on("old", f"setsid {update} >/dev/null 2>&1 </dev/null &", root=False)
        process = subprocess.Popen(
            tool_command(*words), env=workstation.env, cwd=workstation.lab.folder / "workstation", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        output = read_until(process, "draining: ts-update")
        workstation.names[os.uname().nodename] = "WORKSTATION"
        snapshots.compare("locked-by-another-run", workstation.migrate())
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        shown = snapshots.page(
            words, output[output.index("· Pause updates") :] + rest, process.returncode, workstation.names
        )
        snapshots.compare("ctrl-c", shown)
    run = max(workstation.lab.folder.glob("workstation/state/**/journal.jsonl"))
    lines = run.read_text().splitlines(keepends=True)
    run.write_text("".join([lines[0], lines[1].replace("s", "z", 3), *lines[2:]]))
    snapshots.compare("damaged-journal", workstation.tool("resume", run.parent.name, "--yes"))


def read_until(process: subprocess.Popen[str], words: str, limit: float = 60) -> str:
    output, end = "", time.monotonic() + limit
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if words in line:
            return output
        assert time.monotonic() < end, output
    raise AssertionError(output)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_output_for_a_repeated_migration_matches_snapshot(tmp_path: Path) -> None:
    with embedded.EmbeddedLab(tmp_path, old_profile(ts_update_seconds=0.2), new_profile(boot_seconds=0.2)) as lab:
        workstation = Workstation(lab)
        assert workstation.migrate().endswith("(exit 0)\n")
        snapshots.compare("again-after-success", workstation.migrate())
