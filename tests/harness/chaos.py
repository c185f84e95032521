"""Random schedules of faults, from a seed: `python -m tests.harness.chaos --seed 1 --count 500 --jobs 5`.

Each schedule runs a migration with a few faults, mends what a person would mend, and then resumes or rolls back until
that goes through. Whatever happened, nothing may be lost: see `judge`. A schedule that fails is printed with its seed
and made smaller, by leaving faults out for as long as it still fails.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness import matrix
from tests.harness.faults import TROUBLES, TSADMIN
from tests.harness.lab_pool import Abreast, Broken
from tests.harness.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness.namespaces import NamespaceLab
    from tests.harness.rig import Ended, State

EVENTS = 118  # about as many as the journal of an undisturbed run has
_LOGS = 1_000_000  # bytes that make the archive as large
_WIRE = (200_000, 2_400_000)  # bytes that go over ssh in one, without the archive and with it
_OPTIONS = ("--drain-timeout", "8")
_ROUNDS = 4  # how often resume or rollback may be said until all is well


@dataclass(frozen=True)
class Fault:
    """One fault.

    `kind`: of `wrapped.FAULTS`, "world" (then `what` names one of `world.TROUBLES` and `where` the appliance) or
    "tsadmin" (then `what` is of `world.TSADMIN`). These two come when event `n` is on the disk; "tsadmin" with 0 before
    the run.
    """

    kind: str
    n: int = 0
    when: str = "after"
    what: str = ""
    where: str = "old"
    value: Any = None

    def plan(self) -> dict[str, Any]:
        """As `lab.wrapped` reads it."""
        extra = {"full": "count", "clock": "jump", "signal": "signal", "reset": "bytes", "silence": "bytes",
                 "kill-at": "bytes"}  # fmt: skip
        entry: dict[str, Any] = {"kind": self.kind, "n": self.n, "when": self.when}
        if self.kind in extra:
            entry[extra[self.kind]] = self.value
        if extra.get(self.kind) == "bytes":
            del entry["n"]
        return entry


@dataclass(frozen=True)
class Schedule:
    """What happens in one round; `method` is the transfer's, `verb` is said afterwards."""

    seed: int
    faults: tuple[Fault, ...]
    verb: str = "resume"
    method: str = "auto"


@dataclass(frozen=True)
class Verdict:
    """What came of a schedule: `wrong` is empty where nothing was lost; `statuses` of each run of the tool."""

    schedule: Schedule
    wrong: tuple[str, ...]
    statuses: tuple[int, ...]
    seconds: float
    text: str = ""


def drawn(seed: int, *, rollback: bool = True) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(seed)
    faults = tuple(_fault(dice) for _ in range(dice.choice((1, 1, 2, 2, 3))))
    verb = "rollback" if rollback and dice.random() < 0.4 else "resume"
    timed = [fault for fault in faults if _is_timed(fault)]
    method = dice.choice(("auto", "auto", "sftp", "rsync"))
    return Schedule(seed, tuple(f for f in faults if f not in timed[1:]), verb, method)


def _fault(dice: random.Random) -> Fault:  # noqa: PLR0911 - one line a kind
    kind = dice.choice(("kill", "kill", "kill-at", "signal", "full", "clock", "reset", "reset", "silence", "world",
                        "world", "world", "world", "tsadmin", "tsadmin", "tsadmin"))  # fmt: skip
    n, when = dice.randrange(EVENTS), dice.choice(("before", "after"))
    match kind:
        case "signal":
            return Fault(kind, n, when, value=dice.choice(("SIGINT", "SIGTERM", "SIGHUP")))
        case "full":
            return Fault(kind, n, when, value=dice.choice((1, 5, 1000)))
        case "clock":
            return Fault(kind, n, when, value=dice.choice((-86400, -30, 30, 7200, 400 * 86400)))
        case "reset" | "silence" | "kill-at":
            return Fault(kind, value=dice.randrange(2000, dice.choice(_WIRE)))
        case "world":
            return Fault(kind, n, "after", dice.choice(sorted(TROUBLES)), dice.choice(("old", "new")))
        case "tsadmin":
            where, what, value = dice.choice(TSADMIN)
            return Fault(kind, dice.choice((0, n)), "after", what, where, value)
    return Fault(kind, n, when)


