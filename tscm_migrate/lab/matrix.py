"""The kill matrix: the tool is killed before and after each event of its journal, then resumed or rolled back.

    python -m tscm_migrate.lab.matrix --verb resume --share 1/2 --out results.jsonl
    python -m tscm_migrate.lab.matrix --how off-old --share 1/4

With `--how off-old` or `off-new` that appliance loses its power instead, and gets it back before the resume (unless it
was the old one and had been told to go).

One line of JSON a point, with what was not as it should be. A share is every nth point, so that two processes (each
with a lab of its own) do the whole in half the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.lab.namespaces import NamespaceLab
from tscm_migrate.lab.profile import new_profile, old_profile
from tscm_migrate.lab.rig import Rig, differs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tscm_migrate.lab.rig import Ended

KILLED = -9
_PAUSED = 120.0  # seconds within which a run reaches its point, or has ended
# A rollback deletes no archive: what the new one was given stays there.
_KEPT_BY_ROLLBACK = "new archives more"


@dataclass(frozen=True)
class Point:
    """One event, `when` "before" or "after" it is on the disk; `about` names it for people."""

    n: int
    when: str
    about: str


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
    began = time.monotonic()
    rig.fresh()
    before = rig.state()
    if how == "kill":
        first = rig.migrate([{"kind": "kill", "n": point.n, "when": point.when}])
    else:
        first = _power_cut(rig, point, how.removeprefix("off-"))
    over = any(e["event"] == "run-ended" and e["data"]["outcome"] in {"done", "attention"} for e in rig.events())
    begun = bool(rig.events())  # else nothing was announced, so nothing was done
    # A run that is over is only rolled back by its name.
    named = [e["data"]["run"] for e in rig.events()[:1]] if over and verb == "rollback" else []
    second = rig.run(verb, *named, "--yes")
    after = rig.state().told(before)
    wrong = []
    if not begun:
        expected = before.told(before)
    elif verb == "resume":
        expected = base.end  # of a run that is over, resume says so: there is nothing to go on with
        wrong += [f"exit status {second.status}"] if second.status != (2 if over else 0) else []
    else:
        expected = before.told(before)
        expected.pop(_KEPT_BY_ROLLBACK), after.pop(_KEPT_BY_ROLLBACK)
        wrong += [f"exit status {second.status}"] if second.status else []
    wrong += differs(expected, after) + rig.leaks()
    wrong += ["two hosts wanted one address"] if rig.collisions() else []
    text = second.text if wrong else ""
    return Result(point, verb, first.status, second.status, round(time.monotonic() - began, 1), tuple(wrong), text)


def _power_cut(rig: Rig, point: Point, name: str) -> Ended:
    """A run during which an appliance loses its power at `point`."""
    folder = rig.lab.folder / "power"
    for word in ("paused", "go"):
        (folder / word).unlink(missing_ok=True)
    pause = {"kind": "pause", "n": point.n, "when": point.when, "folder": str(folder)}
    process = rig.start(*rig.words(), plan=[pause])
    deadline = time.monotonic() + _PAUSED
    while process.poll() is None and not (folder / "paused").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    rig.lab.power_off(name)
    (folder / "go").touch()
    first = rig.finish(process)
    gone = any(event["event"] == "noted" and event["data"]["key"] == "offline_began" for event in rig.events())
    if not rig.lab.is_on("new"):
        rig.lab.power_on("new")
    if not rig.lab.is_on("old") and not gone:
        rig.lab.power_on("old")
    return first


def share_of(points: Sequence[Point], share: str) -> list[Point]:
    """Every eighth point, from the second on, is the share "2/8"."""
    which, _, of = share.partition("/")
    return list(points)[int(which) - 1 :: int(of or 1)]


def run(rig: Rig, verb: str, share: str, *, events: str = "0-9999", how: str = "kill") -> Iterator[Result]:
    """Go through a share of the points; `events` "5-44" takes only those of these events."""
    base = undisturbed(rig)
    first, _, last = events.partition("-")
    for point in share_of([p for p in base.points if int(first) <= p.n <= int(last)], share):
        yield kill_at(rig, point, verb, base, how)


def lab(folder: Path, disk: str = "2g") -> NamespaceLab:
    """Two appliances that boot fast."""
    return NamespaceLab(folder, old_profile(boot_seconds=0.2), new_profile(boot_seconds=0.2), disk=disk)


def main(argv: Sequence[str] | None = None, say: Callable[[str], Any] = sys.stdout.write) -> int:
    """Do a share of the matrix; the exit status is 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="matrix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--verb", choices=("resume", "rollback"), default="resume")
    parser.add_argument("--how", choices=("kill", "off-old", "off-new"), default="kill")
    parser.add_argument("--share", default="1/1")
    parser.add_argument("--events", default="0-9999", help="only these: FIRST-LAST")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    asked = parser.parse_args(argv)
    deadline, bad, count = time.monotonic() + 60 * asked.minutes, 0, 0
    with tempfile.TemporaryDirectory(prefix="tscm-matrix-") as folder, lab(Path(folder)) as made:
        for result in run(Rig(made), asked.verb, asked.share, events=asked.events, how=asked.how):
            count, bad = count + 1, bad + bool(result.wrong)
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
            mark = "ok " if not result.wrong else "BAD"
            point = f"{result.point.when:<6} {result.point.n:>3} {result.point.about}"
            say(f"{mark} {asked.verb} {point:<50} {result.seconds:5.1f} s  {'; '.join(result.wrong)}\n")
            sys.stdout.flush()
            if time.monotonic() > deadline:
                break
    say(f"{count} points, {bad} bad\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
