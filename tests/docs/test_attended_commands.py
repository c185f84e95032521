"""Commands of the documentation that ask the operator or store secrets, on simulated appliances."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.terminal import Terminal
from tscm_migrate.demo.base import tool_command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs_embedded_lab]
# A keyring backend that stores its entries in a file, so that later processes can read them.
KEYRING = """
import json, os, pathlib
from keyring.backend import KeyringBackend

class FileKeyring(KeyringBackend):
    priority = 1
    file = pathlib.Path(os.environ["KEYRING_FILE"])
    def all(self): return json.loads(self.file.read_text()) if self.file.exists() else {}
    def get_password(self, service, user): return self.all().get(user)
    def set_password(self, service, user, value): self.file.write_text(json.dumps({**self.all(), user: value}))
    def delete_password(self, service, user):
        self.file.write_text(json.dumps({k: v for k, v in self.all().items() if k != user}))
"""


def test_prompts_record_asks_the_operator_and_replay_reads_the_recording(tmp_path: Path) -> None:
    old = old_profile(encryption_configured=True, passphrase="x y z")
    with embedded.EmbeddedLab(tmp_path, old, new_profile()) as lab:
        assert lab.on("old", "tsadmin backup </dev/null", root=False).returncode == 0
        for archive in lab.guest("old").path("backup").glob("threatstop_backup_*.tsbak.gpg"):
            shutil.copy(archive, lab.guest("new").path("backup"))
        words = tool_command(
            "prompts", "record", "tscm-new", "--dialogue", "restore", "--out", str(tmp_path / "r.json")
        )
        terminal = Terminal(words, {**lab.env(), "TSCM_PASSPHRASE": "x y z"})
        terminal.wait_for("answer> ", limit=60)
        terminal.type("")  # the answer of the rule
        terminal.wait_for("answer> ", limit=60)
        terminal.type("!")
        assert terminal.finish(60) == 0, terminal.shown
        done = lab.run_tool("prompts", "replay", str(tmp_path / "r.json"))
    assert "1 questions" in terminal.shown
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("archive ")


def test_secret_is_stored_listed_and_deleted(tmp_path: Path) -> None:
    (tmp_path / "file_keyring.py").write_text(KEYRING, encoding="utf-8")
    file = tmp_path / "hosts.toml"
    file.write_text('[hosts.tscm-old]\naddress = "127.0.0.1"\n', encoding="utf-8")
    from tscm_migrate.demo.base import tool_env

    env = tool_env(tmp_path, file)
    env |= {"PYTHON_KEYRING_BACKEND": "file_keyring.FileKeyring", "KEYRING_FILE": str(tmp_path / "keyring.json")}
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    terminal = Terminal(tool_command("secret", "set", "passphrase:tscm-old"), env)
    for question in ("passphrase:tscm-old: ", "again: "):
        terminal.wait_for(question, limit=30)
        terminal.type("swordfish")
    assert terminal.finish(30) == 0, terminal.shown

    def output_of(*words: str) -> str:
        done = subprocess.run(
            tool_command("secret", *words), env=env, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    assert "passphrase:tscm-old  keyring" in output_of("list")
    output_of("delete", "passphrase:tscm-old")
    assert "passphrase:tscm-old  prompt" in output_of("list")
    assert "swordfish" not in terminal.shown
