"""Schedules for systemd, cron and Windows; each text is parsed by the real program if it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tscm_migrate.errors import UsageError
from tscm_migrate.offsite import timers
from tscm_migrate.offsite.timers import Cron, Plan, Systemd

if TYPE_CHECKING:
    from pathlib import Path

NASTY = (
    "/usr/bin/printf",
    "%s\\n",
    'a "b" \\ c',
    "100%",
    "$HOME",
    "it's",
    "--store",
    "s3://b/x?endpoint=http://h:1&r=%41",
)
PLANS = [
    Plan("pull", NASTY),
    Plan("hourly", ("/bin/true",), "hourly", 0, 7),
    Plan("weekly", ("/bin/true",), "weekly", 23, 59, "mon"),
    Plan("sunday", ("/bin/true",), "weekly", 0, 0, "sun"),
]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_systemd_accepts_the_units_with_the_same_time(plan: Plan, tmp_path: Path) -> None:
    service, timer = tmp_path / "tscm-offsite-x.service", tmp_path / "tscm-offsite-x.timer"
    service.write_text(timers.service_unit(plan))
    timer.write_text(timers.timer_unit(plan))
    done = subprocess.run(
        ["systemd-analyze", "verify", service, timer], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "tscm-offsite" in line]
    assert ours == []
    argv = ["systemd-analyze", "calendar", "--base-time=2026-03-01 12:00:00 UTC", "--iterations=4", plan.calendar]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, env={"TZ": "UTC"}).stdout
    theirs = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC", told)
    mine = [f"{run:%Y-%m-%d %H:%M}" for run in timers.next_runs(plan, datetime(2026, 3, 1, 12, tzinfo=UTC), 4)]
    assert [run for run in theirs if run in mine] == mine


words = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30)


def as_cron_runs_it(line: str) -> str:
    """What cron gives to sh: after five fields; an unescaped % would end the command (crontab(5))."""
    command = line.split(maxsplit=5)[5]
    assert not re.search(r"(?<!\\)%", command)
    return command.replace("\\%", "%")


@pytest.mark.skipif(not shutil.which("sh"), reason="no sh here")
@given(st.lists(words, max_size=4))
def test_cron_runs_the_exact_command(more: list[str]) -> None:
    plan = Plan("x", ("/usr/bin/printf", "%s\\0", *more))
    line = timers.cron_lines(plan)[1]
    done = subprocess.run(["sh", "-c", as_cron_runs_it(line)], capture_output=True, timeout=100, check=True)
    assert done.stdout.decode() == "".join(f"{word}\0" for word in more or [""])


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=200), st.sampled_from(PLANS))
def test_other_lines_of_a_crontab_are_unchanged(before: str, plan: Plan) -> None:
    installed = timers.with_lines(before, plan.name, timers.cron_lines(plan))
    assert installed.startswith(before)
    again = timers.with_lines(installed, plan.name, timers.cron_lines(plan))
    assert again == installed
    removed = timers.with_lines(installed, plan.name, [])
    assert removed in {before, before + "\n"}


def test_crontab_with_incomplete_markers_is_refused() -> None:
    with pytest.raises(UsageError):
        timers.with_lines("# tscm-migrate offsite pull: begin\n1 2 3 4 5 x\n", "pull", [])


def test_two_schedules_do_not_overlap() -> None:
    both = timers.with_lines("", "a", timers.cron_lines(Plan("a", ("/bin/a",))))
    both = timers.with_lines(both, "b", timers.cron_lines(Plan("b", ("/bin/b",))))
    left = timers.with_lines(both, "a", [])
    assert "/bin/b" in left
    assert "/bin/a" not in left


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_windows_task_has_its_settings(plan: Plan) -> None:
    text = timers.task_xml(plan, datetime(2026, 3, 1, tzinfo=UTC), "CORP\\op & co")
    root = ET.fromstring(text.encode("utf-16"))  # noqa: S314 - our own
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    found = {tag: root.findtext(f".//t:{tag}", None, space) for tag in ("UserId", "LogonType", "StartWhenAvailable")}
    assert found == {"UserId": "CORP\\op & co", "LogonType": "S4U", "StartWhenAvailable": "true"}
    assert root.findtext(".//t:Command", None, space) == plan.command[0]
    assert root.findtext(".//t:Arguments", None, space) == subprocess.list2cmdline(plan.command[1:])
    assert root.findtext(".//t:StartBoundary", None, space) == f"2026-03-01T{plan.hour:02d}:{plan.minute:02d}:00"
    assert (root.find(".//t:ScheduleByWeek", space) is not None) == (plan.every == "weekly")
    assert (root.findtext(".//t:Interval", None, space) == "PT1H") == (plan.every == "hourly")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create programs that record their arguments; the crontab is a file."""
    if os.name == "nt":
        pytest.skip("shell scripts")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "crontab").write_text(f'#!/bin/sh\n[ "$1" = -l ] && exec cat {tmp_path}/tab\ncat >{tmp_path}/tab\n')
    for name in ("systemctl", "loginctl"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/calls\n')
    for path in folder.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path


def test_cron_install_show_remove(fake: Path) -> None:
    (fake / "tab").write_text("MAILTO=ops\n0 1 * * * other")
    cron, plan = Cron(), PLANS[0]
    cron.install(plan)
    cron.install(plan)
    assert (fake / "tab").read_text().startswith("MAILTO=ops\n0 1 * * * other\n")
    assert (fake / "tab").read_text().count("@reboot") == 1
    assert "@reboot" in cron.show("pull")
    assert "other" not in cron.show("pull")
    assert cron.remove("pull")
    assert not cron.remove("pull")
    assert (fake / "tab").read_text() == "MAILTO=ops\n0 1 * * * other\n"


def test_systemd_install_show_remove(fake: Path) -> None:
    units = Systemd(fake / "units", system=False)
    units.install(PLANS[0])
    assert (fake / "calls").read_text().splitlines() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now tscm-offsite-pull.timer",
        "loginctl enable-linger",
    ]
    assert "Persistent=true" in units.show("pull")
    assert units.remove("pull")
    assert list((fake / "units").iterdir()) == []
    assert not units.remove("pull")


