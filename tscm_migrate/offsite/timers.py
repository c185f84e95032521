"""Run a command on this workstation by a schedule: systemd timers, crontab or the Windows Task Scheduler.

The first half writes texts and is pure: units, crontab lines, a task file. The second half installs, shows and removes
them. A missed run is started later: by `Persistent=` and `StartWhenAvailable`; cron cannot, so a second line runs at
boot and pulls from the hosts that are due. No user has to be logged on.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol
from xml.sax.saxutils import escape

from tscm_migrate.errors import OffsiteError, UsageError
from tscm_migrate.offsite import trial
from tscm_migrate.util import private

Every = Literal["hourly", "daily", "weekly"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOWS_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DUE = {"hourly": "70m", "daily": "25h", "weekly": "7d1h"}
_SECONDS = 60
_S4U_NOTE = (
    "it runs without your password, so it cannot use Windows' credential store and network drives: "
    "use key files without a passphrase, and a store that needs no drive letter"
)


@dataclass(frozen=True)
class Plan:
    """What runs when.

    Args:
        name: unique on the workstation.
        command: its words, the program first, with full paths.
        every, hour, minute, day: when; `day` is used for weekly runs only.
        environment: path of a file with variables for the command, which need not exist; "" for none.
    """

    name: str
    command: tuple[str, ...]
    every: Every = "daily"
    hour: int = 3
    minute: int = 30
    day: str = "sun"
    environment: str = ""

    @property
    def cron(self) -> str:
        """Return the time as a cron expression."""
        hour = "*" if self.every == "hourly" else str(self.hour)
        day = str((DAYS.index(self.day) + 1) % 7) if self.every == "weekly" else "*"
        return f"{self.minute} {hour} * * {day}"

    @property
    def calendar(self) -> str:
        """Return the time as systemd's OnCalendar."""
        day = f"{self.day.capitalize()} " if self.every == "weekly" else ""
        hour = "*" if self.every == "hourly" else f"{self.hour:02d}"
        return f"{day}*-*-* {hour}:{self.minute:02d}:00"


def plan(name: str, command: tuple[str, ...], every: str, at: str, day: str, *, environment: str = "") -> Plan:
    """Make a plan of the options.

    Raises:
        UsageError: a name that cannot be part of a file name, a time that is not valid, an unknown word.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
        raise UsageError(
            f"{name[:40]!r} is not a valid name for a schedule", "use lowercase letters, digits, dash and underscore"
        )
    if every not in _DUE:
        raise UsageError(f"--every {every[:20]!r} is not a valid interval", f"use one of: {', '.join(_DUE)}")
    if day not in DAYS:
        raise UsageError(f"--day {day[:20]!r} is not a valid day", f"use one of: {', '.join(DAYS)}")
    time = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", at)
    if not time:
        raise UsageError(f"--at {at[:20]!r} is not a valid time", "use HH:MM, as in --at 03:30")
    if any("\n" in word or "\x00" in word for word in command):
        raise UsageError("a line break in an option cannot be scheduled")
    return Plan(name, command, "hourly" if every == "hourly" else "weekly" if every == "weekly" else "daily",
                int(time[1]), int(time[2]), day, environment)  # fmt: skip


def next_runs(plan: Plan, now: datetime, count: int = 5) -> list[datetime]:
    """Return the next runs, in the zone of `now`; changes of the clocks are the library's concern."""
    from cronsim import CronSim

    runs = CronSim(plan.cron, now)
    return [next(runs) for _ in range(count)]


# --------------------------------------------------------------------------- systemd


def service_unit(plan: Plan) -> str:
    """Return the text of `tscm-offsite-NAME.service`."""
    return f"""[Unit]
Description=Pull TSCM backups off-site ({plan.name})
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
{_environment(plan)}ExecStart={" ".join(_unit_word(word) for word in plan.command)}
Nice=10
NoNewPrivileges=yes
UMask=0077
"""


