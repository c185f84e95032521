"""Updates all packages without questions, and reports whether a restart is needed."""

import re
from dataclasses import dataclass

from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.errors import ApplianceError
from tscm_migrate.util.redact import outside

LONGEST = 3600.0  # seconds for one upgrade; mirrors may be slow

# Noninteractive; configuration files with local changes are kept.
_COMMANDS = {
    "apt-get": (
        "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l UCF_FORCE_CONFFOLD=1; set -e; "
        "apt-get -q -o DPkg::Lock::Timeout=300 update; "
        "apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef "
        "-o Dpkg::Options::=--force-confold dist-upgrade"
    ),
    "dnf": "dnf -y -q upgrade",
    "yum": "yum -y -q update",
}


@dataclass(frozen=True)
class Upgraded:
    """Result of an upgrade: the package manager, and whether the appliance needs a restart."""

    manager: str
    reboot_wanted: bool


def manager_of(tools: tuple[str, ...]) -> str:
    """Return the first of apt-get, dnf and yum that exists; "" if none does."""
    return next((name for name in _COMMANDS if name in tools), "")


def upgrade(appliance: Appliance, manager: str, *, timeout: float = LONGEST) -> Upgraded:
    """Update all packages without questions; changed configuration files are kept.

    Raises:
        ApplianceError: no package manager exists, or it failed; with its last output.
        CommandTimeout, SshError: the command did not end, or the connection failed.
    """
    if manager not in _COMMANDS:
        raise ApplianceError(appliance.name, "it has neither apt-get nor dnf nor yum")
    script = f"exec </dev/null; {_COMMANDS[manager]}"
    done = appliance.run(
        script, sudo=True, check=False, timeout=timeout, display=f"{manager}: update all packages, without a question"
    )
    if done.status != 0:
        printed = [
            line.strip()
            for line in outside(done.stdout + "\n" + done.stderr, 1 << 22, lines=True).splitlines()
            if line.strip()
        ]
        errors = [line for line in printed if re.match(r"E:|Error|error", line)] or printed[-1:]
        raise ApplianceError(
            appliance.name, f"{manager} ended with exit status {done.status}: {'; '.join(errors)[-300:]}"
        )
    return Upgraded(manager, reboot_wanted(appliance))


def reboot_wanted(appliance: Appliance) -> bool:
    """Return whether the appliance needs a restart."""
    script = (
        "[ ! -e /var/run/reboot-required ] || exit 0; "
        "if command -v needs-restarting >/dev/null 2>&1; then needs-restarting -r >/dev/null 2>&1; "
        "[ $? = 1 ]; exit; fi; "
        "exit 1"
    )
    return (
        appliance.run(script, sudo=True, check=False, timeout=120.0, display="check whether a restart is needed").status
        == 0
    )
