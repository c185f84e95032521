"""Run hooks: commands on the workstation that take snapshots or switch appliances on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.errors import HookFailed
from tscm_migrate.util import operator_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tscm_migrate.model import Host

LONGEST = 900.0  # seconds


def facts_for(host: Host, role: str, run: str, other: Host | None = None) -> dict[str, str]:
    """Return a hook's environment: TSCM_HOST, TSCM_ADDRESS, TSCM_ROLE (old, new), TSCM_RUN, TSCM_OTHER_…"""
    found = {"TSCM_HOST": host.name, "TSCM_ADDRESS": host.address, "TSCM_ROLE": role, "TSCM_RUN": run}
    if other is not None:
        found |= {"TSCM_OTHER_HOST": other.name, "TSCM_OTHER_ADDRESS": other.address}
    return found


def run_hook(name: str, command: str, facts: Mapping[str, str], *, timeout: float = LONGEST) -> str:
    """Run one hook with the workstation's own shell; no secret of the tool is in its environment.

    Args:
        name: snapshot, offline or online.
        command: as the inventory has it.
        facts: see `facts_for`.
        timeout: seconds.

    Returns:
        The last 2000 characters of its output.

    Raises:
        HookFailed: its exit status was not 0, or it did not end in time.
    """
    try:
        done = operator_command.run(command, facts, timeout)
    except OSError as error:
        raise HookFailed(f"the hook `{name}` could not be started: {error.strerror}", name) from error
    if why := done.cut_short(timeout):
        raise HookFailed(f"the hook `{name}` {why}, and was ended", name)
    output = done.said[-2000:]
    if done.status != 0:
        last = output.splitlines()[-1] if output else "no output"
        raise HookFailed(f"the hook `{name}` failed with exit status {done.status}: {last}", name)
    return output
