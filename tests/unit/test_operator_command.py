"""Commands of the operator on the workstation: their environment, their output, and their timeout."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.timeouts import growing_timeouts
from tscm_migrate.util import operator_command, redact

if TYPE_CHECKING:
    from pathlib import Path

SHOW = "import os; print(sorted(k for k in os.environ if k.startswith(('TSCM_', 'MY_')) and 'TEST' not in k))"


@pytest.fixture(autouse=True)
def no_registered_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without the secrets that other tests of this process registered."""
    monkeypatch.setattr(redact, "known", redact.Redactor())


def python_command(folder: Path, text: str) -> str:
    file = folder / "script.py"
    file.write_text(text, encoding="utf-8")
    return f'"{sys.executable}" "{file}"'


def test_command_gets_facts_and_environment_without_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redact.known.add("kept by env:MY_MANAGER")
    monkeypatch.setenv("MY_MANAGER", "kept by env:MY_MANAGER")
    monkeypatch.setenv("MY_HYPERVISOR_PASSWORD", "what a hook needs itself")
    for name in ("TSCM_PASSPHRASE", "TSCM_SUDO_PASSWORD", "TSCM_LOGIN_PASSWORD"):
        monkeypatch.setenv(name, "x")
    done = operator_command.run(python_command(tmp_path, SHOW), {"TSCM_HOST": "tscm-old"}, 60)
    assert done == operator_command.LocalResult(0, "['MY_HYPERVISOR_PASSWORD', 'TSCM_HOST']")


def test_shell_characters_in_a_fact_are_not_executed(tmp_path: Path) -> None:
    hostile = f"x & echo pwned > {tmp_path / 'pwned'} | %COMSPEC% $(touch {tmp_path / 'pwned'}) \"'`"
    shown = "echo %TSCM_DETAIL%" if os.name == "nt" else 'echo "$TSCM_DETAIL"'
    done = operator_command.run(shown, {"TSCM_DETAIL": hostile}, 60)
    assert done.status == 0
    assert done.ending.startswith("x ")
    assert not (tmp_path / "pwned").exists()


def test_output_of_a_command_is_limited_and_cleaned(tmp_path: Path) -> None:
    done = operator_command.run(python_command(tmp_path, "print('a' * 100_000 + chr(27) + '[31mend')"), {}, 60)
    assert done.ending.endswith("aend")
    assert len(done.ending) <= 4096


@pytest.mark.skipif(os.name == "nt", reason="on Windows, taskkill ends the process tree")
def test_command_is_ended_with_its_children_after_the_timeout(tmp_path: Path) -> None:
    """Otherwise, a hook that hangs could power something off after the run was rolled back."""
    pids = tmp_path / "pids"
    command = f"(echo $PPID >>{pids}; sh -c 'echo $$ >>{pids}; sleep 300'; true) | cat; true"
    for limit in growing_timeouts(1.0):
        pids.write_text("")
        assert operator_command.run(command, {}, limit).status is None
        if len(running := pids.read_text().split()) == 2:
            break
    assert len(running) == 2
    for pid in map(int, running[1:]):
        for _ in range(1200):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"process {pid} still runs")


@pytest.mark.skipif(os.name == "nt", reason="wine's taskkill has no /T: the child would print until the disk is full")
def test_command_with_endless_output_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_command, "_MOST", 1 << 20)
    text = "import os\nwhile True: os.write(1, b'y' * 65536)"
    done = operator_command.run(python_command(tmp_path, text), {}, 60)
    assert done.status is None
    assert done.flood
    assert len(done.ending) <= 4096


def test_child_left_running_does_not_delay_the_result(tmp_path: Path) -> None:
    over = tmp_path / "over"
    child = f"import os, time\nwhile not os.path.exists({str(over)!r}): time.sleep(0.1)"
    text = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n{child}"
    ended: list[operator_command.LocalResult] = []
    thread = threading.Thread(
        target=lambda: ended.append(operator_command.run(python_command(tmp_path, text), {}, 0.5))
    )
    thread.start()
    thread.join(100)
    over.touch()
    assert ended == [operator_command.LocalResult(None, "")]
