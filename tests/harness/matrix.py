"""The kill matrix: a migration is stopped before and after each event of its journal, then resumed or rolled back.

    python -m tests.harness.matrix --jobs 5
    python -m tests.harness.matrix --how off-old --method sftp --verb resume --share 1/5 --out results.jsonl

It is stopped by SIGKILL. With `--how off-old` or `off-new` that appliance loses its power instead, and gets it back
before the resume, except an old appliance that the run had powered off already.

`--out` writes one line of JSON for each point, with what was wrong. A share is every nth point; choose an odd n, because
points before and after an event alternate.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness.lab_pool import LabFailed, LabPool
from tests.harness.namespaces import NamespaceLab
from tests.harness.profile import new_profile, old_profile
from tests.harness.rig import Rig, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.harness.rig import ToolRun

KILLED = -9
VERBS = ("resume", "rollback")
HOWS = ("kill", "off-old", "off-new")
METHODS = ("tar", "sftp", "rsync")  # the first two through the workstation, the last from appliance to appliance
NETWORKS = ("restore", "prepared")  # network settings by tsadmin's restore, or written before the cutover
# A rollback deletes no archive: the copy on the new appliance stays.
_KEPT_BY_ROLLBACK = "new archives more"


@dataclass(frozen=True)
class Point:
    """A point in time: `when` "before" or "after" event number `n` is on the disk; `about` describes the event."""

    n: int
    when: str
    about: str


@dataclass(frozen=True)
class Case:
    """A point, the methods of the transfer and of the network settings, how the run is stopped, and the next command."""

    method: str
    network: str
    how: str
    verb: str
    point: Point

    def text(self) -> str:
        """Return the case as one line."""
        where = f"{self.point.when:<6} {self.point.n:>3} {self.point.about}"
        return f"{self.method:<5} {self.network:<8} {self.how:<7} {self.verb:<8} {where}"


@dataclass(frozen=True)
class Result:
    """Result of a point; `wrong` lists the differences, `text` is the tool's output if there are some."""

    point: Point
    verb: str
    killed: int
    status: int
    seconds: float
    wrong: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True)
class Undisturbed:
    """A run without faults: the final state that every other run must reach, and the points of its journal."""

    end: dict[str, Any]
    points: tuple[Point, ...]


def undisturbed(rig: Rig) -> Undisturbed:
    """Run a migration.

    Raises:
        RuntimeError: the migration failed without a fault.
    """
    rig.fresh()
    before = rig.state()
    done = rig.migrate()
    if done.status != 0:
        raise RuntimeError(f"an undisturbed migration ended with {done.status}:\n{done.text}")
    points = []
    for event in rig.events():
        data = event["data"]
        about = " ".join([event["event"], str(data.get("step") or data.get("key") or data.get("host") or "")]).strip()
        points += [Point(event["n"], when, about) for when in ("before", "after")]
    return Undisturbed(rig.state().relative_to(before), tuple(points))


def kill_at(rig: Rig, point: Point, verb: str, base: Undisturbed, how: str = "kill") -> Result:
    """Stop a run on fresh appliances at `point`, then run `verb`; compare the final state with the expected one."""
    rig.fresh()
    began, before = time.monotonic(), rig.state()
    if how == "kill":
        first = rig.migrate([{"kind": "kill", "n": point.n, "when": point.when}])
    else:
        first = _power_cut(rig, point, how.removeprefix("off-"))
    over = any(e["event"] == "run-ended" and e["data"]["outcome"] in {"done", "attention"} for e in rig.events())
    # A run that has ended is rolled back only by its name.
    named = [e["data"]["run"] for e in rig.events()[:1]] if over and verb == "rollback" else []
    undone = any(e["event"] == "step-reverted" for e in rig.events())
    # Without a journal nothing was announced, so nothing was done.
    begun = bool(rig.events())
    second = rig.run(verb, *named, "--yes")
    after = rig.state().relative_to(before)
    wrong = [f"it was not killed: exit status {first.status}"] if how == "kill" and first.status != KILLED else []
    if not begun:
        expected = before.relative_to(before)
    elif verb == "resume":
        expected = dict(base.end)  # for a run that has ended, resume exits with 2: nothing is left to do
        wrong += [f"exit status {second.status}"] if second.status != (2 if over else 0) else []
    else:
        expected = before.relative_to(before)
        wrong += [f"exit status {second.status}"] if second.status else []
    if begun and (verb == "rollback" or undone):  # then a resume makes a second backup
        expected.pop(_KEPT_BY_ROLLBACK), after.pop(_KEPT_BY_ROLLBACK)
    wrong += differences(expected, after) + rig.leaks()
    wrong += ["two hosts wanted one address"] if rig.collisions() else []
    text = f"{first.text}\n--- {verb}\n{second.text}" if wrong else ""
    return Result(point, verb, first.status, second.status, round(time.monotonic() - began, 1), tuple(wrong), text)


