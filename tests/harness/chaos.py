"""Migrations under random faults, chosen by a seed: `python -m tests.harness.chaos --seed 1 --count 500 --jobs 5`.

Each schedule runs a migration with a few faults, repairs what an operator would repair, and then resumes the run or
rolls it back until the command succeeds. Nothing may be lost: see `judge`. A schedule that fails is printed with its
seed, and reduced: faults are left out while it still fails.
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
from tests.harness.faults import ENVIRONMENT_FAULTS, TSADMIN_FAULTS
from tests.harness.lab_pool import LabFailed, LabPool
from tests.harness.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness.namespaces import NamespaceLab
    from tests.harness.rig import State, ToolRun

EVENTS = 118  # about the number of events in the journal of an undisturbed run
_LOGS = 1_000_000  # bytes of log files on the old appliance; the archive has about the same size
_WIRE = (200_000, 2_400_000)  # bytes that a run sends over ssh, without the archive and with it
_OPTIONS = ("--drain-timeout", "8")
_ROUNDS = 4  # attempts to resume or roll back until the command has to succeed


@dataclass(frozen=True)
class Fault:
    """One fault.

    `kind` is a key of `faulty_tool.FAULTS`, or "world" (`what` is a key of `ENVIRONMENT_FAULTS`), or "tsadmin" (`what` is
    one of `TSADMIN_FAULTS`); for the last two `where` names the appliance. They happen when event `n` is on the disk;
    "tsadmin" with `n` 0 before the run.
    """

    kind: str
    n: int = 0
    when: str = "after"
    what: str = ""
    where: str = "old"
    value: Any = None

    def plan(self) -> dict[str, Any]:
        """Return the fault in the form that `faulty_tool` reads."""
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
    """Faults of one migration, the transfer method, and the command that is run afterwards (`verb`)."""

    seed: int
    faults: tuple[Fault, ...]
    verb: str = "resume"
    method: str = "auto"


@dataclass(frozen=True)
class Verdict:
    """Result of a schedule: `wrong` lists what was lost or misreported, `statuses` the exit status of each command."""

    schedule: Schedule
    wrong: tuple[str, ...]
    statuses: tuple[int, ...]
    seconds: float
    text: str = ""


def schedule_of(seed: int, *, rollback: bool = True) -> Schedule:
    """Return the schedule of a seed."""
    rng = random.Random(seed)
    faults = tuple(_fault(rng) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    verb = "rollback" if rollback and rng.random() < 0.4 else "resume"
    timed = [fault for fault in faults if _is_timed(fault)]
    method = rng.choice(("auto", "auto", "sftp", "rsync"))
    return Schedule(seed, tuple(f for f in faults if f not in timed[1:]), verb, method)


def _fault(rng: random.Random) -> Fault:  # noqa: PLR0911 - one line a kind
    kind = rng.choice(("kill", "kill", "kill-at", "signal", "full", "clock", "reset", "reset", "silence", "world",
                        "world", "world", "world", "tsadmin", "tsadmin", "tsadmin"))  # fmt: skip
    n, when = rng.randrange(EVENTS), rng.choice(("before", "after"))
    match kind:
        case "signal":
            return Fault(kind, n, when, value=rng.choice(("SIGINT", "SIGTERM", "SIGHUP")))
        case "full":
            return Fault(kind, n, when, value=rng.choice((1, 5, 1000)))
        case "clock":
            return Fault(kind, n, when, value=rng.choice((-86400, -30, 30, 7200, 400 * 86400)))
        case "reset" | "silence" | "kill-at":
            return Fault(kind, value=rng.randrange(2000, rng.choice(_WIRE)))
        case "world":
            return Fault(kind, n, "after", rng.choice(sorted(ENVIRONMENT_FAULTS)), rng.choice(("old", "new")))
        case "tsadmin":
            where, what, value = rng.choice(TSADMIN_FAULTS)
            return Fault(kind, rng.choice((0, n)), "after", what, where, value)
    return Fault(kind, n, when)


def run_schedule(rig: Rig, schedule: Schedule) -> Verdict:
    """Run a schedule on fresh appliances, and judge the result."""
    rig.options = (*_OPTIONS, "--method", schedule.method)
    rig.fresh()
    began, before = time.monotonic(), rig.state()
    _set_tsadmin_faults(rig.lab, [f for f in schedule.faults if f.kind == "tsadmin" and not f.n])
    runs = [_migrate(rig, schedule)]
    wrong = _misreported(rig, runs[-1])
    _repair(rig, schedule)
    _set_tsadmin_faults(rig.lab, [])
    _restart_with_saved_settings(rig, schedule)
    verb = schedule.verb
    while runs[-1].status not in (0, 4) and rig.events() and len(runs) <= _ROUNDS:
        _power_on(rig)
        _repair(rig, schedule)
        runs.append(rig.run(verb, "--yes"))
        wrong += _misreported(rig, runs[-1])
        if runs[-1].status == 2 and "there is no unfinished run" in runs[-1].err:
            break
    if runs[-1].status not in (0, 4) and len(runs) > _ROUNDS and _may_be_damaged(schedule):
        runs.append(rig.run("rollback", "--yes"))  # a copy damaged after the cutover cannot be resumed
        wrong += _misreported(rig, runs[-1])
    _repair(rig, schedule)
    wrong += judge(rig, schedule, before, runs)
    text = "\n--- next\n".join(one.text for one in runs) if wrong else ""
    statuses = tuple(one.status for one in runs)
    return Verdict(schedule, tuple(dict.fromkeys(wrong)), statuses, round(time.monotonic() - began, 1), text)


def _set_tsadmin_faults(lab: NamespaceLab, faults: Sequence[Fault]) -> None:
    """Set these faults of tsadmin and of the machines; earlier ones end."""
    sides = {side: {f.what: f.value for f in faults if f.where == side} for side in ("old", "new")}
    for side, some in sides.items():
        lab.guest(side).change(faults=some)
    lab.boot_faults(sides)


def _migrate(rig: Rig, schedule: Schedule) -> ToolRun:
    """Run the migration with all its faults."""
    plan = [fault.plan() for fault in schedule.faults if fault.kind not in {"world", "tsadmin"}]
    timed = next(filter(_is_timed, schedule.faults), None)
    if timed is None:
        return rig.migrate(plan)
    if timed.kind == "world":
        return rig.migrate_and_pause(
            timed.n, "after", lambda lab: ENVIRONMENT_FAULTS[timed.what].cause(lab, timed.where), plan
        )
    those = [f for f in schedule.faults if f.kind == "tsadmin"]
    return rig.migrate_and_pause(timed.n, "after", lambda lab: _set_tsadmin_faults(lab, those), plan)


def _is_timed(fault: Fault) -> bool:
    """Return whether the harness causes the fault when an event is on the disk; a schedule has at most one such."""
    return fault.kind == "world" or (fault.kind == "tsadmin" and fault.n > 0)


def _repair(rig: Rig, schedule: Schedule) -> None:
    """Repair what an operator would repair: disk space, cable, permissions, programs that never end."""
    for fault in schedule.faults:
        if fault.kind == "world":
            ENVIRONMENT_FAULTS[fault.what].repair(rig.lab, fault.where)
        if fault.what in {"hangs_backup", "hangs_restore", "drips"} and rig.lab.is_on(fault.where):
            rig.lab.on(fault.where, "pkill -KILL -f 'tsadmin (backup|restore)' || :")


def _restart_with_saved_settings(rig: Rig, schedule: Schedule) -> None:
    """Restart the new appliance if it has rebooted with other network settings than were saved."""
    if any(fault.what == "reboot_keeps_address" for fault in schedule.faults) and rig.lab.is_on("new"):
        rig.lab.power_off("new")
        rig.lab.power_on("new")


def _power_on(rig: Rig) -> None:
    """Switch on what lost its power; the old appliance stays off if the run has announced to power it off."""
    events = rig.events()
    gone = any(e["event"] == "action-started" and e["data"]["describes"].startswith("power off") for e in events)
    if not rig.lab.is_on("new"):
        rig.lab.wait_settled("new")
        if not rig.lab.is_on("new"):
            rig.lab.power_on("new")
    if not rig.lab.is_on("old") and not gone:
        rig.lab.power_on("old")


def _misreported(rig: Rig, run: ToolRun) -> list[str]:
    """Return what a command may never do, with any exit status."""
    wrong = []
    if run.status == -1000:
        wrong.append("it did not end within the timeout")
    if "Internal error" in run.text:
        wrong.append("an internal error")
    held = "held/multidevice-core" in rig.state().old["ours"]
    if (
        held
        and run.status in range(13)
        and not any(word in run.text for word in ("PAUSED", "updates are paused", "is locked"))
    ):
        wrong.append(f"updates are paused, and the output (exit {run.status}) does not say so")
    return wrong


def judge(rig: Rig, schedule: Schedule, before: State, runs: Sequence[ToolRun]) -> list[str]:
    """Return what was lost, and what differs from what the last exit status says."""
    state, wrong = rig.state(), _lost_archives(schedule, before, rig.state())
    now, back, last = state.relative_to(before), before.relative_to(before), runs[-1].status
    wrong += ["two hosts wanted one address"] if rig.collisions() else []
    wrong += rig.leaks() if last in (0, 1, 4, 5) and not _off(rig, schedule) else []
    done = rig.events() and rig.events()[-1]["data"].get("outcome") in {"done", "attention"}
    if last == 0 and done and now["new files"] != "as old before":
        wrong.append("it says done, but files of devices are missing or differ")
    if last == 0 and not done:
        wrong += [f"{key} is not as before: {now[key]}" for key in ("old cron", "old files", "old ours", "new files")
                  if now[key] != back[key]]  # fmt: skip
    if last not in (0, 4) and len(runs) > _ROUNDS:
        wrong.append(f"{schedule.verb} did not succeed in {_ROUNDS} attempts")
    return wrong


def _may_be_damaged(schedule: Schedule) -> int:
    """Return how many files the faults may damage."""
    return sum(f.kind == "world" and ENVIRONMENT_FAULTS[f.what].may_damage_files for f in schedule.faults)


def _lost_archives(schedule: Schedule, before: State, state: State) -> list[str]:
    """Return archives that are missing or changed, beyond those that the faults may damage."""
    damaged = _may_be_damaged(schedule)
    gone = set(before.old["archives"]) - set(state.old["archives"])
    extra = set(state.new["archives"]) - set(before.new["archives"]) - set(state.old["archives"])
    wrong = ["an archive of the old appliance is lost"] if len(gone) > damaged else []
    return wrong + (["tscm-new has an archive that tscm-old lacks"] if len(extra) > damaged else [])


def _off(rig: Rig, schedule: Schedule) -> bool:
    return any(f.what == "power cut" for f in schedule.faults) and not rig.lab.is_on("new")


def smallest_failing(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Return the smallest part of a schedule that still fails, found by leaving out one fault after another."""
    index = 0
    while index < len(schedule.faults) and len(schedule.faults) > 1:
        fewer = replace(schedule, faults=schedule.faults[:index] + schedule.faults[index + 1 :])
        if fails(fewer):
            schedule = fewer
        else:
            index += 1
    return schedule


