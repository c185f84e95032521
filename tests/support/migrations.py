"""What the tests of whole migrations share: what they need, and how they look at a lab's two appliances."""

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
    """The marks of a module whose tests run in name spaces, and may take so long each."""
    return [
        pytest.mark.namespaces,
        pytest.mark.slow,
        pytest.mark.timeout(seconds),
        pytest.mark.skipif(available() is not None, reason=f"no namespace lab: {available()}"),
    ]


def said(result: subprocess.CompletedProcess[str]) -> str:
    """All that a command said, for an assertion's message."""
    return f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def run_of(text: str) -> str:
    """The id of the run that is spoken of first."""
    found = re.search(r"\b(\d{8}-\d{6}-[0-9a-f]{4})\b", text)
    assert found, text
    return found[1]


def keys_of(lab: NamespaceLab, name: str) -> list[str]:
    """Type and key of each host key on an appliance's disk."""
    return sorted(lab.on(name, "cat /etc/ssh/ssh_host_*_key.pub | awk '{print $1, $2}'").stdout.splitlines())


def device_files(lab: NamespaceLab, name: str) -> str:
    """Hash and name of each of an appliance's device files."""
    return lab.on(name, "cd /opt/threatstop/etc/devices && find . -type f -exec sha256sum {} + | sort -k2").stdout
