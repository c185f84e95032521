"""Helpers for tests of complete migrations: marks, output for messages, files of the lab's appliances."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.harness.namespaces import available

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab

PAIR = ("--from", "tscm-old", "--to", "tscm-new")
MIGRATE = ("migrate", *PAIR)


def needed(seconds: float) -> list[pytest.MarkDecorator]:
    """Return the marks of a module whose tests need namespaces and take at most `seconds` each."""
    return [
        pytest.mark.namespaces,
        pytest.mark.slow,
        pytest.mark.timeout(seconds),
        pytest.mark.skipif(available() is not None, reason=f"no namespace lab: {available()}"),
    ]


def all_output(result: subprocess.CompletedProcess[str]) -> str:
    """Return exit status and output of a command, for the message of an assertion."""
    return f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def run_of(text: str) -> str:
    """Return the first run id in a text."""
    match = re.search(r"\b(\d{8}-\d{6}-[0-9a-f]{4})\b", text)
    assert match, text
    return match[1]


def keys_of(lab: NamespaceLab, name: str) -> list[str]:
    """Return type and key of each public host key on an appliance's disk."""
    return sorted(lab.on(name, "cat /etc/ssh/ssh_host_*_key.pub | awk '{print $1, $2}'").stdout.splitlines())


def device_files(lab: NamespaceLab, name: str) -> str:
    """Return hash and name of all device files of an appliance."""
    return lab.on(name, "cd /opt/threatstop/etc/devices && find . -type f -exec sha256sum {} + | sort -k2").stdout


def state_of(lab: NamespaceLab, name: str) -> str:
    """Return all that a migration may change on an appliance, as one text."""
    return lab.on(
        name,
        "for d in /etc/cron.d /opt/threatstop /dev/shm /tmp /var/lib/tscm-migrate /home/threatstop /etc/ssh; do "
        "find $d -type f -not -name '*.log' -exec sha256sum {} + 2>/dev/null; "
        "find $d -not -name '*.log' -printf '%p %M %u %g %l\\n' 2>/dev/null; done | sort; cat /etc/network/interfaces",
    ).stdout
