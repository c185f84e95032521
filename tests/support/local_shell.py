"""An appliance without a network: its commands run with this machine's sh, or have recorded output."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.errors import Unreachable
from tscm_migrate.migration.context import Migration
from tscm_migrate.migration.journal import Journal
from tscm_migrate.model import Host, Paths, Policy
from tscm_migrate.options import MigrateOptions
from tscm_migrate.ssh.execution import CommandResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tscm_migrate.events import Event
    from tscm_migrate.ssh.shell import Shell

posix_only = pytest.mark.skipif(os.name == "nt", reason="an appliance's commands are POSIX shell scripts")
RUN = "20240501-030000-1a2b"
OLD_KEY, NEW_KEY = "SHA256:old", "SHA256:new"
OLD_MAC, NEW_MAC, OTHER_MAC = "02:00:00:00:00:43", "02:00:00:00:00:50", "02:00:00:00:00:99"


@dataclass
class LocalShell:
    """Implements the interface of an SSH connection.

    `recorded` maps a part of a command's display to its standard output, or to a function that returns it. A command
    that matches no part runs on this machine if `runs_here` is set; else the test fails.
    """

    host: Host
    key: str = OLD_KEY
    recorded: dict[str, str | Callable[[], str]] = field(default_factory=dict)
    runs_here: bool = True
    alive: bool = True
    displays: list[str] = field(default_factory=list)
    as_root: list[str] = field(default_factory=list)  # the commands of `displays` that were run with sudo

    def server_fingerprint(self) -> str:
        return self.key

    def close(self) -> None:
        self.alive = False

    def run(
        self,
        script: str,
        *,
        sudo: bool = False,
        stdin: bytes = b"",
        timeout: float = 60.0,
        check: bool = True,
        display: str | None = None,
    ) -> CommandResult:
        shown = display or script
        self.displays.append(shown)
        if sudo:
            self.as_root.append(shown)
        for part, output in self.recorded.items():
            if part in shown:
                return CommandResult(shown, 0, output if isinstance(output, str) else output(), "", 0.0)
        assert self.runs_here, f"no output is recorded of: {shown}"
        done = subprocess.run(["sh", "-c", script], input=stdin, capture_output=True, timeout=timeout, check=False)
        result = CommandResult(shown, done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0)
        assert done.returncode == 0 or not check, result.stderr
        return result


def as_shell(shell: LocalShell) -> Shell:
    return cast("Shell", shell)


def host_below(folder: Path, name: str, address: str = "127.0.0.43") -> Host:
    """Return a host whose files are below a folder of this machine."""
    paths = Paths(hold_dir=str(folder / "hold"), cron_entry=str(folder / "cron.d" / "multidevice-core"))
    return Host(name, address, paths=paths)


def appliance_of(shell: LocalShell) -> Appliance:
    appliance = Appliance(shell.host, lambda _host, _expect=None: as_shell(shell))
    appliance.moved(shell.host, as_shell(shell))
    return appliance


@dataclass
class Network:
    """Connects to the shell at an address; an address without a shell is unreachable."""

    at: dict[str, LocalShell | Exception] = field(default_factory=dict)
    dialled: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    opened: list[LocalShell] = field(default_factory=list)

    @property
    def open_at(self) -> list[str]:
        """The addresses of the open connections."""
        return [shell.host.address for shell in self.opened if shell.alive]

    def __call__(self, host: Host, expect: Sequence[str] | None = None, *, within: float | None = None) -> Shell:
        del within
        self.dialled.append((host.address, tuple(expect or ())))
        shell = self.at.get(host.address, Unreachable(host.name, "No route to host"))
        if isinstance(shell, Exception):
            raise shell
        self.opened.append(replace(shell, host=host))
        return as_shell(self.opened[-1])


@dataclass
class Person:
    """An operator who gives the same answer to all questions."""

    does: bool = True
    asked: list[str] = field(default_factory=list)
    attended: bool = True

    def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self.does

    def instruct(self, text: str) -> bool:
        self.asked.append(text)
        return self.does


def migration(
    root: Path, *, network: Network | None = None, person: Person | None = None, bypass: bool = False, **changes: Any
) -> tuple[Migration, list[Event]]:
    """Return a migration between two appliances that are reached through `network`, and the list of its events."""
    seen: list[Event] = []
    dial = network or Network()
    old, new = Host("tscm-old", "127.0.0.43"), Host("tscm-new", "127.0.0.50")
    facts = {
        name: Facts(name, interfaces=(Interface("eth0", host.address, 24),), host_keys=(("ssh-ed25519", key),))
        for name, host, key in (("old", old, OLD_KEY), ("new", new, NEW_KEY))
    }
    journal = Journal.create(RUN, root)
    notes = {"new_address": new.address, "old_keys": [OLD_KEY], "new_keys": [NEW_KEY]}
    journal.write("run-started", run=RUN, old=old.name, new=new.name, notes=notes)
    made = Migration(
        RUN, MigrateOptions(from_=old.name, to=new.name, bypass_netconf=bypass), Appliance(old, dial),
        Appliance(new, dial), facts["old"], facts["new"], journal=journal, dial=dial,
        operator=cast("Any", person or Person()), policy=Policy(reboot_timeout=1.0), emit=seen.append, **changes,
    )  # fmt: skip
    return made, seen
