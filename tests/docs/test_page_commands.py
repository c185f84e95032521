"""The commands of each documentation page run in their order on simulated appliances, as a reader would run them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.pages import ROOT, Block, blocks, lab_of, pages
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.any_lab import Lab

PHRASE = "read the manual aloud"
RUN = "20240501-030000-1a2b"  # the example run of the documentation, and archive; replaced by the newest of the lab
ARCHIVE = "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
LIMIT = 280.0  # seconds for one block
PAGES = [page for page in pages() if any(block.mark == "run" for block in blocks(page))]
pytestmark = [pytest.mark.slow, needs_embedded_lab]


@contextlib.contextmanager
def documentation_lab(folder: Path) -> Iterator[tuple[Lab, dict[str, str]]]:
    """Yield a lab with encrypted backups, of which one exists, and the environment of a reader."""
    old = old_profile(encryption_configured=True, passphrase=PHRASE)
    with embedded.EmbeddedLab(folder / "lab", old, new_profile()) as lab:
        backup = lab.on("old", "tsadmin backup </dev/null", root=False)
        assert backup.returncode == 0, backup.stdout + backup.stderr
        store = folder / "store"
        store.mkdir()
        more = f'\n[groups]\nbranches = ["tscm-old"]\n\n[offsite]\nstore = "{store}"\nrpo = "36h"\n'
        lab.inventory.write_text(lab.inventory.read_text(encoding="utf-8") + more, encoding="utf-8")
        shim = folder / "bin" / "tscm-migrate"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tscm_migrate "$@"\n', encoding="utf-8")
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        path = f"{shim.parent}{os.pathsep}{os.environ['PATH']}"
        # `true` instead of a browser, because a page may contain `report open`
        yield lab, {**lab.env(), "PATH": path, "TSCM_PASSPHRASE": PHRASE, "BROWSER": "true"}


def tool(env: dict[str, str], *words: str) -> str:
    argv = [sys.executable, "-m", "tscm_migrate", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False).stdout


def kill_migration(env: dict[str, str]) -> None:
    """Start a migration and kill it when it has paused the updates."""
    argv = [sys.executable, "-m", "tscm_migrate", "migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        end = time.monotonic() + 120
        for line in process.stdout:
            if "done hold-updates" in line or time.monotonic() > end:
                break
        process.send_signal(signal.SIGKILL)
    assert "unfinished" in tool(env, "run", "list")


def with_lab_names(block: Block, lab: Lab, env: dict[str, str]) -> str:
    """Return the text of the block with the run and archive of this lab in place of the examples."""
    text = block.text
    if RUN in text:
        text = text.replace(RUN, tool(env, "run", "list").split()[0])
    if ARCHIVE in text:
        archives = re.findall(r"threatstop_backup_[\d_-]+\.tsbak\.gpg", tool(env, "archive", "list", "tscm-old"))
        text = text.replace(ARCHIVE, archives[0])
    return text


def run(block: Block, text: str, cwd: Path, env: dict[str, str]) -> None:
    # sh -e: a command that fails ends the block
    if block.types:
        terminal = Terminal(["sh", "-euc", f'cd "{cwd}"\n{text}'], env)
        try:
            terminal.wait_for("[y/N]", limit=90)
            terminal.type(block.types)
            status = terminal.finish(LIMIT)
        finally:
            terminal.close()
        output = terminal.shown
    else:
        done = subprocess.run(
            ["sh", "-euc", text], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )  # fmt: skip
        status, output = done.returncode, done.stdout + done.stderr
    assert status == block.status, f"{block.id}\n{text}\n{output[-3000:]}"
    assert PHRASE not in output


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_of_page_have_the_documented_exit_code(page: Path, tmp_path: Path) -> None:
    reader = tmp_path / "reader"
    reader.mkdir()
    with documentation_lab(tmp_path) as (lab, env):
        if lab_of(page) == "cut":
            kill_migration(env)
        if lab_of(page) == "dead":
            assert " stored " in tool(env, "offsite", "pull", "--host", "tscm-old")
            lab.power_off("old")
        marked = [block for block in blocks(page) if block.mark == "run"]
        assert marked
        for block in marked:
            run(block, with_lab_names(block, lab, env), reader, env)
