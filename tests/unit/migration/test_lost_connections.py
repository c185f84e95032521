"""A connection that is lost while an appliance leaves, restarts or is looked for does not end the run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.local_shell import NEW_KEY, OLD_KEY, OLD_MAC, RUN, LocalShell, Network, as_shell, migration
from tscm_migrate.appliance import isolation, network
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.errors import ApplianceError, CommandTimeout, ConnectionLost, SshError, Unreachable
from tscm_migrate.migration import rediscover
from tscm_migrate.migration.steps.offline import TakeOffline
from tscm_migrate.model import Host
from tscm_migrate.ssh.execution import CommandResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

OLD = Host("tscm-old", "127.0.0.43")


@dataclass
class Interrupted(Network):
    """A network in which some connections fail: `fails` maps their number, from 1, to the error."""

    fails: dict[int, SshError] = field(default_factory=dict)

    def __call__(self, host: Host, expect: Sequence[str] | None = None, *, within: float | None = None) -> Shell:
        shell = super().__call__(host, expect, within=within)
        if error := self.fails.pop(len(self.opened), None):
            raise error
        return shell


@pytest.mark.parametrize("error", [ConnectionLost("tscm-new"), Unreachable("tscm-new")], ids=["lost", "unreachable"])
def test_an_appliance_that_goes_away_between_two_logins_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: SshError
) -> None:
    monkeypatch.setattr(rediscover, "_PAUSE", 0.0)
    lock = ApplianceLock(RUN, "new", workstation="w").text()
    shell = LocalShell(OLD, NEW_KEY, {"which appliance is it": f"{lock}\nno\n\nboot\n"}, runs_here=False)
    m, _ = migration(tmp_path, network=Interrupted({OLD.address: shell}, fails={2: error}))
    assert rediscover.find_both(m, need_new=True, timeout=60.0) is False
    assert m.new.host.address == OLD.address


class Leaving(LocalShell):
    """A shell whose every command ends in this way."""

    ends: Callable[[], CommandResult]

    def run(self, *_: object, **__: object) -> CommandResult:
        return self.ends()


def isolated(ends: Callable[[], CommandResult]) -> Appliance:
    """Isolate an appliance whose command ends in this way; return it."""
    shell = Leaving(OLD)
    shell.ends = ends
    appliance = Appliance(OLD, lambda _host, _expect=None: as_shell(shell))
    isolation.isolate(
        appliance,
        interface="eth0",
        address=OLD.address,
        channel=isolation.rescue_channel(RUN),
        seconds=60.0,
        release=(),
    )
    return appliance


@pytest.mark.parametrize("error", [ConnectionLost("tscm-old"), CommandTimeout("tscm-old")], ids=["lost", "silent"])
def test_an_isolated_appliance_may_leave_before_its_answer_arrives(error: SshError) -> None:
    def ends() -> CommandResult:
        raise error

    assert not isolated(ends).connected


def test_a_timer_that_does_not_start_is_an_error() -> None:
    with pytest.raises(ApplianceError, match="no address on eth0"):
        isolated(lambda: CommandResult("", 44, "", "failed: no address on eth0", 0.0))


@pytest.mark.parametrize(
    ("told", "leaves"),
    [(0.0, True), (3600.0, True), (-network.GOES_DOWN - 1, False)],
    ids=["just now", "the clock was set back", "long ago"],
)
def test_a_requested_power_off_that_has_not_begun_is_waited_for(tmp_path: Path, told: float, leaves: object) -> None:
    """When the run is undone, the old appliance may still answer for some seconds."""
    left = [2]

    def boot() -> str:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionLost(OLD.name)
        return "boot\n"

    recorded: dict[str, str | Callable[[], str]] = {"read its MACs": OLD_MAC, "read the boot identity": boot}
    recorded["which appliance is it"] = f"{ApplianceLock(RUN, 'old', workstation='w').text()}\nno\n\nboot\n"
    shell = LocalShell(OLD, OLD_KEY, recorded, runs_here=False)
    m, _ = migration(tmp_path, network=Network({OLD.address: shell}))
    m.set_note("offline_began", time.time() + told)
    actions = list(TakeOffline().revert(m, {"offline": "poweroff", "old_macs": [OLD_MAC], "new_macs": []}))
    assert bool(actions) is leaves
