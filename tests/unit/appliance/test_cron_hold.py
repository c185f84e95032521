"""Pausing and resuming an appliance's updates: the scripts run here, on files of this machine."""

from __future__ import annotations

import os
import secrets
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.local_shell import LocalShell, appliance_of, as_shell, host_below, posix_only
from tscm_migrate.appliance import cron_hold
from tscm_migrate.appliance.cron_hold import Hold
from tscm_migrate.errors import ApplianceError, CommandFailed, DrainTimeout, ProcessesHidden
from tscm_migrate.ssh.execution import CommandResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.appliance.appliance import Appliance

pytestmark = posix_only
TEXT = "* * * * * threatstop ts-update --all\n"


@pytest.fixture
def old(tmp_path: Path) -> Appliance:
    (tmp_path / "cron.d").mkdir()
    entry(tmp_path).write_text(TEXT, encoding="utf-8")
    entry(tmp_path).chmod(0o640)
    return appliance_of(LocalShell(host_below(tmp_path, "tscm-old")))


def entry(root: Path) -> Path:
    return root / "cron.d" / "multidevice-core"


def aside(root: Path) -> Path:
    return root / "hold" / "held" / "multidevice-core"


def state(appliance: Appliance) -> Hold:
    return cron_hold.state(appliance, appliance.paths.cron_entry)


def hold(appliance: Appliance) -> None:
    cron_hold.hold(appliance, appliance.paths.cron_entry)


def release(appliance: Appliance) -> None:
    cron_hold.release(appliance, appliance.paths.cron_entry)


def test_an_entry_is_moved_away_and_back_as_it_was(old: Appliance, tmp_path: Path) -> None:
    assert state(old) == Hold(in_place=True, aside=False)
    before = entry(tmp_path).stat()
    hold(old)
    assert state(old) == Hold(in_place=False, aside=True)
    assert state(old).paused
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT
    assert (tmp_path / "hold" / "held").stat().st_mode & 0o777 == 0o700
    release(old)
    assert state(old) == Hold(in_place=True, aside=False)
    after = entry(tmp_path).stat()
    assert (after.st_mode, after.st_mtime, after.st_uid) == (before.st_mode, before.st_mtime, before.st_uid)
    assert not (tmp_path / "hold").exists(), "nothing of ours stays"
    assert [path.name for path in (tmp_path / "cron.d").iterdir()] == ["multidevice-core"], (
        "cron reads every file there"
    )


def test_both_can_be_repeated(old: Appliance, tmp_path: Path) -> None:
    hold(old)
    hold(old)
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT
    release(old)
    release(old)
    assert entry(tmp_path).read_text(encoding="utf-8") == TEXT


def test_an_entry_that_was_laid_back_the_same_is_removed(old: Appliance, tmp_path: Path) -> None:
    hold(old)
    entry(tmp_path).write_text(TEXT, encoding="utf-8")
    assert state(old) == Hold(in_place=True, aside=True)
    assert not state(old).paused
    hold(old)
    assert state(old).paused
    assert [path.name for path in aside(tmp_path).parent.iterdir()] == ["multidevice-core"]


def test_an_entry_that_was_laid_back_otherwise_is_kept_beside_the_first(old: Appliance, tmp_path: Path) -> None:
    hold(old)
    entry(tmp_path).write_text("another\n", encoding="utf-8")
    hold(old)
    assert not entry(tmp_path).exists()
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT, "what it was at first is what comes back"
    assert (aside(tmp_path).parent / "multidevice-core.laid-back").read_text(encoding="utf-8") == "another\n"
    entry(tmp_path).write_text("once more\n", encoding="utf-8")
    release(old)
    assert entry(tmp_path).read_text(encoding="utf-8") == TEXT
    assert (aside(tmp_path).parent / "multidevice-core.laid-back").read_text(encoding="utf-8") == "once more\n"


def test_a_copy_that_was_cut_short_is_made_again(old: Appliance, tmp_path: Path) -> None:
    aside(tmp_path).parent.mkdir(parents=True)
    aside(tmp_path).with_name("multidevice-core.part").write_text("half", encoding="utf-8")
    hold(old)
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT
    assert not entry(tmp_path).exists()


def test_an_appliance_without_an_entry_has_nothing_to_put_back(old: Appliance, tmp_path: Path) -> None:
    entry(tmp_path).unlink()
    hold(old)
    assert state(old) == Hold(in_place=False, aside=False)
    with pytest.raises(ApplianceError, match="neither in place nor"):
        release(old)


def test_a_state_that_cannot_be_seen_is_neither(tmp_path: Path) -> None:
    for said in ("", "yes\n", "yes\nmaybe\n", "yes\nno\nno\n"):
        shell = LocalShell(host_below(tmp_path, "tscm-old"), recorded={"in place?": said}, runs_here=False)
        with pytest.raises(ProcessesHidden):
            state(appliance_of(shell))


