"""How long a migration may take, and what a person prepares for its downtime.

The estimate is the archive's size over a rate just measured, and what earlier runs took.
"""

import json
import math
import re
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.errors import MigrateError
from tscm_migrate.events import Estimated
from tscm_migrate.migration import checks, journal
from tscm_migrate.migration.context import Migration
from tscm_migrate.model import Host
from tscm_migrate.options import MigrateOptions
from tscm_migrate.util import private
from tscm_migrate.util.text import listed

_KEPT_FOR = timedelta(days=7)  # a kept rehearsal that is older is run again
_PROBE = 4 << 20  # bytes moved to measure a rate, and seconds after which less is enough
_PROBED_FOR = 0.5
_RUNS = 10  # how many earlier runs are looked at
# Seconds of each step if no run was measured yet.
_USUAL = {
    "hold-updates": 60.0, "backup": 10.0, "transfer": 1.0, "verify": 2.0, "rehearse-restore": 60.0,
    "take-offline": 8.0, "restore-network": 15.0,
    "reboot": 2.0, "come-back": 60.0, "restore": 15.0, "update-devices": 0.0, "release-updates": 1.0, "parity": 3.0,
}  # fmt: skip
_PACKING = 10e6  # bytes a second of tar, gzip and gpg on a small appliance
_HASHING = 50e6
_DEVICE = 30.0  # seconds of one `tsadmin update`
START = "last start"  # of a rehearsal and of `earlier`: seconds from the first process to sshd
_EACH = "each device"  # of `earlier`: seconds of one update
WITHOUT = ("take-offline", "restore-network", "reboot", "come-back", "restore", "update-devices")
# How much a figure may differ, by its basis: the least and the most, as factors. What is usual may be far off: the
# update of a device takes a second or minutes, and so does a restart.
_SPREAD = {
    "usual": (0.05, 3.0),
    "as in the last run": (0.7, 1.5),
    "the address stays": (1.0, 1.0),
    "prepared before": (1.0, 1.0),
    "as rehearsed": (1.0, 1.0),
}
_MAY_BE_USUAL = 0.1  # part of a rehearsed downtime that may be unmeasured without a range
_SHUTDOWN = 5.0  # seconds of a restart before the system starts
_ADDRESS = ("restore-network", "reboot", "come-back")  # only where the old address moves


@dataclass(frozen=True)
class Estimate:
    """The estimated seconds of a step; `basis`: where the figure comes from."""

    step: str
    seconds: float
    basis: str


def measure(m: Migration) -> float:
    """Return the bytes a second from the old appliance through this workstation to the new; 0 if unknown.

    Zeros are read from one and discarded on the other at the same time; nothing is written.
    """
    try:
        with ThreadPoolExecutor(2, thread_name_prefix="rate") as pool:
            begun = [pool.submit(_down, m.old)] if m.old in m.reachable else []
            begun.append(pool.submit(_up, m.new))
            return min(one.result() for one in begun)
    except MigrateError:
        return 0.0


def _down(appliance: Appliance) -> float:
    began, got = time.monotonic(), 0
    with appliance.shell.reader(f"head -c {_PROBE} /dev/zero", display="measure the rate") as reader:
        while (piece := reader.read(1 << 18)) and time.monotonic() - began < _PROBED_FOR:
            got += len(piece)
    return got / max(time.monotonic() - began, 1e-3)


def _up(appliance: Appliance) -> float:
    """Write few bytes, and if these were fast, more; buffers take some megabytes at once, so each end is awaited."""
    for size in (_PROBE >> 5, _PROBE):
        began = time.monotonic()
        with appliance.shell.writer("cat > /dev/null", display="measure the rate") as writer:
            for _ in range(size >> 17):
                writer.write(bytes(1 << 17))
            writer.finish(timeout=60.0)
        took = max(time.monotonic() - began, 1e-3)
        if took > _PROBED_FOR / 4:
            break
    return size / took


