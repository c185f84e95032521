"""The kill matrix: a migration is cut before and after each event of its journal, then resumed or rolled back.

    python -m tests.harness.matrix --jobs 5
    python -m tests.harness.matrix --how off-old --method sftp --verb resume --share 1/5 --out results.jsonl

It is cut by SIGKILL; with `--how off-old` or `off-new` that appliance loses its power instead, and gets it back before
the resume (unless it was the old one and had been told to go).

One line of JSON a point, with what was not as it should be. A share is every nth point; of an odd number, for points
before an event and after it alternate.
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

from tests.harness.lab_pool import Abreast, Broken
from tests.harness.namespaces import NamespaceLab
from tests.harness.rig import Rig, differs
from tscm_migrate.demo.profile import new_profile, old_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.harness.rig import Ended

KILLED = -9
VERBS = ("resume", "rollback")
HOWS = ("kill", "off-old", "off-new")
METHODS = ("tar", "sftp", "rsync")  # through the workstation, the same without a shell's bytes, and straight across
NETWORKS = ("restore", "prepared")  # by tsadmin's restore, or written before the cutover
# A rollback deletes no archive: what the new one was given stays there.
_KEPT_BY_ROLLBACK = "new archives more"


@dataclass(frozen=True)
class Point:
    """One event, `when` "before" or "after" it is on the disk; `about` names it for people."""

    n: int
    when: str
    about: str


@dataclass(frozen=True)
class Case:
    """A point, the transfer's method, the network's, how the run is cut there, and what is said afterwards."""

    method: str
    network: str
    how: str
    verb: str
    point: Point

    def text(self) -> str:
        """One line."""
        where = f"{self.point.when:<6} {self.point.n:>3} {self.point.about}"
        return f"{self.method:<5} {self.network:<8} {self.how:<7} {self.verb:<8} {where}"


@dataclass(frozen=True)
class Result:
    """What came of a point; `wrong` is empty where all is well, `text` is what the tool said where it is not."""

    point: Point
    verb: str
    killed: int
    status: int
    seconds: float
    wrong: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: the end that every other must come to, and the points that it offers."""

    end: dict[str, Any]
    points: tuple[Point, ...]


def undisturbed(rig: Rig) -> Undisturbed:
    """Run a migration.

    Raises:
        RuntimeError: it does not even work without faults.
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
    return Undisturbed(rig.state().told(before), tuple(points))


def kill_at(rig: Rig, point: Point, verb: str, base: Undisturbed, how: str = "kill") -> Result:
    """Fresh appliances, a run that is cut at `point`, then `verb`; compared with the end that it must come to."""
    rig.fresh()
    began, before = time.monotonic(), rig.state()
    if how == "kill":
        first = rig.migrate([{"kind": "kill", "n": point.n, "when": point.when}])
    else:
        first = _power_cut(rig, point, how.removeprefix("off-"))
    over = any(e["event"] == "run-ended" and e["data"]["outcome"] in {"done", "attention"} for e in rig.events())
    # A run that is over is only rolled back by its name.
    named = [e["data"]["run"] for e in rig.events()[:1]] if over and verb == "rollback" else []
    put_back = any(e["event"] == "step-reverted" for e in rig.events())
    # Without a journal nothing was announced, so nothing was done.
    begun = bool(rig.events())
    second = rig.run(verb, *named, "--yes")
    after = rig.state().told(before)
    wrong = [f"it was not cut: exit status {first.status}"] if how == "kill" and first.status != KILLED else []
    if not begun:
        expected = before.told(before)
    elif verb == "resume":
        expected = dict(base.end)  # of a run that is over, resume says so: there is nothing to go on with
        wrong += [f"exit status {second.status}"] if second.status != (2 if over else 0) else []
    else:
        expected = before.told(before)
        wrong += [f"exit status {second.status}"] if second.status else []
    if begun and (verb == "rollback" or put_back):  # then a resume makes a second backup
        expected.pop(_KEPT_BY_ROLLBACK), after.pop(_KEPT_BY_ROLLBACK)
    wrong += differs(expected, after) + rig.leaks()
    wrong += ["two hosts wanted one address"] if rig.collisions() else []
    text = f"{first.text}\n--- {verb}\n{second.text}" if wrong else ""
    return Result(point, verb, first.status, second.status, round(time.monotonic() - began, 1), tuple(wrong), text)


def _power_cut(rig: Rig, point: Point, name: str) -> Ended:
    """A run during which an appliance loses its power at `point`."""
    first = rig.migrate_but(point.n, point.when, lambda lab: lab.power_off(name))
    gone = any(event["event"] == "noted" and event["data"]["key"] == "offline_began" for event in rig.events())
    if not rig.lab.is_on("new"):
        rig.lab.power_on("new")
    if not rig.lab.is_on("old") and not gone:
        rig.lab.power_on("old")
    return first


def share_of(cases: Sequence[Case], share: str) -> list[Case]:
    """Every seventh case, from the second on, is the share "2/7"."""
    which, _, of = share.partition("/")
    return list(cases)[int(which) - 1 :: int(of or 1)]


def make_rig(folder: Path) -> Rig:
    """A rig of a lab of its own, on which nobody waits a quarter of an hour for one that has lost its power."""
    return Rig(lab(folder), policy="reboot_timeout = 60")


def lab(folder: Path, disk: str = "2g", **old: Any) -> NamespaceLab:
    """Two appliances that boot fast; `old`: fields of the old one's profile."""
    return NamespaceLab(folder, old_profile(boot_seconds=0.2, **old), new_profile(boot_seconds=0.2), disk=disk)


