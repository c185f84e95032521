"""`prompts explain` on the command line: JSON strings in, JSON objects out, no appliance."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.unit.tsadmin.corpora import NAME
from tscm_migrate.demo.base import tool_command, tool_env

if TYPE_CHECKING:
    from pathlib import Path


def explain(folder: Path, *lines: object, words: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    inventory = folder / "hosts.toml"
    if not inventory.exists():
        inventory.write_text('[hosts.tscm-new]\naddress = "10.1.1.50"\n', encoding="utf-8")
        inventory.chmod(0o600)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    command = tool_command("prompts", "explain", "--dialogue", "restore", *words, "-")
    return subprocess.run(
        command, input=text, env=tool_env(folder, inventory), capture_output=True, text=True, timeout=60, check=False
    )


def test_each_question_is_explained_on_its_own_line(tmp_path: Path) -> None:
    listed = f"1) {NAME}\n2) threatstop_backup_2026-11-21_01_00_00.tsbak\n"
    done = explain(
        tmp_path, "Restore SSH configuration[y/n]: ", "Enter decryption passphrase: ", "\x1b[1mPassword:\x1b[0m ",
        [f"{listed}Enter backup number: ", "[ERROR] : Invalid selection\nEnter backup number: "],
        "Address 10.9.9.9 is in the backup, 10.1.1.50 here.\nUse network settings from backup [yes]: ",
        words=("--json", "--set", "address=10.9.9.9", f"archive={NAME}"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["answer"] for one in found] == ["y", "(secret)", None, "1", "1", "yes"]
    assert [one["kind"] for one in found] == ["ssh", "passphrase", None, "archive", "archive", "network"]
    assert set(found[0]) == {"question", "kind", "dialect", "row", "answer", "suggestion", "why"}
    assert (found[0]["dialect"], found[0]["row"], found[2]["dialect"]) == (
        "documented",
        "Restore SSH configuration",
        None,
    )
    assert found[2]["question"] == "Password:"


def test_invalid_input_is_reported_with_its_line(tmp_path: Path) -> None:
    done = explain(tmp_path, "Restore SSH configuration[y/n]: ", 7, words=("--json",))
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 2), "what came before it is explained"
    assert "line 2 of the input is not a JSON string" in done.stdout + done.stderr
    assert explain(tmp_path, words=("--set", "addres=1")).returncode == 2


def test_site_dialect_has_priority_and_its_errors_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    file.write_text('[[question]]\nkind = "literal"\ntext = "Use DHCP"\nanswer = "maybe"\n', encoding="utf-8")
    file.chmod(0o600)
    assert json.loads(explain(tmp_path, "Use DHCP[y/n]: ").stdout)["answer"] == "maybe"
    file.write_text('[[question]]\nkind = "ssh"\ntext = "Restore .*"\n', encoding="utf-8")
    done = explain(tmp_path, "Use DHCP[y/n]: ")
    assert done.returncode == 2
    assert "dialect.toml: question row 1" in done.stderr