def make_rig(folder: Path) -> Rig:
    """Return a rig with small disks, which are full soon, and short timeouts, so that hanging programs cost little."""
    policy = "reboot_timeout = 30\ntsadmin_silence = 15\ntsadmin_timeout = 40\ndevice_timeout = 40"
    return Rig(matrix.lab(folder, disk="160m", log_bytes=_LOGS), policy=policy)


@dataclass(frozen=True)
class Examined:
    """A schedule's verdict; if it failed: whether it failed again, and the smallest part of it that still fails."""

    verdict: Verdict
    again: bool = False
    smallest: Schedule | None = None


def examine(rig: Rig, schedule: Schedule) -> Examined:
    """Run a schedule; run a failing one again, and reduce it."""
    verdict = run_schedule(rig, schedule)
    if not verdict.wrong:
        return Examined(verdict)
    again = bool(run_schedule(rig, schedule).wrong)
    return Examined(
        verdict, again, smallest_failing(schedule, lambda one: bool(run_schedule(rig, one).wrong)) if again else None
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run some schedules; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="labs at the same time; on two cores at most six")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--out", type=Path, help="append a line of JSON for each schedule")
    parser.add_argument("--no-rollback", action="store_true")
    options = parser.parse_args(argv)
    deadline, bad, count = time.monotonic() + 60 * options.minutes, 0, 0
    schedules = [
        schedule_of(seed, rollback=not options.no_rollback)
        for seed in range(options.seed, options.seed + options.count)
    ]
    with LabPool(options.jobs, make_rig) as labs:
        for schedule, examined in labs.each(examine, schedules):
            if isinstance(examined, LabFailed):
                examined = Examined(Verdict(schedule, ("the lab itself failed",), (), 0.0, str(examined)))  # noqa: PLW2901
            count, bad = count + 1, bad + bool(examined.verdict.wrong)
            _report(examined, options.out)
            if time.monotonic() > deadline:
                break
    sys.stdout.write(f"{count} schedules from seed {options.seed}, {bad} bad\n")
    return 1 if bad else 0


def _report(examined: Examined, out: Path | None) -> None:
    verdict = examined.verdict
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
        small = examined.smallest
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