def steps(
    m: Migration, ids: Iterator[str], rate: float, rehearsed: Mapping[str, float] | None = None
) -> list[Estimate]:
    """Return the estimate of each step, in order; `rehearsed`: seconds of steps in the rehearsal."""
    size = checks.archive_estimate(m.old_facts)
    before = earlier()
    known = {step: Estimate(step, seconds, "as rehearsed") for step, seconds in (rehearsed or {}).items()}
    if START in known:
        known["come-back"] = restart(known[START].seconds, before)
    return [known[step] if step in known else _of(step, m, size, rate, before) for step in ids]


def restart(started: float, before: Mapping[str, float]) -> Estimate:
    """Return the estimate of a restart of the new appliance. Pure.

    Args:
        started: seconds of its last start.
        before: seconds in earlier runs; how long a restart takes before the system starts is the difference of both.
    """
    if START in before and "come-back" in before:
        return Estimate("come-back", started + max(before["come-back"] - before[START], 0.0), "as rehearsed")
    return Estimate(
        "come-back", started + _SHUTDOWN, f"usual: {_SHUTDOWN:.0f} s, and {started:.1f} s as its last start"
    )


def _of(step: str, m: Migration, size: int, rate: float, before: Mapping[str, float]) -> Estimate:
    if step in _ADDRESS and not m.restores_network:
        return Estimate(step, 0.0, "the address stays")
    if step == "restore-network" and m.options.prepares_network:
        return Estimate(step, 2.0, "prepared before")
    if step in ("transfer", "fetch") and rate:
        return Estimate(step, 1 + size / rate, f"{size / 1e6:.1f} MB at {rate / 1e6:.1f} MB/s, as measured")
    if step == "update-devices":
        count = len(m.old_facts.devices or m.old.host.devices) if m.options.devices != "none" else 0
        each = before.get(_EACH, _DEVICE)
        known = "as in the last run" if _EACH in before else "usual"
        basis = f"{known}: {count} devices, {m.policy.device_jobs} at a time, {each:.1f} s each"
        return Estimate(step, math.ceil(count / m.policy.device_jobs) * each, basis)
    if step in before:
        return Estimate(step, before[step], "as in the last run")
    extra = {"backup": size / _PACKING, "restore": size / _PACKING, "verify": size / _HASHING}.get(step, 0.0)
    return Estimate(step, _USUAL.get(step, 5.0) + extra, "usual")


def downtime(estimates: list[Estimate]) -> float:
    """Return the estimated downtime in seconds."""
    return sum(one.seconds for one in estimates if one.step in WITHOUT)


@dataclass(frozen=True)
class Downtime:
    """The estimated downtime in seconds, with its parts; `least` and `most` are equal if every part was measured."""

    seconds: float
    least: float
    most: float
    basis: str
    parts: tuple[Estimate, ...]


def cutover(m: Migration) -> Downtime:
    """Estimate the downtime: the one figure of plan, rehearsal, confirmation and change window."""
    old, new = m.options.from_ or m.old.name, m.options.to
    rehearsed = known(old, new)
    pair = f"--archive {m.options.archive} --to {new}" if m.options.rescues else f"--from {old} --to {new}"
    return spread(steps(m, iter(WITHOUT), 0.0, rehearsed.steps if rehearsed else {}), rehearsed, pair)


def spread(parts: list[Estimate], rehearsed: "Rehearsal | None", pair: str) -> Downtime:
    """Add up the parts. Pure.

    The result is a range, with the reason, for a pair that was not rehearsed, and after a rehearsal if more than a
    tenth of it was not measured: the first rehearsal of a site does not know how long its devices take.
    """
    total, parts = downtime(parts), [one for one in parts if one.step in WITHOUT]
    usual = [one for one in parts if one.seconds and one.basis.startswith("usual")]
    known_by = f"not measured yet: {listed([one.step for one in usual])}" if usual else ""
    if rehearsed is not None:
        basis = f"as rehearsed by run {rehearsed.run} at {rehearsed.at[:16]}"
        if sum(one.seconds for one in usual) <= _MAY_BE_USUAL * total:
            return Downtime(total, total, total, basis, tuple(parts))
        uncertain, basis = usual, f"{basis}; {known_by}"
    else:
        known_by = known_by or "measured in runs of other appliances"
        uncertain, basis = parts, f"not rehearsed; {known_by}; for one figure: tscm-migrate rehearse {pair}"
    least, most = _range(total, uncertain)
    return Downtime(total, least, most, basis, tuple(parts))


