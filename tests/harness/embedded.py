"""The embedded lab as tests use it: appliances with variations, and a way to look inside and to switch them."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING, Any, ClassVar

from tests.harness import shims
from tscm_migrate.demo.base import tool_command
from tscm_migrate.demo.embedded import available, lab
from tscm_migrate.demo.embedded.machine import EmbeddedMachine
from tscm_migrate.demo.guest import copy_package

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.harness.profile import Profile
    from tscm_migrate.demo.base import Collision, Name
    from tscm_migrate.demo.guest import Guest

__all__ = ["EmbeddedLab", "available"]


class VariedEmbeddedMachine(EmbeddedMachine):
    """An appliance whose sudo may ask for a password, and whose disk may be nearly full."""

    profile: Profile
    shims: ClassVar[dict[str, str]] = {
        **EmbeddedMachine.shims,
        "sudo": f"{shims.__name__}.sudo.run",
        "df": f"{shims.__name__}.disk.df",
    }

    def _write_shims(self, lib: Path) -> None:
        if self.profile.missing:
            raise ValueError("programs can be missing in the namespace lab only: here a PATH finds this machine's")
        self.profile.customise(self.guest)
        copy_package(shims.__name__, lib)
        super()._write_shims(lib)

    def shim_settings(self) -> dict[str, Any]:
        """Return the data for the stand-ins."""
        password = self.profile.sudo_password
        return {
            **super().shim_settings(),
            "sudo_hash": None if password is None else hashlib.sha256(password.encode()).hexdigest(),
            "sudo_allowed": self.profile.sudo_allowed,
            "disk_free": self.profile.disk_free,
        }


class EmbeddedLab(lab.EmbeddedLab):
    """Two appliances with the properties of `tests.harness.profile.Profile`."""

    machine_class: ClassVar[type[EmbeddedMachine]] = VariedEmbeddedMachine

    def run_tool(
        self, *args: str, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run the tool to its end."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run(
            tool_command(*args),
            env={**self.env(), **(env or {})},
            cwd=self.folder / "workstation",
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            **given,
        )

    def spawn_tool(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the tool."""
        return subprocess.Popen(
            tool_command(*args),
            env={**self.env(), **(env or {})},
            cwd=self.folder / "workstation",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on(self, name: Name, script: str, *, root: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script on an appliance, without ssh."""
        return self._machines[name].run(script, root=root)

    def guest(self, name: Name) -> Guest:
        """Return the simulated appliance."""
        return self._machines[name].guest

    def profile(self, name: Name) -> Any:
        """Return the profile, with the lab's network."""
        return self._profiles[name]

    def root_of(self, name: Name) -> Path:
        """Return the root folder."""
        return self._machines[name].root

    def journal(self, name: Name) -> list[dict[str, Any]]:
        """Return what its programs did."""
        return self.guest(name).journal()

    def power_on(self, name: Name) -> None:
        """Boot."""
        if not self._appliances[name].on:
            self._call(self._appliances[name].boot())

    def power_off(self, name: Name) -> None:
        """Cut the power."""
        self._call(self._appliances[name].halt())

    def is_on(self, name: Name) -> bool:
        """Return whether it has power."""
        return self._appliances[name].on

    def boot_id(self, name: Name) -> str:
        """Return its boot id."""
        return self._machines[name].boot_id_file.read_text().strip()

    def addresses(self) -> dict[str, str | None]:
        """Return which address each appliance has."""
        return {name: one.address if one.listening else None for name, one in self._appliances.items()}

    def collisions(self) -> list[Collision]:
        """Return all cases in which two appliances wanted the same address."""
        return list(self._wire.collisions)