def timer_unit(plan: Plan) -> str:
    """Return the text of `tscm-offsite-NAME.timer`."""
    return f"""[Unit]
Description=Pull TSCM backups off-site ({plan.name})

[Timer]
OnCalendar={plan.calendar}
Persistent=true
RandomizedDelaySec=120

[Install]
WantedBy=timers.target
"""


def _environment(plan: Plan) -> str:
    return f"EnvironmentFile=-{plan.environment.replace('%', '%%')}\n" if plan.environment else ""


def _unit_word(word: str) -> str:
    """Quote one word of ExecStart, so that it has no specifier and no variable (systemd.service(5))."""
    quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{quoted}"'


# --------------------------------------------------------------------------- cron


def cron_lines(plan: Plan) -> list[str]:
    """Return the lines for a user's crontab, between two marks that `with_lines` finds."""
    words = " ".join(shlex.quote(word) for word in plan.command)
    if plan.environment:
        file = shlex.quote(plan.environment)
        words = f"[ ! -f {file} ] || {{ set -a; . {file}; set +a; }}; {words}"
    words = words.replace("%", "\\%")
    return [
        _mark(plan.name, "begin"),
        f"{plan.cron} {words}",
        f"@reboot sleep 120; {words} --if-older {_DUE[plan.every]}",
        _mark(plan.name, "end"),
    ]


def _mark(name: str, what: str) -> str:
    return f"# tscm-migrate offsite {name}: {what}"


def with_lines(crontab: str, name: str, lines: list[str]) -> str:
    """Return a crontab with a schedule's lines added, or removed for []; everything else stays unchanged.

    Raises:
        UsageError: the second mark is missing, so the end of the lines is not known.
    """
    begin, end = _mark(name, "begin"), _mark(name, "end")
    kept, inside = [], False
    for line in crontab.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        if bare == begin:
            inside = True
        elif bare == end and inside:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise UsageError(f"the crontab has the line {begin!r} but not the one that ends it", "edit it: crontab -e")
    text = "".join(kept)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{line}\n" for line in lines)


# --------------------------------------------------------------------------- Windows


def task_xml(plan: Plan, start: datetime, user: str) -> str:
    r"""Return a Task Scheduler file (schema 1.4); write it as UTF-16, which is what schtasks reads.

    Args:
        plan: what and when.
        start: the first day, in local time.
        user: DOMAIN\name; runs with that user's files and no stored password (S4U), logged on or not.
    """
    first = start.replace(hour=plan.hour, minute=plan.minute, second=0, microsecond=0, tzinfo=None)
    arguments = subprocess.list2cmdline(plan.command[1:])
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.4" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Pull TSCM backups off-site ({escape(plan.name)})</Description>
    <URI>\\tscm-migrate\\{escape(plan.name)}</URI>
  </RegistrationInfo>
  <Triggers>
    <CalendarTrigger>
{_repetition(plan)}      <StartBoundary>{first.isoformat()}</StartBoundary>
      <Enabled>true</Enabled>
{_recurrence(plan)}    </CalendarTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{escape(user)}</UserId>
      <LogonType>S4U</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>true</RunOnlyIfNetworkAvailable>
    <ExecutionTimeLimit>PT12H</ExecutionTimeLimit>
    <Enabled>true</Enabled>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(plan.command[0])}</Command>
      <Arguments>{escape(arguments)}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def _repetition(plan: Plan) -> str:
    if plan.every != "hourly":
        return ""
    return "      <Repetition>\n        <Interval>PT1H</Interval>\n      </Repetition>\n"


def _recurrence(plan: Plan) -> str:
    if plan.every == "weekly":
        day = _WINDOWS_DAYS[DAYS.index(plan.day)]
        return (
            "      <ScheduleByWeek>\n        <WeeksInterval>1</WeeksInterval>\n"
            f"        <DaysOfWeek>\n          <{day} />\n        </DaysOfWeek>\n      </ScheduleByWeek>\n"
        )
    return "      <ScheduleByDay>\n        <DaysInterval>1</DaysInterval>\n      </ScheduleByDay>\n"


