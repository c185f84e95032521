"""The commands `init`, `doctor` and `secret` in separate processes, with a real sshd."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.terminal import Terminal
from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


TOOL = [sys.executable, "-m", "tscm_migrate"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
    return {
        **keep,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def run(env: dict[str, str], *args: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOOL, *args], env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        cwd=cwd or env["HOME"],
    )  # fmt: skip


def test_doctor_without_inventory_names_the_next_command(env: dict[str, str]) -> None:
    done = run(env, "doctor")
    assert done.returncode == 0, done.stderr
    assert "fix: tscm-migrate init" in done.stdout
    assert "ok       workstation: python" in done.stdout


def test_doctor_reports_an_unreachable_host_and_exits_with_4(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text('[hosts.gone]\naddress = "127.0.0.1"\nport = 1\n', encoding="utf-8")
    done = run(env, "doctor", "--inventory", str(file), "--json")
    assert done.returncode == 4
    findings = {(one["where"], one["name"]): one for one in json.loads(done.stdout)}
    assert findings["gone", "ssh.unreachable"]["fix"]
    assert run(env, "doctor", "--inventory", str(file), "--offline").returncode == 0


def run_init(env: dict[str, str], file: Path, *answers: str) -> Terminal:
    """Start `init` and type these answers to its questions, in this order."""
    terminal = Terminal([*TOOL, "init", "--inventory", str(file)], env)
    questions = ("address of the old appliance", "address of the new appliance", "user to log in as [threatstop]")
    for question, answer in zip(questions, answers, strict=False):
        terminal.wait_for(question)
        terminal.type(answer)
    terminal.wait_for("next:", limit=40)
    terminal.wait_for("tscm-migrate doctor")  # may be on the next line
    return terminal


def test_init_asks_and_writes_an_inventory(env: dict[str, str], tmp_path: Path) -> None:
    terminal = run_init(env, tmp_path / "site.toml", "127.0.0.1", "127.0.0.2", "")
    assert terminal.finish() == 4  # no server with a pinned key answers there
    text = (tmp_path / "site.toml").read_text(encoding="utf-8")
    assert 'address = "127.0.0.1"' in text
    assert 'user = "threatstop"' in text


def test_init_does_not_ask_for_the_user_if_both_addresses_contain_it(env: dict[str, str], tmp_path: Path) -> None:
    terminal = run_init(env, tmp_path / "site.toml", "ann@127.0.0.1", "bob@127.0.0.2")
    assert terminal.finish() == 4
    assert "user to log in" not in terminal.shown
    text = (tmp_path / "site.toml").read_text(encoding="utf-8")
    assert [f'user = "{name}"' in text for name in ("ann", "bob")] == [True, True]


@pytest.mark.slow
@needs_embedded_lab
def test_init_with_all_options_asks_nothing_and_doctor_passes(env: dict[str, str], tmp_path: Path) -> None:
    with embedded.EmbeddedLab(tmp_path / "lab", old_profile(), new_profile()) as lab:
        words = ["init", "--identity-file", str(lab.folder / "client_key")]
        for name, address in (("old", "127.0.1.43"), ("new", "127.0.1.50")):
            key = lab.root_of(name) / "etc/ssh/ssh_host_ed25519_key.pub"  # type: ignore[arg-type]
            blob = base64.b64decode(key.read_text().split()[1])
            fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
            words += [f"--{name}", f"threatstop@{address}:{lab.port}", f"--fingerprint-{name}", fingerprint]
        done = run(env, *words)
        checked = run(env, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "next: tscm-migrate plan --checks-only --from tscm-old --to tscm-new"
    findings = {(one["where"], one["name"]): one["severity"] for one in json.loads(checked.stdout)}
    for host in ("tscm-old", "tscm-new"):
        assert [findings[host, name] for name in ("login", "sudo", "tsadmin", "disk", "clock")] == ["ok"] * 5
    assert checked.returncode == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("init",), "add --old ADDRESS"),
        (("init", "--old", "10.0.0.300", "--new", "10.0.0.2"), "not an IP address"),
        (("init", "--old", "10.0.0.2", "--new", "root@10.0.0.2:22"), "both appliances are at 10.0.0.2"),
        (("secret", "set", "passfrase:x"), "did you mean 'passphrase'"),
        (("secret", "set", "sudo:missing"), "no host 'missing'"),
    ],
)
def test_invalid_argument_is_refused_and_writes_no_inventory(
    env: dict[str, str], args: tuple[str, ...], words: str
) -> None:
    done = run(env, *args)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list((__import__("pathlib").Path(env["HOME"])).rglob("hosts.toml"))


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_printed_commands_can_be_copied_with_any_folder_name(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "Bob's site; touch owned"
    folder.mkdir()
    (folder / "a key").write_text("nonsense", encoding="utf-8")
    (folder / "a key").chmod(0o644)
    words = ("--old", "127.0.0.1:1", "--new", "127.0.0.2:1", "--identity-file", str(folder / "a key"))
    done = run(env, "init", *words, "--inventory", str(folder / "hosts.toml"))
    command = done.stdout.splitlines()[-1].removeprefix("next: tscm-migrate ")
    argv = ["sh", "-c", f"{shlex.join(TOOL)} {command} --offline", "sh"]
    checked = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "hosts.toml: 2 hosts" in checked.stdout, checked.stdout + checked.stderr
    fix = next(line for line in checked.stdout.splitlines() if "chmod 600" in line).partition("fix: ")[2]
    subprocess.run(["sh", "-c", fix], cwd=tmp_path, check=True, timeout=60)
    assert stat.S_IMODE((folder / "a key").stat().st_mode) == 0o600
    (folder / "a key").unlink()
    gone = run(env, "doctor", "--local", "--inventory", str(folder / "hosts.toml")).stdout
    create = next(line for line in gone.splitlines() if "ssh-keygen" in line).partition("fix: ")[2]
    subprocess.run(["sh", "-c", f"{create} -N ''"], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert (folder / "a key.pub").is_file()
    assert not (tmp_path / "owned").exists()


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_init_in_a_read_only_folder_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    for file in (folder / "hosts.toml", folder / "site" / "hosts.toml"):
        words = [*UNPRIVILEGED, *TOOL, "init", "--old", "127.0.0.1:1", "--new", "127.0.0.2:1", "--inventory", str(file)]
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "cannot be written: Permission denied" in done.stderr


def test_init_does_not_change_an_existing_file(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text("mine", encoding="utf-8")
    done = run(env, "init", "--old", "127.0.0.1", "--new", "127.0.0.2", "--inventory", str(file))
    assert done.returncode == 2
    assert file.read_text(encoding="utf-8") == "mine"


def test_keyring_that_stores_nothing_is_reported(env: dict[str, str]) -> None:
    done = run(env, "secret", "set", "login:me@10.0.0.1", stdin="swordfish\n")
    assert done.returncode == 2
    assert "nothing was stored" in done.stderr
    assert "swordfish" not in done.stdout + done.stderr


def test_putty_key_is_refused_with_the_command_to_convert_it(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "k.ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n", encoding="utf-8")
    file = tmp_path / "hosts.toml"
    file.write_text('[hosts.a]\naddress = "127.0.0.1"\nidentity_file = "k.ppk"\n', encoding="utf-8")
    done = run(env, "host", "show", "a", "--inventory", str(file))
    assert done.returncode == 2
    assert "puttygen" in done.stderr