def _range(total: float, uncertain: list[Estimate]) -> tuple[float, float]:
    """Return the least and the most seconds that a total may take; each uncertain part has a factor for either."""
    factors = [(one.seconds, _SPREAD.get(one.basis.partition(":")[0], _SPREAD["usual"])) for one in uncertain]
    certain = total - sum(one.seconds for one in uncertain)
    least, most = (certain + sum(seconds * factor[end] for seconds, factor in factors) for end in (0, 1))
    return least, most


def last_start(appliance: Appliance) -> float | None:
    """Return the seconds that the last start of an appliance took until sshd ran; None if unknown.

    It is the time from the first process to the oldest sshd, if sshd was not restarted since.
    """
    script = (
        "for p in 1 $(pgrep -x -o sshd 2>/dev/null || cat /run/sshd.pid 2>/dev/null); do "
        "sed 's/.*) //' /proc/$p/stat | cut -d' ' -f20; done; getconf CLK_TCK"
    )
    words = appliance.run(script, check=False, display="how long did its last start take?").stdout.split()
    if len(words) != 3 or not all(word.isdecimal() and len(word) < 19 for word in words) or not int(words[2]):
        return None
    seconds = (int(words[1]) - int(words[0])) / int(words[2])
    return round(seconds, 1) if 0 < seconds < _USUAL["come-back"] * 10 else None


def earlier() -> dict[str, float]:
    """Return the seconds of each step in the last run of this workstation in which it had something to do."""
    took: dict[str, float] = {}
    for run, _ in zip(journal.runs(), range(_RUNS), strict=False):
        try:
            _, entries = journal.read(run)
        except (MigrateError, OSError):
            continue
        acted = {entry.data["step"] for entry in entries if entry.event == "action-done"}
        for entry in reversed(entries):
            if entry.event == "noted":
                _take_note(str(entry.data.get("key")), entry.data["value"] or {}, took)
            if entry.event == "step-done" and entry.data.get("seconds") and entry.data["step"] in acted:
                took.setdefault(entry.data["step"], float(entry.data["seconds"]))
    return took


def _take_note(key: str, value: Any, took: dict[str, float]) -> None:
    """Add the durations that a note of a run has."""
    if key == "rehearsal":
        measured = {step: value.get("took", {}).get(step) for step in ("restore", "restore-network")}
        for step, seconds in (measured | {START: value.get("last_start")}).items():
            if seconds is not None:
                took.setdefault(step, float(seconds))
    elif key == "devices" and (seconds_each := [float(one["seconds"]) for one in value.values() if one.get("ok")]):
        took.setdefault(_EACH, sum(seconds_each) / len(seconds_each))
    elif key == "rebooted" and value != "by our command":  # the restore has restarted it, within its own time
        took.setdefault("reboot", 0.0)


@dataclass(frozen=True)
class Rehearsal:
    """Seconds that each rehearsed step took; `at` is aware UTC in ISO form, `run` the run that rehearsed.

    `kept`: what the appliances and options were, for a migration that is not to rehearse again; empty where it is.
    """

    at: str
    run: str
    steps: dict[str, float] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def serves(self, now: Mapping[str, str], at: datetime) -> bool:
        """Whether a migration need not rehearse again: it was kept, nothing has changed, and it is not too old."""
        return bool(self.kept) and self.kept == dict(now) and at - datetime.fromisoformat(self.at) <= _KEPT_FOR


def _file(old: str, new: str) -> Path:
    return private.state_folder() / "rehearsals" / (re.sub(r"[^\w.@-]", "_", f"{old}__{new}") + ".json")


def keep(old: str, new: str, rehearsal: Rehearsal) -> None:
    """Save what the rehearsal of a pair took, in place of an earlier one."""
    private.private_folder("rehearsals")
    private.write(_file(old, new), json.dumps(asdict(rehearsal)) + "\n")