def play(rig: Rig, schedule: Schedule) -> Verdict:
    """Run a schedule on fresh appliances and judge what is left."""
    rig.options = (*_OPTIONS, "--method", schedule.method)
    rig.fresh()
    began, before = time.monotonic(), rig.state()
    _misbehave(rig.lab, [f for f in schedule.faults if f.kind == "tsadmin" and not f.n])
    ended = [_first(rig, schedule)]
    wrong = _told(rig, ended[-1])
    _mend(rig, schedule)
    _misbehave(rig.lab, [])
    _restart_the_misled(rig, schedule)
    verb = schedule.verb
    while ended[-1].status not in (0, 4) and rig.events() and len(ended) <= _ROUNDS:
        _switch_on(rig)
        _mend(rig, schedule)
        ended.append(rig.run(verb, "--yes"))
        wrong += _told(rig, ended[-1])
        if ended[-1].status == 2 and "there is no unfinished run" in ended[-1].err:
            break
    if ended[-1].status not in (0, 4) and len(ended) > _ROUNDS and _spoiled(schedule):
        ended.append(rig.run("rollback", "--yes"))  # a copy that was damaged when the old one was away: see there
        wrong += _told(rig, ended[-1])
    _mend(rig, schedule)
    wrong += judge(rig, schedule, before, ended)
    text = "\n--- next\n".join(one.text for one in ended) if wrong else ""
    statuses = tuple(one.status for one in ended)
    return Verdict(schedule, tuple(dict.fromkeys(wrong)), statuses, round(time.monotonic() - began, 1), text)


def _misbehave(lab: NamespaceLab, faults: Sequence[Fault]) -> None:
    """From now on tsadmin and the machines do just this wrong."""
    sides = {side: {f.what: f.value for f in faults if f.where == side} for side in ("old", "new")}
    for side, some in sides.items():
        lab.guest(side).change(faults=some)
    lab.boot_faults(sides)


def _first(rig: Rig, schedule: Schedule) -> Ended:
    """The migration itself, with all its faults."""
    plan = [fault.plan() for fault in schedule.faults if fault.kind not in {"world", "tsadmin"}]
    timed = next(filter(_is_timed, schedule.faults), None)
    if timed is None:
        return rig.migrate(plan)
    if timed.kind == "world":
        return rig.migrate_but(timed.n, "after", lambda lab: TROUBLES[timed.what].strike(lab, timed.where), plan)
    those = [f for f in schedule.faults if f.kind == "tsadmin"]
    return rig.migrate_but(timed.n, "after", lambda lab: _misbehave(lab, those), plan)


def _is_timed(fault: Fault) -> bool:
    """Whether it comes from outside when an event is on the disk; there is at most one such in a schedule."""
    return fault.kind == "world" or (fault.kind == "tsadmin" and fault.n > 0)


def _mend(rig: Rig, schedule: Schedule) -> None:
    """What a person does: make room, put the cable back, give back what was taken, end what never ends."""
    for fault in schedule.faults:
        if fault.kind == "world":
            TROUBLES[fault.what].heal(rig.lab, fault.where)
        if fault.what in {"hangs_backup", "hangs_restore", "drips"} and rig.lab.is_on(fault.where):
            rig.lab.on(fault.where, "pkill -KILL -f 'tsadmin (backup|restore)' || :")


def _restart_the_misled(rig: Rig, schedule: Schedule) -> None:
    """The one that came back with other settings than were saved."""
    if any(fault.what == "reboot_keeps_address" for fault in schedule.faults) and rig.lab.is_on("new"):
        rig.lab.power_off("new")
        rig.lab.power_on("new")


def _switch_on(rig: Rig) -> None:
    """Whatever lost its power; but the old one stays off once it was told to go."""
    events = rig.events()
    gone = any(e["event"] == "action-started" and e["data"]["describes"].startswith("power off") for e in events)
    if not rig.lab.is_on("new"):
        rig.lab.wait_settled("new")
        if not rig.lab.is_on("new"):
            rig.lab.power_on("new")
    if not rig.lab.is_on("old") and not gone:
        rig.lab.power_on("old")


def _told(rig: Rig, ended: Ended) -> list[str]:
    """What one run of the tool may never do, however it ends."""
    wrong = []
    if ended.status == -1000:
        wrong.append("it did not end within its time")
    if "Internal error" in ended.text:
        wrong.append("an error that nobody foresaw")
    held = "held/multidevice-core" in rig.state().old["ours"]
    if (
        held
        and ended.status in range(13)
        and not any(word in ended.text for word in ("PAUSED", "updates are paused", "is locked"))
    ):
        wrong.append(f"updates are held and the output (exit {ended.status}) does not say so")
    return wrong


def judge(rig: Rig, schedule: Schedule, before: State, ended: Sequence[Ended]) -> list[str]:
    """What was lost, and what is not as the last exit status says."""
    state, wrong = rig.state(), _lost(schedule, before, rig.state())
    told, back, last = state.told(before), before.told(before), ended[-1].status
    wrong += ["two hosts wanted one address"] if rig.collisions() else []
    wrong += rig.leaks() if last in (0, 1, 4, 5) and not _off(rig, schedule) else []
    done = rig.events() and rig.events()[-1]["data"].get("outcome") in {"done", "attention"}
    if last == 0 and done and told["new files"] != "as old before":
        wrong.append("it says done, but the devices are not all there")
    if last == 0 and not done:
        wrong += [f"{key} is not as before: {told[key]}" for key in ("old cron", "old files", "old ours", "new files")
                  if told[key] != back[key]]  # fmt: skip
    if last not in (0, 4) and len(ended) > _ROUNDS:
        wrong.append(f"{schedule.verb} did not go through in {_ROUNDS} attempts")
    return wrong


