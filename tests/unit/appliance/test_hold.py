"""The cron entry of the updates is moved aside and restored, and is never lost; with sh of this machine."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.local_shell import LocalShell, appliance_of, host_below, posix_only
from tscm_migrate.appliance import cron_hold
from tscm_migrate.errors import ApplianceError, CommandFailed, DrainTimeout, ProcessesHidden

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.appliance.appliance import Appliance

pytestmark = posix_only
TEXT = "* * * * * threatstop ts-update --all\n"


@pytest.fixture
def old(tmp_path: Path) -> Appliance:
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d/multidevice-core").write_text(TEXT)
    return appliance_of(LocalShell(host_below(tmp_path, "tscm-old")))


def test_entry_is_moved_aside_and_restored_unchanged(old: Appliance, tmp_path: Path) -> None:
    entry, place = old.paths.cron_entry, tmp_path / "cron.d/multidevice-core"
    assert cron_hold.aside(old, entry) == f"{tmp_path}/hold/held/multidevice-core"
    assert not cron_hold.state(old, entry).paused
    for _ in range(2):  # a repetition has the same result
        cron_hold.hold(old, entry)
        assert cron_hold.state(old, entry) == cron_hold.Hold(in_place=False, aside=True)
        assert cron_hold.state(old, entry).paused
    assert (tmp_path / "hold/held").stat().st_mode & 0o777 == 0o700
    for _ in range(2):
        cron_hold.release(old, entry)
        assert cron_hold.state(old, entry) == cron_hold.Hold(in_place=True, aside=False)
    assert place.read_text() == TEXT
    assert not (tmp_path / "hold").exists()


def test_entry_created_again_by_a_package_is_kept_beside_the_first(old: Appliance, tmp_path: Path) -> None:
    entry, place = old.paths.cron_entry, tmp_path / "cron.d/multidevice-core"
    cron_hold.hold(old, entry)
    place.write_text("another\n")
    assert not cron_hold.state(old, entry).paused
    cron_hold.hold(old, entry)
    assert (tmp_path / "hold/held/multidevice-core").read_text() == TEXT
    assert (tmp_path / "hold/held/multidevice-core.laid-back").read_text() == "another\n"
    cron_hold.release(old, entry)
    assert place.read_text() == TEXT


def test_missing_entry_cannot_be_restored(old: Appliance, tmp_path: Path) -> None:
    (tmp_path / "cron.d/multidevice-core").unlink()
    with pytest.raises(ApplianceError, match="nothing to restore"):
        cron_hold.release(old, old.paths.cron_entry)


def test_several_entries_are_read_with_one_command(old: Appliance, tmp_path: Path) -> None:
    updates, backups = old.paths.cron_entry, f"{tmp_path}/cron.d/tscm_backup"
    (tmp_path / "cron.d/tscm_backup").write_text(TEXT)
    cron_hold.hold(old, updates)
    shell = cast("LocalShell", old.shell)
    before = len(shell.displays)
    assert cron_hold.states(old, updates, backups) == (
        cron_hold.Hold(in_place=False, aside=True), cron_hold.Hold(in_place=True, aside=False),
    )  # fmt: skip
    assert len(shell.displays) == before + 1


@pytest.mark.parametrize("output", ["", "yes", "yes no yes", "yes perhaps", "no such thing"])
def test_unreadable_state_is_an_error(tmp_path: Path, output: str) -> None:
    old = appliance_of(LocalShell(host_below(tmp_path, "tscm-old"), recorded={"in place?": output}))
    with pytest.raises(ProcessesHidden):
        cron_hold.state(old, old.paths.cron_entry)


def look(old: Appliance) -> cron_hold.Look:
    try:
        return cron_hold.look(old)
    except ProcessesHidden as error:
        pytest.skip(str(error))


def test_programs_of_the_entry_are_read_in_place_and_aside(old: Appliance, tmp_path: Path) -> None:
    wrapper = TEXT.replace("ts-update", "/usr/local/bin/ts-update-wrapper")
    (tmp_path / "cron.d/multidevice-core").write_text(wrapper)
    before = look(old)
    assert before.hold == cron_hold.Hold(in_place=True, aside=False)
    cron_hold.hold(old, old.paths.cron_entry)
    after = look(old)
    assert after.hold == cron_hold.Hold(in_place=False, aside=True)
    assert after.programs == before.programs
    assert "ts-update-wrapper" in before.programs


def test_unreadable_entry_is_an_error_of_the_look(old: Appliance, tmp_path: Path) -> None:
    (tmp_path / "cron.d/multidevice-core").unlink()
    (tmp_path / "cron.d/multidevice-core").mkdir()
    with pytest.raises((ProcessesHidden, CommandFailed)):
        cron_hold.look(old)


def test_drain_waits_for_a_running_update_and_looks_twice_after_it(tmp_path: Path) -> None:
    program = tmp_path / f"ts-update-{secrets.token_hex(6)}"  # other tests may run on this machine
    program.write_text("read line\n")
    host = host_below(tmp_path, "tscm-old")
    old = appliance_of(LocalShell(replace(host, paths=replace(host.paths, ts_update=program.name))))
    (tmp_path / "cron.d").mkdir()
    now, waits = [0.0], list[float]()
    with subprocess.Popen(["sh", str(program)], stdin=subprocess.PIPE) as update:
        try:
            assert [process.pid for process in cron_hold.look(old).running] == [update.pid]
        except ProcessesHidden as error:
            update.kill()
            pytest.skip(str(error))

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            now[0] += seconds
            if len(waits) == 2:
                update.communicate(b"end\n", timeout=100)

        with pytest.raises(DrainTimeout, match=str(update.pid)):
            cron_hold.drain(old, timeout=0.5, sleep=sleep, monotonic=lambda: now[0])
        assert waits == []
        cron_hold.drain(old, timeout=600, sleep=sleep, monotonic=lambda: now[0])
    assert len(waits) == 3, "two waits for the update, and one between the two looks after it"
    assert waits[2] >= cron_hold.LOOKS_APART
    waits.clear()
    cron_hold.drain(old, timeout=600, sleep=sleep, monotonic=lambda: now[0])
    assert len(waits) == 1, "two looks, also if no update runs"
