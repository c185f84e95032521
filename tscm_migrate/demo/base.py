"""What every lab can do, whichever way its appliances are made; tests are written against this."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from tscm_migrate.demo.guest import Guest
    from tscm_migrate.demo.profile import Profile

Name = Literal["old", "new"]
CHECKOUT = Path(__file__).resolve().parents[2]  # what `python -m tscm_migrate` is imported from
INVENTORY_NAMES = {"old": "tscm-old", "new": "tscm-new"}


@dataclass(frozen=True)
class Collision:
    """Two appliances wanted one address; `at` is aware UTC in ISO form."""

    at: str
    address: str
    names: tuple[str, ...]


@runtime_checkable
class Lab(Protocol):
    """Two appliances and a place to run the tool from; a context manager that leaves nothing behind."""

    inventory: Path  # hosts.toml with tscm-old and tscm-new; known_hosts and the client key lie beside it
    folder: Path  # everything of this lab; the tool's state too

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def env(self) -> dict[str, str]:
        """What the tool's environment needs: inventory, state folder."""

    def run_tool(
        self, *args: str, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `tscm-migrate ARGS` on the workstation; subprocess.TimeoutExpired after `timeout` seconds."""

    def spawn_tool(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start it, with stdout and stderr in pipes; the caller ends it."""

    def on(self, name: Name, script: str, *, root: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script on an appliance by a side channel, without ssh."""

    def guest(self, name: Name) -> Guest:
        """The simulated TSCM: its places on this machine, its faults."""

    def profile(self, name: Name) -> Profile:
        """What was asked for."""

    def root_of(self, name: Name) -> Path:
        """The appliance's root folder on this machine."""

    def journal(self, name: Name) -> list[dict[str, Any]]:
        """What its programs did, with times; see `Guest.journal`."""

    def power_on(self, name: Name) -> None:
        """Boot with the saved network settings; returns when it is up."""

    def power_off(self, name: Name) -> None:
        """Pull the plug."""

    def is_on(self, name: Name) -> bool:
        """Whether it has power."""

    def boot_id(self, name: Name) -> str:
        """Changes with every boot."""

    def addresses(self) -> dict[str, str | None]:
        """The address that each appliance answers at now; None while it answers at none."""

    def collisions(self) -> list[Collision]:
        """Every time that two appliances wanted one address."""


def tool_command(*args: str) -> list[str]:
    """How the tool is started in a lab: this interpreter, this checkout."""
    return [sys.executable, "-m", "tscm_migrate", *args]


def tool_env(folder: Path, inventory: Path) -> dict[str, str]:
    """The tool's environment: state and configuration in the lab's folder, no agent, no keyring of the user."""
    ours = {
        "TSCM_INVENTORY": str(inventory),
        "HOME": str(folder / "workstation"),
        "XDG_STATE_HOME": str(folder / "workstation" / "state"),
        "XDG_CONFIG_HOME": str(folder / "workstation" / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in (str(CHECKOUT), *sys.path) if path),
    }
    keep = {"PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "COVERAGE_PROCESS_START"}
    return {**{name: value for name, value in os.environ.items() if name in keep}, **ours}
