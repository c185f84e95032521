"""Pausing and resuming the updates of an appliance: the scripts run with this machine's sh, on files of the test."""

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


def test_hold_moves_the_entry_aside_and_release_restores_it(old: Appliance, tmp_path: Path) -> None:
    assert state(old) == Hold(in_place=True, aside=False)
    before = entry(tmp_path).stat()
    hold(old)
    assert state(old) == Hold(in_place=False, aside=True)
    assert state(old).paused
    assert cron_hold.aside(old, old.paths.cron_entry) == str(aside(tmp_path))
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT
    assert (tmp_path / "hold" / "held").stat().st_mode & 0o777 == 0o700
    release(old)
    assert state(old) == Hold(in_place=True, aside=False)
    after = entry(tmp_path).stat()
    assert (after.st_mode, after.st_mtime, after.st_uid) == (before.st_mode, before.st_mtime, before.st_uid)
    assert not (tmp_path / "hold").exists(), "no file of ours is left"
    assert [path.name for path in (tmp_path / "cron.d").iterdir()] == ["multidevice-core"], (
        "cron reads every file there"
    )


def test_hold_and_release_can_be_repeated(old: Appliance, tmp_path: Path) -> None:
    hold(old)
    hold(old)
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT
    release(old)
    release(old)
    assert entry(tmp_path).read_text(encoding="utf-8") == TEXT


def test_identical_entry_created_again_is_removed(old: Appliance, tmp_path: Path) -> None:
    hold(old)
    entry(tmp_path).write_text(TEXT, encoding="utf-8")
    assert state(old) == Hold(in_place=True, aside=True)
    assert not state(old).paused
    hold(old)
    assert state(old).paused
    assert [path.name for path in aside(tmp_path).parent.iterdir()] == ["multidevice-core"]


def test_different_entry_created_again_is_kept_beside_the_first(old: Appliance, tmp_path: Path) -> None:
    hold(old)
    entry(tmp_path).write_text("another\n", encoding="utf-8")
    hold(old)
    assert not entry(tmp_path).exists()
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT, "the first entry is the one to restore"
    assert (aside(tmp_path).parent / "multidevice-core.laid-back").read_text(encoding="utf-8") == "another\n"
    entry(tmp_path).write_text("once more\n", encoding="utf-8")
    release(old)
    assert entry(tmp_path).read_text(encoding="utf-8") == TEXT
    assert (aside(tmp_path).parent / "multidevice-core.laid-back").read_text(encoding="utf-8") == "once more\n"


def test_incomplete_copy_of_the_entry_is_replaced(old: Appliance, tmp_path: Path) -> None:
    aside(tmp_path).parent.mkdir(parents=True)
    aside(tmp_path).with_name("multidevice-core.part").write_text("half", encoding="utf-8")
    hold(old)
    assert aside(tmp_path).read_text(encoding="utf-8") == TEXT
    assert not entry(tmp_path).exists()


def test_release_without_an_entry_is_an_error(old: Appliance, tmp_path: Path) -> None:
    entry(tmp_path).unlink()
    hold(old)
    assert state(old) == Hold(in_place=False, aside=False)
    with pytest.raises(ApplianceError, match="neither in place nor"):
        release(old)


def test_unreadable_state_of_the_entry_is_an_error(tmp_path: Path) -> None:
    for output in ("", "yes\n", "yes\nmaybe\n", "yes\nno\nno\n", "no such thing"):
        shell = LocalShell(host_below(tmp_path, "tscm-old"), recorded={"in place?": output}, runs_here=False)
        with pytest.raises(ProcessesHidden):
            state(appliance_of(shell))


def look(old: Appliance) -> cron_hold.Look:
    try:
        return cron_hold.look(old)
    except ProcessesHidden as error:
        pytest.skip(str(error))


def test_programs_of_the_entry_are_read_in_place_and_aside(old: Appliance, tmp_path: Path) -> None:
    wrapper = TEXT.replace("ts-update", "/usr/local/bin/ts-update-wrapper")
    entry(tmp_path).write_text(wrapper, encoding="utf-8")
    before = look(old)
    assert before.hold == Hold(in_place=True, aside=False)
    hold(old)
    after = look(old)
    assert after.hold == Hold(in_place=False, aside=True)
    assert after.programs == before.programs
    assert "ts-update-wrapper" in before.programs


