"""The time of the second look, and how the drain waits for running updates; with simulated process lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.local_shell import LocalShell, appliance_of
from tscm_migrate.appliance import cron_hold
from tscm_migrate.appliance.cron_hold import LOOKS_APART, Hold, second_look_after
from tscm_migrate.errors import DrainTimeout, ProcessesHidden
from tscm_migrate.events import Event, Waiting
from tscm_migrate.model import Host
from tscm_migrate.ssh.execution import CommandResult

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance


@pytest.mark.parametrize("second", [0.0, 0.5, 10.0, 30.0, 54.9, 60.0, 114.9])
def test_second_look_comes_after_three_seconds_far_from_the_next_minute(second: float) -> None:
    assert second_look_after(1_700_000_040 + second) == 3.0


@pytest.mark.parametrize("second", [55.0, 57.5, 59.0, 59.99, 115.0, 119.0])
def test_second_look_comes_after_the_next_minute_when_it_is_near(second: float) -> None:
    held_at = 1_700_000_040 + second
    wait = second_look_after(held_at)
    assert wait >= LOOKS_APART
    assert (held_at + wait) % 60 >= 2.9
    assert (held_at + wait) % 60 < 5


class Updating(LocalShell):
    """Simulates an appliance with the given number of running updates at each look; the last number repeats."""

    def __init__(self, *running: int, in_place: str = "no", aside: str = "yes") -> None:
        super().__init__(Host("tscm-old", "127.0.0.43"))
        self.running, self.looks, self.entry = running, 0, f"{in_place}\n{aside}\n* * * * * root ts-update-all\n\n"
        self.now, self.slept, self.events = 1000.0, list[float](), list[Event]()

    def run(self, script: str, **_: Any) -> CommandResult:
        token = re.findall(r"look-[0-9a-f]{16}", script)[0]
        count = self.running[min(self.looks, len(self.running) - 1)]
        self.looks += 1
        updates = "".join(f"{901 + at} 40 S {20 + at} ts-update --all {'x' * 300}\n" for at in range(count))
        text = (
            f"{self.entry}{token}-begins\nown 77\nclock {1_700_000_040 + self.now % 60}\ntop 1\n"
            f"proc /proc proc rw 0 0\nnamespace pid:[4026531836]\nlisting\n"
            f"1 0 Ss 900 /sbin/init\n40 1 Ss 800 cron -f\n77 40 S 1 sh -c {token}\n{updates}{token}\n"
        )
        return CommandResult("", 0, text, "", 0.0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        assert len(self.slept) < 1000, "the drain does not end"

    def appliance(self) -> Appliance:
        made = appliance_of(self)
        made.emit = self.events.append
        return made

    def drain(self, timeout: float) -> cron_hold.Look:
        return cron_hold.drain(self.appliance(), timeout=timeout, sleep=self.sleep, monotonic=lambda: self.now)


@pytest.mark.parametrize(("in_place", "aside"), [("yes", "no"), ("no", "yes")])
def test_look_returns_the_entry_its_programs_and_the_running_updates(in_place: str, aside: str) -> None:
    seen = cron_hold.look(Updating(2, in_place=in_place, aside=aside).appliance())
    assert seen.hold == Hold(in_place=in_place == "yes", aside=aside == "yes")
    assert seen.programs == {"ts-update", "ts-update-all"}
    assert [process.pid for process in seen.running] == [901, 902]


@pytest.mark.parametrize("printed", ["", "yes\n", "yes\nmaybe\ntext\n", "no no\nyes\ntext\n"])
def test_look_without_the_place_of_the_entry_is_an_error(printed: str) -> None:
    shell = Updating(0)
    shell.entry = printed
    with pytest.raises(ProcessesHidden, match="multidevice-core is in place"):
        cron_hold.look(shell.appliance())


def test_drain_ends_after_two_consecutive_looks_without_an_update() -> None:
    shell = Updating(1, 0, 2, 0, 0, 1)
    assert shell.drain(3600.0).running == ()
    assert shell.looks == 5
    assert [0.5 <= pause <= 1.5 for pause in shell.slept] == [True, False, True, False]


def test_timeout_covers_the_complete_drain() -> None:
    shell = Updating(0)
    shell.drain(LOOKS_APART)
    assert shell.looks == 2, "the second look is at the end of the timeout"
    with pytest.raises(DrainTimeout, match="none seen at the last check"):
        Updating(0).drain(LOOKS_APART - 0.1)
    shell = Updating(1)
    with pytest.raises(DrainTimeout):
        shell.drain(60.0)
    assert 50.0 <= sum(shell.slept) <= 60.0


def test_drain_timeout_shows_the_beginning_of_each_running_command() -> None:
    with pytest.raises(DrainTimeout) as raised:
        Updating(2).drain(5.0)
    first, second = raised.value.processes
    assert first.startswith("pid 901 since 20 s: ts-update --all xxx")
    assert second.startswith("pid 902 since 21 s: ")
    assert len(first) < 180
    assert raised.value.seconds == 5.0


def test_drain_events_show_the_running_updates() -> None:
    shell = Updating(2, 1, 0)
    shell.drain(600.0)
    shown = [event for event in shell.events if isinstance(event, Waiting)]
    assert [event.what.removeprefix("draining: ") for event in shown] == [
        "ts-update pid 901 and 1 more",
        "ts-update pid 901",
        "no update is running; checking once more",
    ]
    assert [(event.elapsed, event.limit, event.host) for event in shown] == [
        (0.0, 600.0, "tscm-old"), (1.0, 600.0, "tscm-old"), (2.0, 600.0, "tscm-old"),
    ]  # fmt: skip
