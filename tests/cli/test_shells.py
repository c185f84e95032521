"""Completion and the manual page, by the programs that read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.cli import completion
from tscm_migrate.tasks.tree import namespace

if TYPE_CHECKING:
    from pathlib import Path


def script(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tscm_migrate", "completion", shell],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def complete(*words: str) -> set[str]:
    """What bash offers after `words`, the last one being typed."""
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tscm_migrate; printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "-c", f"{script('bash')}\n{ask}", "bash", "tscm-migrate", *words]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_offers_tasks_actions_and_options() -> None:
    assert {"migrate", "host", "doctor"} <= complete("")
    assert complete("mig") == {"migrate"}
    assert {"pin", "list", "show"} <= complete("host", "")
    assert "--fingerprint" in complete("host", "pin", "tscm-old", "--fin")
    assert complete("migrate", "--no-enc") == {"--no-encrypt"}


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tscm-migrate mig", {"migrate"}),
        ("tscm-migrate host ", {"list", "pin", "show"}),
        ("tscm-migrate host pin tscm-old --fin", {"--fingerprint"}),
        ("tscm-migrate migrate --no-enc", {"--no-encrypt"}),
    ],
)
def test_fish_offers_tasks_actions_and_options(line: str, offered: set[str], tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script("fish"), encoding="utf-8")
    done = subprocess.run(
        ["fish", "-c", f"source {tmp_path}/script; complete -C '{line}'"],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert set(done.stdout.split()) == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
@pytest.mark.parametrize("sourced", [False, True])
def test_zsh_completes_from_the_first_tab_on(tmp_path: Path, *, sourced: bool) -> None:
    from tests.support.terminal import Terminal

    place = tmp_path / ".zfunc" / "_tscm-migrate"
    place.parent.mkdir()
    place.write_text(script("zsh"), encoding="utf-8")
    more = f"source {place}" if sourced else ""
    path = "" if sourced else "fpath=(~/.zfunc $fpath)"
    rc = f"{path}\nautoload -Uz compinit && compinit -u\n{more}\nPS1='ready '\n"
    (tmp_path / ".zshrc").write_text(rc, encoding="utf-8")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "xterm", "ZDOTDIR": str(tmp_path)}
    zsh = Terminal(["zsh", "-d", "-i"], env)
    try:
        zsh.wait_for("ready")
        for typed, completed in (
            (b"tscm-migrate mig\t", "-migrate migrate "),
            (b"\x15tscm-migrate host pin --fin\t", "pin --fingerprint "),
            (b"\x15tscm-migrate host \t", "list  pin   show"),
        ):
            os.write(zsh.master, typed)
            zsh.wait_for(completed)
    finally:
        zsh.close()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_knows_every_task_and_option(shell: str) -> None:
    text = script(shell)
    for name, options in completion.tree(namespace()).items():
        assert name.split()[-1] in text
        assert all(option.removeprefix("--") in text for option in options)


def test_an_unknown_shell_is_answered_with_the_near_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tscm_migrate", "completion", "bsh"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "did you mean 'bash'" in done.stderr


def manual() -> str:
    command = [sys.executable, "-m", "tscm_migrate", "manual"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_manual_page_explains_every_task_and_option() -> None:
    page = manual()
    for name in namespace().task_names:
        assert ".SS " + name.replace(".", " ").replace("-", r"\-") in page
    assert "\nPrint JSON.\n" in page
    assert not re.search(r"^\.TP\n.*\n\.(TP|SS|SH)", page, re.MULTILINE)  # an option without a word about it


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_the_manual_page_is_set_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-ww"],
        input=manual(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "TSCM-MIGRATE(1)" in done.stdout
