"""What a killed run has left, from its journal alone: each line has the command that fixes it."""

from __future__ import annotations

from typing import Any

import pytest

from tscm_migrate.migration import final_state
from tscm_migrate.migration.journal import RunRecord
from tscm_migrate.model import Host

RUN = "20240501-030000-1a2b"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"started": ["hold-updates"], "undo": {"hold-updates": {"in_place": True}}}, ["PAUSED", f"rollback {RUN}"]),
        ({"started": ["take-offline"]}, ["tscm-old: is OFFLINE", f"resume {RUN}"]),
        ({"started": ["take-offline"], "reverted": ["restore"]}, ["tscm-old: is OFFLINE", f"rollback {RUN}"]),
        ({"started": ["restore-network"], "notes": {"kept": {}}}, ["tscm-new: is half-migrated", f"resume {RUN}"]),
        (
            {"started": ["restore-network"], "reverted": ["restore"], "notes": {"kept": {}}},
            ["tscm-new: is half-migrated", f"rollback {RUN}"],
        ),
    ],
)
def test_remaining_state_of_a_killed_run_names_the_appliance_and_the_command(
    fields: dict[str, Any], words: list[str]
) -> None:
    (line,) = final_state.remaining_state(RunRecord(run=RUN, old="tscm-old", new="tscm-new", **fields))
    assert [word for word in words if word not in line] == []


def test_run_with_a_living_old_appliance_is_not_half_migrated_after_the_network_was_restored() -> None:
    record = RunRecord(run=RUN, old="tscm-old", new="tscm-new", started=["restore-network"])
    assert final_state.remaining_state(record) == []


@pytest.mark.parametrize(
    ("host", "command"),
    [
        (Host("a", "10.1.1.43"), "ssh threatstop@10.1.1.43 ls"),
        (Host("a", "10.1.1.43", user="ann", port=2222), "ssh -p 2222 ann@10.1.1.43 ls"),
    ],
)
def test_command_that_logs_in_has_the_port_if_it_is_not_22(host: Host, command: str) -> None:
    assert host.ssh("ls") == command
    assert host.ssh(terminal=True) == command.replace("ssh", "ssh -t", 1).removesuffix(" ls")
