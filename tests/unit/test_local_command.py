"""The operator's own commands: what they get, what they do not get, and what happens when their time is over."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import growing
from tscm_migrate.util import operator_command, redact

if TYPE_CHECKING:
    from pathlib import Path

SHOW = "import os; print(sorted(k for k in os.environ if k.startswith(('TSCM_', 'MY_')) and 'TEST' not in k))"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of other tests in this process are none here."""
    monkeypatch.setattr(redact, "known", redact.Redactor())


def line(folder: Path, text: str) -> str:
    file = folder / "script.py"
    file.write_text(text, encoding="utf-8")
    return f'"{sys.executable}" "{file}"'


def test_it_gets_the_facts_and_what_is_the_operator_s_but_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redact.known.add("kept by env:MY_MANAGER")
    monkeypatch.setenv("MY_MANAGER", "kept by env:MY_MANAGER")
    monkeypatch.setenv("MY_HYPERVISOR_PASSWORD", "what a hook needs itself")
    for name in ("TSCM_PASSPHRASE", "TSCM_SUDO_PASSWORD", "TSCM_LOGIN_PASSWORD"):
        monkeypatch.setenv(name, "x")
    done = operator_command.run(line(tmp_path, SHOW), {"TSCM_HOST": "tscm-old"}, 60)
    assert done == operator_command.LocalResult(0, "['MY_HYPERVISOR_PASSWORD', 'TSCM_HOST']")


def test_an_appliance_s_words_are_text_and_no_command(tmp_path: Path) -> None:
    trap = f"x & echo pwned > {tmp_path / 'pwned'} | %COMSPEC% $(touch {tmp_path / 'pwned'}) \"'`"
    shown = "echo %TSCM_DETAIL%" if os.name == "nt" else 'echo "$TSCM_DETAIL"'
    done = operator_command.run(shown, {"TSCM_DETAIL": trap}, 60)
    assert done.status == 0
    assert done.ending.startswith("x ")
    assert not (tmp_path / "pwned").exists()


def test_what_it_prints_is_bounded_and_cleaned(tmp_path: Path) -> None:
    done = operator_command.run(line(tmp_path, "print('a' * 100_000 + chr(27) + '[31mend')"), {}, 60)
    assert done.ending.endswith("aend")
    assert len(done.ending) <= 4096


@pytest.mark.skipif(os.name == "nt", reason="there taskkill takes the tree")
def test_a_command_whose_time_is_over_is_ended_with_all_that_it_runs(tmp_path: Path) -> None:
    """A hook that hangs must not switch something off when the run has long been put back."""
    pids = tmp_path / "pids"
    command = f"(echo $PPID >>{pids}; sh -c 'echo $$ >>{pids}; sleep 300'; true) | cat; true"
    for limit in growing(1.0):
        pids.write_text("")
        assert operator_command.run(command, {}, limit).status is None
        if len(found := pids.read_text().split()) == 2:
            break
    assert len(found) == 2
    for pid in map(int, found[1:]):
        for _ in range(1200):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"{pid} is still there")


@pytest.mark.skipif(
    os.name == "nt", reason="wine's taskkill knows no /T: what prints would go on until the disk is full"
)
def test_one_that_prints_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_command, "_MOST", 1 << 20)
    text = "import os\nwhile True: os.write(1, b'y' * 65536)"
    done = operator_command.run(line(tmp_path, text), {}, 60)
    assert done.status is None
    assert done.flood
    assert len(done.ending) <= 4096


def test_nobody_waits_for_what_a_command_left_running(tmp_path: Path) -> None:
    over = tmp_path / "over"
    child = f"import os, time\nwhile not os.path.exists({str(over)!r}): time.sleep(0.1)"
    text = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n{child}"
    ended: list[operator_command.LocalResult] = []
    thread = threading.Thread(target=lambda: ended.append(operator_command.run(line(tmp_path, text), {}, 0.5)))
    thread.start()
    thread.join(100)
    over.touch()
    assert ended == [operator_command.LocalResult(None, "")]
