"""A migration, a pull and a report under umask 000, with a tsadmin that prints the passphrase in many encodings."""

from __future__ import annotations

import base64
import html
import json
import os
import stat
import subprocess
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import PAIR, all_output
from tscm_migrate.demo.base import tool_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    needs_embedded_lab,
]

PASSPHRASE = 'Kq7\'vex & "zorn" <b>9'
EVIL = r"""
file=$(printf '%s\n' "$@" | sed -n 's/^--gpg_passphrase_file=//p')
p=; [ -z "$file" ] || p=$(cat "$file")
if [ -n "$p" ]; then
printf 'WARNING: passphrase %s\n' "$p"
printf 'WARNING: cut '; printf '%s' "$p" | sed 's/./&\x1b[1m/g'; printf '\nWARNING: '; printf '%s' "$p" | sed 's/./&\x08&/g'
printf '\nWARNING: wrapped '; printf '%s' "$p" | cut -c1-9; printf '%s' "$p" | cut -c10-
printf 'WARNING: base64 '; printf 'u:%s' "$p" | base64 -w 12
fi
printf 'WARNING: \033]52;c;ZXZpbA==\007clip \2332J \302\2332J [red]\342\200\256bold[/red] <script>alert(1)</script>\n'
"""


def traces(text: str) -> list[str]:
    """Return the parts of the passphrase that can be read in a text, in any encoding."""
    core = PASSPHRASE[:13]
    forms = [core, html.escape(core), json.dumps(core)[1:-1], urllib.parse.quote(core), core.replace("'", "&#39;")]
    forms += [base64.b64encode(f"u:{PASSPHRASE}".encode()).decode()[4:20], "zorn", PASSPHRASE[:9], PASSPHRASE[9:]]
    flat = text.replace("\n", "").replace("\\n", "")
    return [form for form in forms if form in text or form in flat]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(tmp_path / "lab", old_profile(), new_profile()) as made:
        for name in ("old", "new"):
            program = made.guest(name).path("bin") / "tsadmin"
            lines = program.read_text().split("\n", 1)
            program.write_text(f"{lines[0]}\n{EVIL}\n{lines[1]}")
        yield made


def tool(lab: EmbeddedLab, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tool under umask 000."""
    argv = ["sh", "-c", 'umask 000; exec "$@"', "sh", *tool_command(*words)]
    env = {**lab.env(), "TSCM_PASSPHRASE": PASSPHRASE}
    return subprocess.run(argv, env=env, cwd=lab.folder / "workstation", stdin=subprocess.DEVNULL, timeout=400,
                          capture_output=True, text=True, check=False)  # fmt: skip


def test_files_and_output_hide_the_passphrase_and_are_private(lab: EmbeddedLab) -> None:
    here = lab.folder / "workstation"
    outputs = {
        "archives": tool(lab, "archive", "list", "tscm-old"),
        "pull": tool(lab, "archive", "pull", "tscm-old", "--to", "backups/below"),
        "pin": tool(lab, "host", "pin", "tscm-old", "--fingerprint", "SHA256:x"),
        "migrate": tool(lab, "migrate", *PAIR, "--yes", "--json"),
    }
    for line in outputs["migrate"].stdout.splitlines():
        json.loads(line)
    outputs["show"] = tool(lab, "run", "report", "--text")
    outputs["report"] = tool(lab, "run", "report", "--print-path")
    outputs["runs"] = tool(lab, "run", "list", "--json")
    for name in ("archives", "migrate", "pull", "show", "report", "runs"):
        # 3: its lines are above a question, so the rehearsal of the restore does not answer the question
        assert outputs[name].returncode in {0, 3, 4}, all_output(outputs[name])
    for name, done in outputs.items():
        for text in (done.stdout, done.stderr):
            assert not traces(text), name
            assert "\x1b" not in text, name
            assert "\x9b" not in text, name
    ours = [*here.rglob("*"), *lab.folder.glob("known_hosts*")]
    files = [path for path in ours if path.is_file()]
    assert {"journal.jsonl", "report.html", "report.json", "commands.jsonl", "known_hosts"} <= {p.name for p in files}
    masked = False
    for path in files:
        if path.name.endswith((".tsbak", ".gpg")) or path.name in {"client_key", "client_key.pub"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        masked = masked or "passphrase •••" in text
        assert not traces(text), path
        assert "\x1b" not in text, path
        assert "\\u001b" not in text, path
    assert masked, "the output is stored without the passphrase"
    assert "<script>alert" not in next(p for p in files if p.name == "report.html").read_text()
    loose = [f"{path} {stat.S_IMODE(path.lstat().st_mode):04o}" for path in ours
             if path.lstat().st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not path.is_symlink()]  # fmt: skip
    assert not loose, loose
    private = [p for p in ours if {"runs", "backups", "locks"} & set(p.parts)]
    assert private
    assert not [p for p in private if p.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    assert os.access(here, os.W_OK)
