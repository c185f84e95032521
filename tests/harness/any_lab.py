"""The interface of all labs, however their appliances are made; tests are written against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.harness.profile import Profile
    from tscm_migrate.demo.base import Collision, Name
    from tscm_migrate.demo.guest import Guest


@runtime_checkable
class Lab(Protocol):
    """Two appliances, and a workstation to run the tool; a context manager that removes everything at its end."""

    inventory: Path  # hosts.toml with tscm-old and tscm-new; known_hosts and the client key are in the same folder
    folder: Path  # all files of this lab, also the tool's state

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def env(self) -> dict[str, str]:
        """Environment variables for the tool: inventory, state folder."""

    def run_tool(
        self, *args: str, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `tscm-migrate ARGS` on the workstation; subprocess.TimeoutExpired after `timeout` seconds."""

    def spawn_tool(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the tool, with stdout and stderr in pipes; the caller ends it."""

    def on(self, name: Name, script: str, *, root: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script on an appliance, without ssh."""

    def guest(self, name: Name) -> Guest:
        """Return the simulated appliance: its files on this machine, its faults."""

    def profile(self, name: Name) -> Profile:
        """Return the profile of an appliance."""

    def root_of(self, name: Name) -> Path:
        """Return the appliance's root folder on this machine."""

    def journal(self, name: Name) -> list[dict[str, Any]]:
        """Return what its programs did, with times; see `Guest.journal`."""

    def power_on(self, name: Name) -> None:
        """Boot with the saved network settings; returns when it is running."""

    def power_off(self, name: Name) -> None:
        """Cut the power."""

    def is_on(self, name: Name) -> bool:
        """Return whether it has power."""

    def boot_id(self, name: Name) -> str:
        """Return its boot id, which changes with every boot."""

    def addresses(self) -> dict[str, str | None]:
        """Return the address at which each appliance answers; None if it does not."""

    def collisions(self) -> list[Collision]:
        """Return all cases in which two appliances wanted the same address."""
