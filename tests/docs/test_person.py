"""The pages' commands that ask a person, or that keep secrets, on rehearsal appliances."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.terminal import Terminal
from tscm_migrate.demo import embedded
from tscm_migrate.demo.base import tool_command
from tscm_migrate.demo.profile import new_profile, old_profile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(embedded.available()), reason=str(embedded.available()))]
# A keyring of the tests' own, in a file: what is stored there by one process is found by the next.
KEYRING = """
import json, os, pathlib
from keyring.backend import KeyringBackend

class Kept(KeyringBackend):
    priority = 1
    file = pathlib.Path(os.environ["KEPT"])
    def all(self): return json.loads(self.file.read_text()) if self.file.exists() else {}
    def get_password(self, service, user): return self.all().get(user)
    def set_password(self, service, user, value): self.file.write_text(json.dumps({**self.all(), user: value}))
    def delete_password(self, service, user):
        self.file.write_text(json.dumps({k: v for k, v in self.all().items() if k != user}))
"""


def test_a_dialogue_is_recorded_with_a_person_and_replayed(tmp_path: Path) -> None:
    old = old_profile(encryption_configured=True, passphrase="x y z")
    with embedded.EmbeddedLab(tmp_path, old, new_profile()) as lab:
        assert lab.on("old", "tsadmin backup </dev/null", root=False).returncode == 0
        for archive in lab.guest("old").path("backup").glob("threatstop_backup_*.tsbak.gpg"):
            shutil.copy(archive, lab.guest("new").path("backup"))
        words = tool_command(
            "prompts", "record", "tscm-new", "--dialogue", "restore", "--out", str(tmp_path / "r.json")
        )
        person = Terminal(words, {**lab.env(), "TSCM_PASSPHRASE": "x y z"})
        person.wait_for("answer> ", limit=60)
        person.type("")  # as the rule would
        person.wait_for("answer> ", limit=60)
        person.type("!")
        assert person.finish(60) == 0, person.shown
        done = lab.run_tool("prompts", "replay", str(tmp_path / "r.json"))
    assert "1 questions" in person.shown
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("archive ")


def test_a_secret_is_stored_listed_and_forgotten(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(KEYRING, encoding="utf-8")
    file = tmp_path / "hosts.toml"
    file.write_text('[hosts.tscm-old]\naddress = "127.0.0.1"\n', encoding="utf-8")
    from tscm_migrate.demo.base import tool_env

    env = tool_env(tmp_path, file)
    env |= {"PYTHON_KEYRING_BACKEND": "kept.Kept", "KEPT": str(tmp_path / "kept.json")}
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    person = Terminal(tool_command("secret", "set", "passphrase:tscm-old"), env)
    for question in ("passphrase:tscm-old: ", "again: "):
        person.wait_for(question, limit=30)
        person.type("swordfish")
    assert person.finish(30) == 0, person.shown

    def said(*words: str) -> str:
        done = subprocess.run(
            tool_command("secret", *words), env=env, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    assert "passphrase:tscm-old  keyring" in said("list")
    said("delete", "passphrase:tscm-old")
    assert "passphrase:tscm-old  prompt" in said("list")
    assert "swordfish" not in person.shown