def test_unreadable_entry_is_an_error_of_the_look(old: Appliance, tmp_path: Path) -> None:
    entry(tmp_path).unlink()
    entry(tmp_path).mkdir()
    with pytest.raises((ProcessesHidden, CommandFailed)):
        cron_hold.look(old)


@pytest.fixture
def update(old: Appliance, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Yield a function that starts a process that counts as ts-update, with a name unique on this machine."""
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


def test_drain_timeout_names_the_running_update(old: Appliance, update: Callable[[], subprocess.Popen[bytes]]) -> None:
    running = update()
    with pytest.raises(DrainTimeout, match=f"pid {running.pid} "):
        cron_hold.drain(old, timeout=0.0)


def test_drain_needs_two_consecutive_looks_without_an_update(
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
    """Answers every command with the same status and output."""

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
def test_incomplete_answer_about_the_entry_is_an_error(tmp_path: Path, status: int, stdout: str) -> None:
    shell = Failing(host_below(tmp_path, "tscm-old"), status, stdout, "ls: permission denied")
    with pytest.raises(ProcessesHidden, match="permission denied"):
        state(appliance_of(shell))


def test_long_error_output_is_shortened(tmp_path: Path) -> None:
    shell = Failing(host_below(tmp_path, "tscm-old"), 93, "", "x" * 1000 + " the end")
    with pytest.raises(ProcessesHidden) as raised:
        state(appliance_of(shell))
    assert str(raised.value).count("x") < 250
    assert "the end" in str(raised.value)


def test_states_are_read_with_one_command_in_the_order_of_the_entries(old: Appliance, tmp_path: Path) -> None:
    entries = [old.paths.cron_entry, *(str(tmp_path / "cron.d" / name) for name in ("second", "third"))]
    (tmp_path / "cron.d" / "third").write_text(TEXT, encoding="utf-8")
    hold(old)
    shell = old.shell
    assert isinstance(shell, LocalShell)
    before = len(shell.displays)
    seen = [(one.in_place, one.aside) for one in cron_hold.states(old, *entries)]
    assert seen == [(False, True), (False, False), (True, False)]
    assert len(shell.displays) == before + 1


@pytest.mark.parametrize(("in_place", "aside", "paused"), [(0, 0, False), (1, 0, False), (1, 1, False), (0, 1, True)])
def test_updates_are_paused_only_if_the_entry_is_aside_and_not_in_place(
    in_place: int, aside: int, *, paused: bool
) -> None:
    assert Hold(bool(in_place), bool(aside)).paused is paused


def test_entry_that_cannot_be_restored_is_an_error_with_the_reason(tmp_path: Path) -> None:
    shell = Failing(host_below(tmp_path, "tscm-old"), 1, "", "cp: No space left on device")
    with pytest.raises(ApplianceError, match=r"multidevice-core could not be restored: cp: No space left"):
        release(appliance_of(shell))


def test_entry_is_read_and_moved_as_root(old: Appliance) -> None:
    shell = old.shell
    assert isinstance(shell, LocalShell)
    state(old)
    hold(old)
    release(old)
    assert shell.as_root == shell.displays
    assert len(shell.displays) == 3


def test_install_does_not_rewrite_identical_content(tmp_path: Path) -> None:
    (tmp_path / "cron.d").mkdir()
    shell = LocalShell(host_below(tmp_path, "tscm-old"))
    appliance, place = appliance_of(shell), entry(tmp_path)
    place.write_text(TEXT, encoding="utf-8")
    before = place.stat()
    cron_hold.install(appliance, str(place), TEXT)
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in place.parent.iterdir()] == ["multidevice-core"]
    assert shell.as_root == [f"write {place}"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file to root")
def test_install_replaces_other_content(old: Appliance, tmp_path: Path) -> None:
    cron_hold.install(old, old.paths.cron_entry, "other\n")
    assert entry(tmp_path).read_text(encoding="utf-8") == "other\n"
    assert entry(tmp_path).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "cron.d").iterdir()] == ["multidevice-core"]
