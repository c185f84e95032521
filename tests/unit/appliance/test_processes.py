"""Which processes count as ts-update: decided by the program they run, not by a substring."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance.processes import Process, parse_ps, started_by, updates_among


def running(*args: str, stat: str = "S") -> list[str]:
    processes = [Process(100 + i, 1, stat, 5, text) for i, text in enumerate(args)]
    return [process.args for process in updates_among(processes, own=None)]


@pytest.mark.parametrize(
    "args",
    [
        "ts-update",
        "/usr/local/bin/ts-update --all",
        "perl /usr/local/bin/ts-update --device asa",
        "/usr/bin/perl -w /usr/local/bin/ts-update",
        "/bin/sh /usr/local/bin/ts-update",
        "/usr/bin/python3.8 -u /usr/local/bin/ts-update --all",
        "/bin/sh -c /usr/local/bin/ts-update",
        "/bin/sh -c sleep 20; /usr/local/bin/ts-update --all",
        "sh -c sleep $((RANDOM % 60)) && ts-update >/dev/null 2>&1",
        "/bin/bash -lc cd /opt; nice -n 10 /usr/local/bin/ts-update",
        "/bin/sh -c if true; then exec ts-update; fi",
        "nice -n 19 /usr/local/bin/ts-update",
        "sudo -u root /usr/local/bin/ts-update",
        "sudo -n ts-update",
        "/usr/bin/flock -n /run/lock/ts ts-update",
        "timeout 600 ts-update",
        "timeout -k 5 10m /usr/local/bin/ts-update",
        "env LC_ALL=C perl /usr/local/bin/ts-update",
        "ionice -c 3 nice ts-update",
        "setsid nohup ts-update",
    ],
)
def test_process_that_runs_ts_update_counts(args: str) -> None:
    assert running(args) == [args]


@pytest.mark.parametrize(
    "args",
    [
        "grep ts-update",
        "tail -f /var/log/threatstop/ts-update.log",
        "vi /usr/local/bin/ts-update",
        "sudo vi /usr/local/bin/ts-update",
        "less /var/log/ts-update",
        "sh -c tail -f /var/log/threatstop/ts-update.log",
        "sh -c grep ts-update /var/log/syslog",
        "perl /usr/local/bin/other ts-update",
        "/usr/local/bin/ts-update-report",
        "/usr/local/bin/my-ts-update",
        "python3 /opt/x.py --name ts-update",
        "sshd: threatstop@pts/0",
        "[kworker/0:1]",
        "",
    ],
)
def test_process_that_only_mentions_ts_update_does_not_count(args: str) -> None:
    assert running(args) == []


def test_zombie_process_does_not_count() -> None:
    assert running("ts-update", stat="Z+") == []


def test_own_shell_its_ancestors_and_children_do_not_count() -> None:
    processes = [
        Process(1, 0, "S", 9, "init"),
        Process(10, 1, "S", 9, "sh -c look; ts-update"),  # our parent process, as a login shell may appear
        Process(11, 10, "S", 1, "sh -c echo ts-update; ps"),
        Process(12, 11, "R", 0, "ts-update"),  # our child process
        Process(20, 1, "S", 30, "ts-update --all"),
    ]
    assert [process.pid for process in updates_among(processes, own=11)] == [20]


def test_another_program_name_can_be_searched() -> None:
    assert updates_among([Process(5, 1, "S", 1, "/opt/x/policy-pull")], None, "policy-pull")


def test_ps_output_is_read_without_invalid_lines() -> None:
    text = (
        "    1     0 Ss    1000 /sbin/init splash\n"
        " 4711   900 S       42 perl /usr/local/bin/ts-update  --all\n"
        "noise\n 7 1 S x y\n"
    )
    assert parse_ps(text) == [
        Process(1, 0, "Ss", 1000, "/sbin/init splash"),
        Process(4711, 900, "S", 42, "perl /usr/local/bin/ts-update  --all"),
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("* * * * * threatstop /usr/local/bin/ts-update-all --quiet\n", {"ts-update", "ts-update-all"}),
        ("* * * * * root /bin/bash /usr/local/bin/ts-update-all --quiet\n", {"ts-update", "ts-update-all"}),
        ("@hourly threatstop cd /opt && ts-update.sh > /var/log/ts-update.log 2>&1\n", {"ts-update", "ts-update.sh"}),
        ("SHELL=/bin/sh\n# * * * * * root ts-update-old\n* * * * * root ts-update\n", {"ts-update"}),
        ("5 * * * * root logger -f /var/log/ts-update-report\n5 * * * * root grep ts-update-all /var/log/x\n", {"ts-update"}),
        ("", {"ts-update"}),
    ],
)  # fmt: skip
def test_programs_with_that_prefix_in_the_cron_entry_count(entry: str, expected: set[str]) -> None:
    assert started_by(entry) == expected


def test_running_wrapper_of_the_cron_entry_counts() -> None:
    wrapper = [Process(5, 1, "S", 1, "/bin/bash /usr/local/bin/ts-update-all --quiet")]
    entry = "* * * * * threatstop /usr/local/bin/ts-update-all --quiet\n"
    assert updates_among(wrapper, None, *started_by(entry)) == wrapper
    assert updates_among(wrapper, None) == []
