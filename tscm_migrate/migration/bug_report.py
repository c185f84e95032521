"""Collect a run's data for a bug report from a list of permitted fields, so that it has no secret, name or address.

Only numbers, yes or no, times, words that this package itself defines (ids of steps and checks, error codes, choices of
options) and version numbers are taken. A text of an appliance, a host, an address, a path or a device is none of these.
"""

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from tscm_migrate import __version__, errors
from tscm_migrate.migration import checks, journal, plan
from tscm_migrate.options import METHODS, OFFLINE, PAUSES, ROUTES, MigrateOptions, check_names

VERSION = 1
_LIBRARIES = ("asyncssh", "invoke", "jinja2", "obstore", "paramiko", "pydantic", "rich")
_RELEASE = re.compile(r"\d{1,3}(?:\.\d{1,3}(?:[.-]\d{1,3})?)?", re.ASCII)  # 1.50-01, 20.04; not an address or a PIN
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
_SYSTEMS = {"ubuntu", "debian", "rhel", "centos", "rocky", "almalinux"}
_EVENTS = {
    "run-started", "run-resumed", "rollback-started", "step-started", "step-done", "step-failed", "step-reverted",
    "step-revert-failed", "action-started", "action-done", "run-ended",
}  # fmt: skip
_CHOICES = {"method": METHODS, "route": ROUTES, "offline": OFFLINE, "pause_before": PAUSES}
_ROLES = {"old", "new"}
_OUTCOMES = {"done", "attention", "failed", "cancelled", "interrupted", "rolled-back"}
_SEVERITIES = {"ok", "info", "warning", "error"}


def build(run: str, root: Path | None = None) -> dict[str, Any]:
    """Return the data for a bug report about a run.

    Raises:
        UsageError: there is no such run.
    """
    _, entries, damage = journal.read_up_to_damage(run, root)
    first = entries[0].data if entries else {}
    notes = first.get("notes", {})
    return {
        "v": VERSION,
        "tscm_migrate": __version__,
        "python": _matching(_RELEASE, platform.python_version()),
        "system": _word(platform.system().lower(), {"linux", "darwin", "windows"}),
        "libraries": {name: _library(name) for name in _LIBRARIES},
        "run_made_by": _matching(_RELEASE, first.get("version")),
        "journal_damaged": damage is not None,
        "options": _options(first.get("options", {})),
        "appliances": {role: _appliance(facts) for role, facts in notes.get("facts", {}).items() if role in _ROLES},
        "checks": list(_checks(notes.get("checks", []))),
        "events": [_event(entry) for entry in entries if entry.event in _EVENTS],
    }


def _library(name: str) -> str | None:
    try:
        return _matching(_RELEASE, metadata.version(name))
    except metadata.PackageNotFoundError:
        return None


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _word(value: object, allowed: Iterable[str]) -> str | None:
    return value if isinstance(value, str) and value in set(allowed) else None


def _number(value: object) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return switches, numbers and choices; of each other option whether it was given."""
    shown: dict[str, Any] = {}
    for one in fields(MigrateOptions):
        value = given.get(one.name, one.default)
        chosen = _word(value, _CHOICES.get(one.name, ()))
        if isinstance(value, bool) or _number(value) is not None or chosen:
            shown[one.name] = value
        else:
            shown[one.name] = "given" if value and value != one.default else None
    return shown


def _appliance(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return versions, system and sizes."""
    cores = [version for name, version in facts.get("versions", ()) if name == "TSCM-Core"]
    return {
        "core": _matching(_RELEASE, cores[0] if cores else None),
        "system": _word(facts.get("os_id"), _SYSTEMS),
        "release": _matching(_RELEASE, facts.get("os_version")),
        "devices": len(facts.get("devices") or ()),
        "archives": len(facts.get("archives") or ()),
        "sessions": _number(facts.get("sessions")),
        "clock_skew": _number(facts.get("clock_skew")),
        "etc_size": _number(facts.get("etc_size")),
        "log_size": _number(facts.get("log_size")),
    }


def _checks(rows: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    names = {check.__name__.replace("_", "-") for check in (*checks.CHECKS, *checks.DISASTER_CHECKS)} | check_names()
    for row in rows:
        name = _word(row.get("name"), names)
        yield {"name": name, "severity": _word(row.get("severity"), _SEVERITIES), "allowed": row.get("allowed") is True}


def _event(entry: journal.JournalEntry) -> dict[str, Any]:
    """Return an entry of the journal without its texts."""
    return {
        "n": entry.n,
        "t": _matching(_TIME, entry.at),
        "event": entry.event,
        "step": _word(entry.data.get("step"), plan.known()),
        "seconds": _number(entry.data.get("seconds")),
        "code": _word(entry.data.get("code"), _codes()),
        "outcome": _word(entry.data.get("outcome"), _OUTCOMES),
    }


def _codes() -> frozenset[str]:
    """Return the codes of all errors, and the names of Python's own, which a defect of this tool would have."""
    known = {value.code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "code")}
    return frozenset(
        known | {"KeyError", "TypeError", "ValueError", "AttributeError", "IndexError", "RuntimeError", "OSError"}
    )