def _power_cut(rig: Rig, point: Point, name: str) -> ToolRun:
    """Run a migration during which an appliance loses its power at `point`."""
    first = rig.migrate_and_pause(point.n, point.when, lambda lab: lab.power_off(name))
    gone = any(event["event"] == "noted" and event["data"]["key"] == "offline_began" for event in rig.events())
    if not rig.lab.is_on("new"):
        rig.lab.power_on("new")
    if not rig.lab.is_on("old") and not gone:
        rig.lab.power_on("old")
    return first


def share_of(cases: Sequence[Case], share: str) -> list[Case]:
    """Return a share of the cases: "2/7" is every seventh case, starting with the second."""
    which, _, of = share.partition("/")
    return list(cases)[int(which) - 1 :: int(of or 1)]


def make_rig(folder: Path) -> Rig:
    """Return a rig with its own lab, and a short timeout for an appliance that has lost its power."""
    return Rig(lab(folder), policy="reboot_timeout = 60")


def lab(folder: Path, disk: str = "2g", **old: Any) -> NamespaceLab:
    """Return a lab of two appliances that boot fast; `old`: fields of the old appliance's profile."""
    return NamespaceLab(folder, old_profile(boot_seconds=0.2, **old), new_profile(boot_seconds=0.2), disk=disk)


Kind = tuple[str, str]  # methods of the transfer and of the network settings


def _options(kind: Kind) -> tuple[str, ...]:
    return ("--method", kind[0], "--network", kind[1])


def _base_of(rig: Rig, kind: Kind) -> Undisturbed:
    rig.options = _options(kind)
    return undisturbed(rig)


def _bases(labs: LabPool, kinds: list[Kind]) -> dict[Kind, Undisturbed]:
    bases: dict[Kind, Undisturbed] = {}
    for kind, base in labs.each(_base_of, kinds):
        if isinstance(base, LabFailed):
            raise base
        bases[kind] = base
    return bases


def _try(rig: Rig, item: tuple[Case, Undisturbed]) -> Result:
    case, base = item
    rig.options = _options((case.method, case.network))
    return kill_at(rig, case.point, case.verb, base, case.how)


def _cases(bases: dict[Kind, Undisturbed], options: argparse.Namespace) -> list[Case]:
    first, _, last = options.events.partition("-")
    return [
        Case(*kind, how, verb, point)
        for kind, how, verb in product(bases, options.how, options.verb)
        for point in bases[kind].points
        if int(first) <= point.n <= int(last or first) and options.about in point.about
    ]


def results(options: argparse.Namespace) -> Iterator[tuple[Case, Result]]:
    """Yield the results of a share of the cases, several at the same time; the options are those of `_parser`."""
    with LabPool(options.jobs, make_rig) as labs:
        bases = _bases(labs, list(product(options.method, options.network)))
        items = [(case, bases[case.method, case.network]) for case in share_of(_cases(bases, options), options.share)]
        for (case, _), result in labs.each(_try, items):
            if isinstance(result, LabFailed):
                result = Result(case.point, case.verb, 0, 0, 0.0, ("the lab itself failed",), str(result))  # noqa: PLW2901
            yield case, result


def several(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a parser for argparse: some of these names, separated by commas, or "all".

    Raises:
        argparse.ArgumentTypeError: a name is not one of these.
    """

    def parse(text: str) -> list[str]:
        chosen = list(names) if text == "all" else text.split(",")
        if wrong := [name for name in chosen if name not in names]:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: only all, {', '.join(names)}")
        return chosen

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matrix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--verb", type=several(VERBS), default="all", help="resume,rollback")
    parser.add_argument("--how", type=several(HOWS), default="kill", help="kill,off-old,off-new or all")
    parser.add_argument("--method", type=several(METHODS), default="tar", help="tar,sftp,rsync or all")
    parser.add_argument("--network", type=several(NETWORKS), default="all", help="restore,prepared or all")
    parser.add_argument("--share", default="1/1", help="2/7: every seventh point, starting with the second")
    parser.add_argument("--events", default="0-9999", help="only these numbers: FIRST-LAST")
    parser.add_argument(
        "--about", default="", help="only events whose description contains this text, such as transfer"
    )
    parser.add_argument("--jobs", type=int, default=1, help="labs at the same time; on two cores at most six")
    parser.add_argument("--out", type=Path, help="append a line of JSON for each point")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    return parser


def main(argv: Sequence[str] | None = None, write: Callable[[str], Any] = sys.stdout.write) -> int:
    """Run a share of the matrix; return 1 if a result is wrong."""
    options = _parser().parse_args(argv)
    deadline, bad, count = time.monotonic() + 60 * options.minutes, 0, 0
    for case, result in results(options):
        count, bad = count + 1, bad + bool(result.wrong)
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(
                    json.dumps({"method": case.method, "network": case.network, "how": case.how, **asdict(result)})
                    + "\n"
                )
        mark = "ok " if not result.wrong else "BAD"
        write(f"{mark} {case.text():<80} {result.seconds:5.1f} s  {'; '.join(result.wrong)}\n")
        if result.wrong:
            write("".join(f"    | {line}\n" for line in result.text.splitlines()))
        sys.stdout.flush()
        if time.monotonic() > deadline:
            break
    write(f"{count} points, {bad} bad\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
