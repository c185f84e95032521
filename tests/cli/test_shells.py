"""Completion and the manual page, by the programs that read them."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tscm_migrate import shells
from tscm_migrate.tasks import namespace


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


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n"], input=script(shell), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_knows_every_task_and_option(shell: str) -> None:
    text = script(shell)
    for name, options in shells.tree(namespace()).items():
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


def test_the_manual_page_is_clean_and_whole() -> None:
    page = shells.manual(namespace())
    assert all(name.replace("-", r"\-") in page for name in shells.tree(namespace()))
    if shutil.which("man") is None:
        return
    done = subprocess.run(
        ["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True, timeout=60, check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "tscm-migrate" in done.stdout