Kind = tuple[str, str]  # method and network


def _options(kind: Kind) -> tuple[str, ...]:
    return ("--method", kind[0], "--network", kind[1])


def _base_of(rig: Rig, kind: Kind) -> Undisturbed:
    rig.options = _options(kind)
    return undisturbed(rig)


def _bases(labs: Abreast, kinds: list[Kind]) -> dict[Kind, Undisturbed]:
    found: dict[Kind, Undisturbed] = {}
    for kind, base in labs.each(_base_of, kinds):
        if isinstance(base, Broken):
            raise base
        found[kind] = base
    return found


def _try(rig: Rig, item: tuple[Case, Undisturbed]) -> Result:
    case, base = item
    rig.options = _options((case.method, case.network))
    return kill_at(rig, case.point, case.verb, base, case.how)


def _cases(bases: dict[Kind, Undisturbed], asked: argparse.Namespace) -> list[Case]:
    first, _, last = asked.events.partition("-")
    return [
        Case(*kind, how, verb, point)
        for kind, how, verb in product(bases, asked.how, asked.verb)
        for point in bases[kind].points
        if int(first) <= point.n <= int(last or first) and asked.about in point.about
    ]


def results(asked: argparse.Namespace) -> Iterator[tuple[Case, Result]]:
    """Go through a share of the cases, several at the same time; see `main` for what can be asked."""
    with Abreast(asked.jobs, make_rig) as labs:
        bases = _bases(labs, list(product(asked.method, asked.network)))
        items = [(case, bases[case.method, case.network]) for case in share_of(_cases(bases, asked), asked.share)]
        for (case, _), found in labs.each(_try, items):
            if isinstance(found, Broken):
                found = Result(case.point, case.verb, 0, 0, 0.0, ("the lab itself failed",), str(found))  # noqa: PLW2901
            yield case, found


def several(names: Sequence[str]) -> Callable[[str], list[str]]:
    """For argparse: some of these names, with commas; "all" is every one.

    Raises:
        argparse.ArgumentTypeError: another name.
    """

    def parse(text: str) -> list[str]:
        found = list(names) if text == "all" else text.split(",")
        if wrong := [name for name in found if name not in names]:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: only all, {', '.join(names)}")
        return found

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matrix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--verb", type=several(VERBS), default="all", help="resume,rollback")
    parser.add_argument("--how", type=several(HOWS), default="kill", help="kill,off-old,off-new or all")
    parser.add_argument("--method", type=several(METHODS), default="tar", help="tar,sftp,rsync or all")
    parser.add_argument("--network", type=several(NETWORKS), default="all", help="restore,prepared or all")
    parser.add_argument("--share", default="1/1", help="2/7: every seventh point, from the second on")
    parser.add_argument("--events", default="0-9999", help="only these: FIRST-LAST")
    parser.add_argument("--about", default="", help="only events in whose name this is, such as transfer")
    parser.add_argument("--jobs", type=int, default=1, help="labs side by side; on two cores at most six")
    parser.add_argument("--out", type=Path, help="gets a line of JSON a point")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    return parser


def main(argv: Sequence[str] | None = None, say: Callable[[str], Any] = sys.stdout.write) -> int:
    """Do a share of the matrix; the exit status is 1 where anything was wrong."""
    asked = _parser().parse_args(argv)
    deadline, bad, count = time.monotonic() + 60 * asked.minutes, 0, 0
    for case, result in results(asked):
        count, bad = count + 1, bad + bool(result.wrong)
        if asked.out:
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(
                    json.dumps({"method": case.method, "network": case.network, "how": case.how, **asdict(result)})
                    + "\n"
                )
        mark = "ok " if not result.wrong else "BAD"
        say(f"{mark} {case.text():<80} {result.seconds:5.1f} s  {'; '.join(result.wrong)}\n")
        if result.wrong:
            say("".join(f"    | {line}\n" for line in result.text.splitlines()))
        sys.stdout.flush()
        if time.monotonic() > deadline:
            break
    say(f"{count} points, {bad} bad\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