def known(old: str, new: str) -> Rehearsal | None:
    """Return the last rehearsal of a pair; None without one, or if its file cannot be read."""
    try:
        kept = Rehearsal(**json.loads(_file(old, new).read_text(encoding="utf-8")))
        took = {str(k): float(v) for k, v in kept.steps.items()}
        return Rehearsal(str(kept.at), str(kept.run), took, {str(k): str(v) for k, v in kept.kept.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def estimated(expected: Downtime) -> Estimated:
    """Return the event of an estimated downtime; with a range where it is not known well."""
    least, most = (round(expected.least, 1), round(expected.most, 1)) if expected.least < expected.most else (0.0, 0.0)
    return Estimated("downtime", round(expected.seconds, 1), expected.basis, least, most)


def totals(estimates: list[Estimate], expected: Downtime) -> tuple[Estimated, Estimated]:
    """Return the events of the estimated total and of the downtime. Pure.

    Where the downtime is a range, the total is one, too: it contains the downtime.
    """
    outage = estimated(expected)
    total = sum(one.seconds for one in estimates)
    if not outage.most:
        return Estimated("", round(total, 1)), outage
    beside = total - downtime(estimates)
    return Estimated("", round(total, 1), "", round(beside + outage.least, 1), round(beside + outage.most, 1)), outage


def before_cutover(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last estimate before a cutover, from a run's notes; empty if there was none.

    It is the rehearsal's of the same run, if that has one: `total`, `downtime`, `steps`, and `least` and `most` of the
    downtime where it is a range; seconds.
    """
    expected = dict(notes.get("estimate") or {})
    if rehearsed := (notes.get("rehearsal") or {}).get("downtime"):
        expected = {key: value for key, value in expected.items() if key not in {"least", "most"}}
        if "total" in expected:
            expected["total"] = round(expected["total"] - expected["downtime"] + rehearsed["seconds"], 1)
        expected["downtime"] = round(rehearsed["seconds"], 1)
        if rehearsed.get("least", 0.0) < rehearsed.get("most", 0.0):
            expected |= {"least": round(rehearsed["least"], 1), "most": round(rehearsed["most"], 1)}
    return expected


def to_prepare_for(m: Migration) -> list[str]:
    """Return what a person has to prepare for the cutover of a migration."""
    outage = any(c.get("name") == "dns-outage" and c.get("severity") != "ok" for c in m.get_note("checks", []))
    return to_prepare(m.old_facts, m.old.host, m.new.host, m.options, dns_outage=outage, moves=m.restores_network)


def to_prepare(
    old: Facts, old_host: Host, new_host: Host, options: MigrateOptions, *, dns_outage: bool, moves: bool
) -> list[str]:
    """Return one line for each thing to prepare. Pure.

    `dns_outage`: clients resolve names through the old appliance; `moves`: its address moves to the new appliance.
    """
    names = tuple(old.devices or old_host.devices)
    lines = []
    if dns_outage:
        lines.append(
            f"DNS: give the clients of {old_host.address} another resolver for the downtime, or inform their users"
        )
    if moves:
        lines.append(f"syslog: what devices send to {old_host.address} during the downtime is lost; the target stays")
    else:
        lines.append(f"syslog: point the logging of {_listed_or_every(names)} to {new_host.address} (UDP 514)")
    if moves and old.dhcp:
        lines.append(f"DHCP: reserve {old_host.address} for the new appliance's hardware address")
    if not names:
        lines.append("devices: unknown; prepare their names, and update each: tsadmin update NAME")
    chosen = {"all": names, "none": ()}.get(str(options.devices), options.devices)
    left = [name for name in names if name not in chosen]
    if left:
        lines.append(f"devices: update manually after the migration: {_listed_or_every(left)}")
    if options.offline == "manual":
        lines.append(f"an operator has to take {old_host.name} offline when the cutover asks for it")
    return lines


def _listed_or_every(names: Collection[str]) -> str:
    if not names:
        return "every device"
    return listed(names)
