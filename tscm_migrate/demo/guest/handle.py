"""Handle of an installed simulated appliance: its files and its log, as the machine that runs it sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tscm_migrate.demo.guest.inside.netfile import Net
from tscm_migrate.demo.guest.inside.netfile import read as read_net


@dataclass(frozen=True)
class Guest:
    """An installed appliance, for the machine that runs the lab.

    Args:
        root: its root folder on this machine.
        inside: path of that root for its programs: "/" in a mount namespace of its own.
        lib: folder of the programs, as they see it.
    """

    root: Path
    inside: str
    lib: str

    def host(self, path: str) -> Path:
        """Return the path on this machine for a path of the appliance's programs."""
        if self.inside == "/":
            return self.root / path.lstrip("/")
        return Path(path)

    def path(self, name: str) -> Path:
        """Return the path on this machine of a folder or file by its logical name."""
        return self.host(self.config()["paths"][name])

    def config(self) -> dict[str, Any]:
        """Return the configuration that the programs on the appliance read."""
        loaded: dict[str, Any] = json.loads(self.host(f"{self.lib}/config.json").read_text("utf-8"))
        return loaded

    def change(self, **fields: Any) -> None:
        """Change fields of the profile, also for a running appliance."""
        config = self.config()
        config["profile"] |= fields
        path = self.host(f"{self.lib}/config.json")
        part = path.with_suffix(".part")
        part.write_text(json.dumps(config), "utf-8")
        part.chmod(0o644)
        part.replace(path)

    def journal(self) -> list[dict[str, Any]]:
        """Return the lab's records: every call, every ts-update from start to end, with times in UTC."""
        path = self.path("journal")
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def saved_net(self) -> Net | None:
        """Return the network settings for the next boot."""
        path = self.path("interfaces")
        return read_net(path.read_text("utf-8")) if path.exists() else None
