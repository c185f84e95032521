"""The pages' commands as a reader types them, one after another, on rehearsal appliances."""

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

from tests.support.pages import ROOT, Block, blocks, lab_of, pages
from tests.support.terminal import Terminal
from tscm_migrate.demo import embedded
from tscm_migrate.demo.profile import new_profile, old_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.any_lab import Lab

PHRASE = "read the manual aloud"
RUN = (
    "20240501-030000-1a2b"  # the pages' example of a run, and of an archive: the newest ones of the lab stand for them
)
ARCHIVE = "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
LIMIT = 280.0  # seconds that one block may take
PAGES = [page for page in pages() if any(block.mark == "run" for block in blocks(page))]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(embedded.available()), reason=str(embedded.available()))]


@contextlib.contextmanager
def room(folder: Path) -> Iterator[tuple[Lab, dict[str, str]]]:
    """A lab as most sites are: encrypted backups, one made already; and a reader's environment."""
    old = old_profile(encryption_configured=True, passphrase=PHRASE)
    with embedded.EmbeddedLab(folder / "lab", old, new_profile()) as lab:
        made = lab.on("old", "tsadmin backup </dev/null", root=False)
        assert made.returncode == 0, made.stdout + made.stderr
        store = folder / "store"
        store.mkdir()
        more = f'\n[groups]\nbranches = ["tscm-old"]\n\n[offsite]\nstore = "{store}"\nrpo = "36h"\n'
        lab.inventory.write_text(lab.inventory.read_text(encoding="utf-8") + more, encoding="utf-8")
        shim = folder / "bin" / "tscm-migrate"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tscm_migrate "$@"\n', encoding="utf-8")
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        path = f"{shim.parent}{os.pathsep}{os.environ['PATH']}"
        # `true` for a browser: a page of the documentation may say `report open`
        yield lab, {**lab.env(), "PATH": path, "TSCM_PASSPHRASE": PHRASE, "BROWSER": "true"}


def tool(env: dict[str, str], *words: str) -> str:
    argv = [sys.executable, "-m", "tscm_migrate", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False).stdout


def cut(env: dict[str, str]) -> None:
    """A migration that is killed as soon as its updates are held."""
    argv = [sys.executable, "-m", "tscm_migrate", "migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        end = time.monotonic() + 120
        for line in process.stdout:
            if "done hold-updates" in line or time.monotonic() > end:
                break
        process.send_signal(signal.SIGKILL)
    assert "unfinished" in tool(env, "run", "list")


def filled(block: Block, lab: Lab, env: dict[str, str]) -> str:
    """The block's text with the names of this lab where the page has its examples."""
    text = block.text
    if RUN in text:
        text = text.replace(RUN, tool(env, "run", "list").split()[0])
    if ARCHIVE in text:
        found = re.findall(r"threatstop_backup_[\d_-]+\.tsbak\.gpg", tool(env, "archive", "list", "tscm-old"))
        text = text.replace(ARCHIVE, found[0])
    return text


def run(block: Block, text: str, cwd: Path, env: dict[str, str]) -> None:
    # two lines of a page are two commands of a reader; what the second one needs, the first one has to have done
    if block.types:
        terminal = Terminal(["sh", "-euc", f'cd "{cwd}"\n{text}'], env)
        try:
            terminal.wait_for("[y/N]", limit=90)
            terminal.type(block.types)
            status = terminal.finish(LIMIT)
        finally:
            terminal.close()
        said = terminal.shown
    else:
        done = subprocess.run(
            ["sh", "-euc", text], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )  # fmt: skip
        status, said = done.returncode, done.stdout + done.stderr
    assert status == block.status, f"{block.id}\n{text}\n{said[-3000:]}"
    assert PHRASE not in said


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_commands_of_the_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    reader = tmp_path / "reader"
    reader.mkdir()
    with room(tmp_path) as (lab, env):
        if lab_of(page) == "cut":
            cut(env)
        if lab_of(page) == "dead":
            assert " stored " in tool(env, "offsite", "pull", "--host", "tscm-old")
            lab.power_off("old")
        marked = [block for block in blocks(page) if block.mark == "run"]
        assert marked
        for block in marked:
            run(block, filled(block, lab, env), reader, env)