def installing(fake: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Install a schedule for a host that does not answer, with a store whose keys come from the environment."""
    site = fake / "hosts.toml"
    site.write_text(
        '[offsite]\nstore = "s3://bucket/x?endpoint=http://127.0.0.1:9"\nping = "env:MY_PING"\n'
        '[hosts.a]\naddress = "127.0.0.1"\nport = 9\npassphrase = "env:MY_PHRASE"\n'
    )
    site.chmod(0o600)
    argv = [sys.executable, "-m", "tscm_migrate", "offsite", "schedule", "install", "--kind", "cron"]
    own = {"HOME": str(fake), "XDG_CONFIG_HOME": str(fake / "config"), "PATH": os.environ["PATH"], **env}
    return subprocess.run(
        [*argv, "--inventory", str(site)], env=own, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.slow
def test_missing_variables_of_the_scheduler_are_named_before_install(fake: Path) -> None:
    (fake / "tab").write_text("AWS_EC2_METADATA_DISABLED=true\n")
    keys = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "not to be shown", "GNUPGHOME": str(fake)}
    refused = installing(fake, **keys)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    for name in (*keys, "MY_PHRASE", "--untested", "offsite-pull.env"):
        assert name in refused.stderr, name
    assert "not to be shown" not in refused.stdout + refused.stderr
    assert "@reboot" not in (fake / "tab").read_text()
    file = fake / "config/tscm-migrate/offsite-pull.env"
    file.parent.mkdir(parents=True)
    file.write_text('AWS_ACCESS_KEY_ID=AK\nAWS_SECRET_ACCESS_KEY="not to be shown"\n')
    file.chmod(0o600)
    refused = installing(fake, **keys)
    assert refused.returncode == 3
    assert "the variable MY_PING is not set" in refused.stderr
    file.write_text(f"{file.read_text()}MY_PING=http://127.0.0.1:9/\n")
    done = installing(fake, **keys)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does not answer now" in done.stdout
    line = next(line for line in (fake / "tab").read_text().splitlines() if line.startswith("30 3"))
    shell = as_cron_runs_it(line).partition("; /")[0] + "; echo $AWS_SECRET_ACCESS_KEY"
    told = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True, timeout=100).stdout
    assert told.strip() == "not to be shown"


def test_unit_reads_the_variables_of_the_schedule() -> None:
    plan = Plan("x", ("/bin/true",), environment="/etc/x 100%.env")
    assert "EnvironmentFile=-/etc/x 100%%.env" in timers.service_unit(plan)
    assert "EnvironmentFile" not in timers.service_unit(PLANS[0])


@pytest.mark.parametrize(
    "bad",
    [{"name": "../x"}, {"every": "monthly"}, {"at": "25:00"}, {"at": "3.30"}, {"day": "noday"}, {"command": ("a\nb",)}],
)
def test_invalid_schedule_is_refused(bad: dict[str, object]) -> None:
    good: dict[str, object] = {"name": "pull", "command": ("/bin/true",), "every": "daily", "at": "3:30", "day": "sun"}
    assert timers.plan(**good).cron == "30 3 * * *"  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        timers.plan(**{**good, **bad})  # type: ignore[arg-type]
