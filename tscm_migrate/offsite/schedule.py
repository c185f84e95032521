"""Texts that make the workstation pull by itself: systemd units, crontab lines, a Task Scheduler file. All pure.

Missed runs are made up: by `Persistent=` and `StartWhenAvailable`; cron cannot, so there a second line runs at boot and
pulls from the hosts that are due. None needs a user to be logged on.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import escape

from tscm_migrate.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

Every = Literal["hourly", "daily", "weekly"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOWS_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DUE = {"hourly": "70m", "daily": "25h", "weekly": "7d1h"}


@dataclass(frozen=True)
class Plan:
    """When what runs: `name` is unique on the workstation; `command` its words, the program first, with full paths.

    `environment`: a file with variables for it, which need not be there; "" for none.
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
        """The time as a cron expression."""
        hour = "*" if self.every == "hourly" else str(self.hour)
        day = str((DAYS.index(self.day) + 1) % 7) if self.every == "weekly" else "*"
        return f"{self.minute} {hour} * * {day}"

    @property
    def calendar(self) -> str:
        """The time as systemd's OnCalendar."""
        day = f"{self.day.capitalize()} " if self.every == "weekly" else ""
        hour = "*" if self.every == "hourly" else f"{self.hour:02d}"
        return f"{day}*-*-* {hour}:{self.minute:02d}:00"


def plan(name: str, command: tuple[str, ...], every: str, at: str, day: str, *, environment: str = "") -> Plan:
    """Check what an operator asked for.

    Raises:
        UsageError: a name that is none for a file, a time that is none, an unknown word.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
        raise UsageError(f"{name[:40]!r} is no name for a schedule", "small letters, digits, dash and underscore")
    if every not in _DUE:
        raise UsageError(f"--every {every[:20]!r}", f"one of: {', '.join(_DUE)}")
    if day not in DAYS:
        raise UsageError(f"--day {day[:20]!r}", f"one of: {', '.join(DAYS)}")
    time = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", at)
    if not time:
        raise UsageError(f"--at {at[:20]!r} is no time", "say 03:30")
    if any("\n" in word or "\x00" in word for word in command):
        raise UsageError("a line break in an option cannot be scheduled")
    return Plan(name, command, "hourly" if every == "hourly" else "weekly" if every == "weekly" else "daily",
                int(time[1]), int(time[2]), day, environment)  # fmt: skip


def next_runs(plan: Plan, now: datetime, count: int = 5) -> list[datetime]:
    """When it will run next, in `now`'s zone; a library decides what happens when the clocks change."""
    from cronsim import CronSim

    runs = CronSim(plan.cron, now)
    return [next(runs) for _ in range(count)]


# --------------------------------------------------------------------------- systemd


def service_unit(plan: Plan) -> str:
    """`tscm-offsite-NAME.service`."""
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
    """`tscm-offsite-NAME.timer`."""
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
    """One word of ExecStart, taken as it is written: no specifier, no variable (systemd.service(5))."""
    quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{quoted}"'


# --------------------------------------------------------------------------- cron


def cron_lines(plan: Plan) -> list[str]:
    """The lines for a user's crontab, between marks by which they are found again."""
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
    """A crontab with a schedule's lines put in, or taken out for []; everything else stays byte for byte.

    Raises:
        UsageError: somebody has edited the marks away, so where our lines end is not known.
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
        raise UsageError(f"the crontab has {begin!r} and no end of it", "mend it by hand: crontab -e")
    text = "".join(kept)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{line}\n" for line in lines)


# --------------------------------------------------------------------------- Windows


def task_xml(plan: Plan, start: datetime, user: str) -> str:
    r"""A Task Scheduler file (schema 1.4); to be written as UTF-16, which is what schtasks reads.

    Args:
        plan: what and when.
        start: the day from which on it counts, in local time.
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