def _spoiled(schedule: Schedule) -> int:
    """How many files its faults damage at most."""
    return sum(f.kind == "world" and TROUBLES[f.what].spoils for f in schedule.faults)


def _lost(schedule: Schedule, before: State, state: State) -> list[str]:
    """Archives that are gone or are not what they were; a fault that damages one file is granted that one."""
    spoiled = _spoiled(schedule)
    gone = set(before.old["archives"]) - set(state.old["archives"])
    strange = set(state.new["archives"]) - set(before.new["archives"]) - set(state.old["archives"])
    wrong = ["an archive of the old one is lost"] if len(gone) > spoiled else []
    return wrong + (["the new one has an archive that the old one has not"] if len(strange) > spoiled else [])


def _off(rig: Rig, schedule: Schedule) -> bool:
    return any(f.what == "power cut" for f in schedule.faults) and not rig.lab.is_on("new")


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """The smallest part of a schedule that still fails, by leaving out one fault after another."""
    index = 0
    while index < len(schedule.faults) and len(schedule.faults) > 1:
        fewer = replace(schedule, faults=schedule.faults[:index] + schedule.faults[index + 1 :])
        if fails(fewer):
            schedule = fewer
        else:
            index += 1
    return schedule


def make_rig(folder: Path) -> Rig:
    """Small disks, so that one is full soon, and short limits, so that what never ends is given up soon."""
    policy = "reboot_timeout = 30\ntsadmin_silence = 15\ntsadmin_timeout = 40\ndevice_timeout = 40"
    return Rig(matrix.lab(folder, disk="160m", log_bytes=_LOGS), policy=policy)


@dataclass(frozen=True)
class Found:
    """A schedule's verdict; where it failed, whether it did so again, and the smallest part of it that still does."""

    verdict: Verdict
    again: bool = False
    smallest: Schedule | None = None


def tried(rig: Rig, schedule: Schedule) -> Found:
    """Play it; what fails is played again and made smaller."""
    verdict = play(rig, schedule)
    if not verdict.wrong:
        return Found(verdict)
    again = bool(play(rig, schedule).wrong)
    return Found(verdict, again, shrunk(schedule, lambda one: bool(play(rig, one).wrong)) if again else None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run some schedules; the exit status is 1 where one failed."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="labs side by side; on two cores at most six")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--out", type=Path, help="gets a line of JSON a schedule")
    parser.add_argument("--no-rollback", action="store_true")
    asked = parser.parse_args(argv)
    deadline, bad, count = time.monotonic() + 60 * asked.minutes, 0, 0
    schedules = [drawn(seed, rollback=not asked.no_rollback) for seed in range(asked.seed, asked.seed + asked.count)]
    with Abreast(asked.jobs, make_rig) as labs:
        for schedule, found in labs.each(tried, schedules):
            if isinstance(found, Broken):
                found = Found(Verdict(schedule, ("the lab itself failed",), (), 0.0, str(found)))  # noqa: PLW2901
            count, bad = count + 1, bad + bool(found.verdict.wrong)
            _report(found, asked.out)
            if time.monotonic() > deadline:
                break
    sys.stdout.write(f"{count} schedules from seed {asked.seed}, {bad} bad\n")
    return 1 if bad else 0


def _report(found: Found, out: Path | None) -> None:
    verdict = found.verdict
    if out:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(verdict), default=str) + "\n")
    mark = "ok " if not verdict.wrong else "BAD"
    faults = ", ".join(map(_named, verdict.schedule.faults))
    seed, verb = verdict.schedule.seed, verdict.schedule.verb
    wrong = f"  {'; '.join(verdict.wrong)}" if verdict.wrong else ""
    how = f"{verb}, {verdict.schedule.method}"
    sys.stdout.write(f"{mark} seed {seed} {how}: {faults} → {verdict.statuses} in {verdict.seconds} s{wrong}\n")
    if verdict.wrong:
        small = found.smallest
        sys.stdout.write(f"    smallest: {small.verb} {[asdict(fault) for fault in small.faults]}\n" if small
                         else "    it did not fail again\n")  # fmt: skip
        sys.stdout.write("".join(f"    | {line}\n" for line in verdict.text.splitlines()))
    sys.stdout.flush()


def _named(fault: Fault) -> str:
    at = f"@{fault.n}" if fault.n else ""
    value = "" if fault.value in (None, True) else f"={fault.value}"
    return f"{fault.what or fault.kind}{value}{at}{f' ({fault.where})' if fault.what else ''}"


if __name__ == "__main__":
    sys.exit(main())