class Scheduler(Protocol):
    """A scheduler of the workstation."""

    def files(self, plan: Plan) -> dict[str, str]:
        """Return what would be written, by path; for `--dry-run`."""

    def install(self, plan: Plan) -> list[str]:
        """Install a plan, in place of one with the same name; return notes for the operator."""

    def remove(self, name: str) -> bool:
        """Remove a schedule; return False if there was none."""

    def show(self, name: str) -> str:
        """Return what is installed, as text; "" for nothing."""

    def environment(self) -> dict[str, str] | None:
        """Return the variables it gives to a command, besides the plan's file; None if they are not known."""


def _run(*argv: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OffsiteError(detail=f"{argv[0]} could not be run: {error}") from error
    if check and done.returncode != 0:
        printed = (done.stderr or done.stdout).strip().splitlines()
        why = printed[-1][:200] if printed else f"exit status {done.returncode}"
        raise OffsiteError(detail=f"{' '.join(argv[:3])} failed: {why}", fix="see what it would write: --dry-run")
    return done


class Systemd:
    """Timers: the system's for root, else the user's (with lingering, so that they run without a login)."""

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
        return {str(service): service_unit(plan), str(timer): timer_unit(plan)}

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
        """See `Scheduler.environment`: as the service manager lists them."""
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
        """See `Scheduler.environment`: cron's own few, and what the crontab sets."""
        return {**trial.bare(os.environ), "PATH": "/usr/bin:/bin", **trial.assignments(self._read().splitlines())}

    def _read(self) -> str:
        done = _run("crontab", "-l", check=False)
        return done.stdout if done.returncode == 0 else ""

    def files(self, plan: Plan) -> dict[str, str]:
        """See `Scheduler.files`."""
        return {"crontab": "".join(f"{line}\n" for line in cron_lines(plan))}

    def install(self, plan: Plan) -> list[str]:
        """See `Scheduler.install`."""
        _run("crontab", "-", text=with_lines(self._read(), plan.name, cron_lines(plan)))
        return ["cron makes up for a missed run only at the next boot; a systemd timer does it at once: --kind systemd"]

    def remove(self, name: str) -> bool:
        """See `Scheduler.remove`."""
        before = self._read()
        after = with_lines(before, name, [])
        if after != before:
            _run("crontab", "-", text=after)
        return after != before

    def show(self, name: str) -> str:
        """See `Scheduler.show`."""
        ours = set(self._read().splitlines()) - set(with_lines(self._read(), name, []).splitlines())
        return "".join(f"{line}\n" for line in self._read().splitlines() if line in ours)


class Windows:
    """Windows' Task Scheduler."""

    def environment(self) -> dict[str, str] | None:
        """See `Scheduler.environment`: the user's variables of the registry, which are not read here."""
        return None

    def files(self, plan: Plan) -> dict[str, str]:
        """See `Scheduler.files`."""
        user = "\\".join(part for part in (os.environ.get("USERDOMAIN", ""), os.environ.get("USERNAME", "")) if part)
        return {self._name(plan.name): task_xml(plan, datetime.now().astimezone(), user)}

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
    """Return the scheduler of that kind, or the usual one of this workstation.

    Raises:
        UsageError: an unknown kind, or its program is not installed.
    """
    fitting = "windows" if sys.platform == "win32" else "systemd" if Path("/run/systemd/system").is_dir() else "cron"
    chosen = kind or fitting
    kinds: dict[str, tuple[type[Systemd | Cron | Windows], str]] = {
        "systemd": (Systemd, "systemctl"),
        "cron": (Cron, "crontab"),
        "windows": (Windows, "schtasks"),
    }
    if chosen not in kinds:
        raise UsageError(f"--kind {chosen[:20]!r} is not a known scheduler", f"use one of: {', '.join(kinds)}")
    made, program = kinds[chosen]
    if not shutil.which(program):
        raise UsageError(
            f"{program} is not installed on this workstation", "choose another: --kind systemd|cron|windows"
        )
    return made()