@pytest.fixture
def update(old: Appliance, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a process that counts as ts-update, under a name that nothing else on this machine has."""
    name = f"ts-update-{secrets.token_hex(6)}"
    old.moved(replace(old.host, paths=replace(old.paths, ts_update=name)), as_shell(LocalShell(old.host)))
    entry(tmp_path).write_text(f"* * * * * threatstop {name} --all\n", encoding="utf-8")
    program = tmp_path / name
    program.write_text("#!/bin/sh\nread word\n", encoding="utf-8")
    program.chmod(0o700)
    begun: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen([program], stdin=subprocess.PIPE))
        return begun[-1]

    yield start
    for process in begun:
        process.communicate()


def test_a_drain_that_takes_too_long_names_what_still_runs(
    old: Appliance, update: Callable[[], subprocess.Popen[bytes]]
) -> None:
    running = update()
    with pytest.raises(DrainTimeout, match=f"pid {running.pid} "):
        cron_hold.drain(old, timeout=0.0)


def test_a_drain_wants_two_quiet_looks_in_a_row_that_are_far_enough_apart(
    old: Appliance, update: Callable[[], subprocess.Popen[bytes]]
) -> None:
    paused: list[float] = []
    running: list[subprocess.Popen[bytes]] = []

    def sleep(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 1:
            running.append(update())
        elif len(paused) == 2:
            running[0].communicate()

    cron_hold.drain(old, timeout=1e9, sleep=sleep)
    assert [seconds >= cron_hold.LOOKS_APART for seconds in paused] == [True, False, True]


class Failing(LocalShell):
    """Answers every command with one status and output, whatever the script is."""

    def __init__(self, host: Any, status: int, stdout: str, stderr: str = "") -> None:
        super().__init__(host)
        self.answer = CommandResult("", status, stdout, stderr, 0.0)

    def run(self, script: str, *, check: bool = True, **_: Any) -> CommandResult:
        if check and self.answer.status:
            raise CommandFailed(self.host.name, "", script, self.answer.status)
        return self.answer


@pytest.mark.parametrize(
    ("status", "stdout"), [(93, "yes\nno\n"), (1, "yes\nno\n"), (0, "yes\n"), (0, "yes\nno\nno\n"), (0, "yes\nso\n")]
)
def test_an_incomplete_answer_is_not_believed(tmp_path: Path, status: int, stdout: str) -> None:
    shell = Failing(host_below(tmp_path, "tscm-old"), status, stdout, "ls: permission denied")
    with pytest.raises(ProcessesHidden, match="permission denied"):
        state(appliance_of(shell))


def test_a_long_error_output_is_shown_in_part(tmp_path: Path) -> None:
    shell = Failing(host_below(tmp_path, "tscm-old"), 93, "", "x" * 1000 + " the end")
    with pytest.raises(ProcessesHidden) as raised:
        state(appliance_of(shell))
    assert str(raised.value).count("x") < 250
    assert "the end" in str(raised.value)


def test_the_states_of_three_entries_are_in_their_order(old: Appliance, tmp_path: Path) -> None:
    entries = [old.paths.cron_entry, *(str(tmp_path / "cron.d" / name) for name in ("second", "third"))]
    (tmp_path / "cron.d" / "third").write_text(TEXT, encoding="utf-8")
    hold(old)
    seen = [(one.in_place, one.aside) for one in cron_hold.states(old, *entries)]
    assert seen == [(False, True), (False, False), (True, False)]


@pytest.mark.parametrize(("in_place", "aside", "held"), [(0, 0, False), (1, 0, False), (1, 1, False), (0, 1, True)])
def test_updates_are_paused_only_where_the_entry_is_aside_and_not_in_place(
    in_place: int, aside: int, *, held: bool
) -> None:
    assert Hold(bool(in_place), bool(aside)).paused is held


def test_an_entry_that_cannot_be_restored_is_an_error_that_says_why(tmp_path: Path) -> None:
    shell = Failing(host_below(tmp_path, "tscm-old"), 1, "", "cp: No space left on device")
    with pytest.raises(ApplianceError, match=r"multidevice-core could not be restored: cp: No space left"):
        release(appliance_of(shell))


def test_the_entry_is_read_and_moved_as_root(old: Appliance) -> None:
    shell = old.shell
    assert isinstance(shell, LocalShell)
    state(old)
    hold(old)
    release(old)
    assert shell.as_root == shell.displays
    assert len(shell.displays) == 3


def test_an_entry_is_written_once(tmp_path: Path) -> None:
    (tmp_path / "cron.d").mkdir()
    shell = LocalShell(host_below(tmp_path, "tscm-old"))
    appliance, place = appliance_of(shell), entry(tmp_path)
    place.write_text(TEXT, encoding="utf-8")
    before = place.stat()
    cron_hold.install(appliance, str(place), TEXT)
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in place.parent.iterdir()] == ["multidevice-core"]
    assert shell.as_root == [f"write {place}"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="chown to root wants root")
def test_a_new_content_replaces_an_entry(old: Appliance, tmp_path: Path) -> None:
    cron_hold.install(old, old.paths.cron_entry, "other\n")
    assert entry(tmp_path).read_text(encoding="utf-8") == "other\n"
    assert entry(tmp_path).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "cron.d").iterdir()] == ["multidevice-core"]
