"""Puts schedules into this workstation's systemd, crontab or Task Scheduler, shows them and takes them out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tscm_migrate.errors import OffsiteError, UsageError
from tscm_migrate.offsite import schedule, trial
from tscm_migrate.util import private

if TYPE_CHECKING:
    from tscm_migrate.offsite.schedule import Plan

_SECONDS = 60
_S4U_NOTE = (
    "it runs without a password of yours, so Windows' credential store and network drives are closed to it: "
    "use key files without a passphrase, and a store that needs no drive letter"
)


class Scheduler(Protocol):
    """One way in which a workstation runs things by itself."""

    def files(self, plan: Plan) -> dict[str, str]:
        """What would be written, by place; for `--dry-run`."""
        ...

    def install(self, plan: Plan) -> list[str]:
        """Put it in, over an older one of the same name; returns what the operator should know."""
        ...

    def remove(self, name: str) -> bool:
        """Take it out; False where there was none."""
        ...

    def show(self, name: str) -> str:
        """What is installed, as text; "" for nothing."""
        ...

    def environment(self) -> dict[str, str] | None:
        """What it runs a command with, beside the schedule's own file; None where that cannot be told."""
        ...


def _run(*argv: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OffsiteError(detail=f"{argv[0]} could not be run: {error}") from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = said[-1][:200] if said else f"exit status {done.returncode}"
        raise OffsiteError(detail=f"{' '.join(argv[:3])} failed: {why}", fix="see what it would write: --dry-run")
    return done


class Systemd:
    """Timers: the system's for root, else the user's own (with lingering, so that nobody need be logged on)."""

    def __init__(self, folder: Path | None = None, *, system: bool | None = None) -> None:
        self._system = Path.home() == Path("/root") if system is None else system
        own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
        self._folder = folder or (Path("/etc/systemd/system") if self._system else own)
        self._control = ["systemctl"] if self._system else ["systemctl", "--user"]

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self._folder / f"tscm-offsite-{name}.service", self._folder / f"tscm-offsite-{name}.timer"

    def files(self, plan: Plan) -> dict[str, str]:
        """See `Scheduler.files`."""
        service, timer = self._paths(plan.name)
        return {str(service): schedule.service_unit(plan), str(timer): schedule.timer_unit(plan)}

    def install(self, plan: Plan) -> list[str]:
        """See `Scheduler.install`."""
        private.folder(self._folder, 0o755)
        for place, text in self.files(plan).items():
            private.write(Path(place), text, 0o644)
        _run(*self._control, "daemon-reload")
        _run(*self._control, "enable", "--now", self._paths(plan.name)[1].name)
        if self._system:
            return []
        lingering = _run("loginctl", "enable-linger", check=False).returncode == 0
        return [] if lingering else ["it runs only while you are logged on; to change that: loginctl enable-linger"]

    def environment(self) -> dict[str, str] | None:
        """See `Scheduler.environment`: what the manager says that it gives."""
        shown = _run(*self._control, "show-environment", check=False).stdout
        return {**trial.bare(os.environ), **trial.assignments(shown.splitlines())}

    def remove(self, name: str) -> bool:
        """See `Scheduler.remove`."""
        paths = self._paths(name)
        if not any(path.exists() for path in paths):
            return False
        _run(*self._control, "disable", "--now", paths[1].name, check=False)
        for path in paths:
            path.unlink(missing_ok=True)
        _run(*self._control, "daemon-reload", check=False)
        return True

    def show(self, name: str) -> str:
        """See `Scheduler.show`."""
        texts = [f"# {path}\n{path.read_text(encoding='utf-8')}" for path in self._paths(name) if path.exists()]
        state = _run(*self._control, "list-timers", self._paths(name)[1].name, check=False).stdout if texts else ""
        return "\n".join([*texts, state])


class Cron:
    """The user's crontab."""

    def environment(self) -> dict[str, str] | None:
        """See `Scheduler.environment`: what the crontab itself sets, beside the least."""
        return {**trial.bare(os.environ), "PATH": "/usr/bin:/bin", **trial.assignments(self._read().splitlines())}

    def _read(self) -> str:
        done = _run("crontab", "-l", check=False)
        return done.stdout if done.returncode == 0 else ""

    def files(self, plan: Plan) -> dict[str, str]:
        """See `Scheduler.files`."""
        return {"crontab": "".join(f"{line}\n" for line in schedule.cron_lines(plan))}

    def install(self, plan: Plan) -> list[str]:
        """See `Scheduler.install`."""
        _run("crontab", "-", text=schedule.with_lines(self._read(), plan.name, schedule.cron_lines(plan)))
        return ["cron makes up a missed run only at the next boot; a systemd timer does better: --kind systemd"]

    def remove(self, name: str) -> bool:
        """See `Scheduler.remove`."""
        before = self._read()
        after = schedule.with_lines(before, name, [])
        if after != before:
            _run("crontab", "-", text=after)
        return after != before

    def show(self, name: str) -> str:
        """See `Scheduler.show`."""
        ours = set(self._read().splitlines()) - set(schedule.with_lines(self._read(), name, []).splitlines())
        return "".join(f"{line}\n" for line in self._read().splitlines() if line in ours)


class Windows:
    """Windows' Task Scheduler."""

    def environment(self) -> dict[str, str] | None:
        """See `Scheduler.environment`: the user's variables of the registry, which are not read here."""
        return None

    def files(self, plan: Plan) -> dict[str, str]:
        """See `Scheduler.files`."""
        user = "\\".join(part for part in (os.environ.get("USERDOMAIN", ""), os.environ.get("USERNAME", "")) if part)
        return {self._name(plan.name): schedule.task_xml(plan, datetime.now().astimezone(), user)}

    def _name(self, name: str) -> str:
        return f"\\tscm-migrate\\{name}"

    def install(self, plan: Plan) -> list[str]:
        """See `Scheduler.install`."""
        ((name, text),) = self.files(plan).items()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "task.xml"
            private.write(file, text.encode("utf-16"))
            _run("schtasks", "/Create", "/TN", name, "/XML", str(file), "/F")
        return [_S4U_NOTE]

    def remove(self, name: str) -> bool:
        """See `Scheduler.remove`."""
        return _run("schtasks", "/Delete", "/TN", self._name(name), "/F", check=False).returncode == 0

    def show(self, name: str) -> str:
        """See `Scheduler.show`."""
        done = _run("schtasks", "/Query", "/TN", self._name(name), "/V", "/FO", "LIST", check=False)
        return done.stdout if done.returncode == 0 else ""


def scheduler(kind: str | None) -> Scheduler:
    """The one that is asked for, or the one that fits this workstation.

    Raises:
        UsageError: unknown, or not on this workstation.
    """
    fitting = "windows" if sys.platform == "win32" else "systemd" if Path("/run/systemd/system").is_dir() else "cron"
    chosen = kind or fitting
    kinds: dict[str, tuple[type[Systemd | Cron | Windows], str]] = {
        "systemd": (Systemd, "systemctl"),
        "cron": (Cron, "crontab"),
        "windows": (Windows, "schtasks"),
    }
    if chosen not in kinds:
        raise UsageError(f"--kind {chosen[:20]!r}", f"one of: {', '.join(kinds)}")
    made, program = kinds[chosen]
    if not shutil.which(program):
        raise UsageError(f"there is no {program} on this workstation", "choose another: --kind systemd|cron|windows")
    return made()
