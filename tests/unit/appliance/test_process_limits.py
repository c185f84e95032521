"""How processes are listed, and the limits of what counts as ts-update."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.local_shell import LocalShell, appliance_of
from tests.unit.appliance.test_looks import LESS, ROWS, output
from tests.unit.appliance.test_processes import running
from tscm_migrate.appliance import processes
from tscm_migrate.appliance.processes import Process, judge, parse_ps, started_by
from tscm_migrate.errors import ProcessesHidden
from tscm_migrate.model import Host
from tscm_migrate.ssh.execution import CommandResult

TOKEN = "look-0123456789abcdef"


class Listed(LocalShell):
    """An appliance that answers each look with the next of these outputs and messages; TOKEN becomes the look's word."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        super().__init__(Host("tscm-old", "127.0.0.43"))
        self.answers, self.asked = list(answers), list[dict[str, Any]]()

    def run(self, script: str, **options: Any) -> CommandResult:
        token = re.findall(r"look-[0-9a-f]+", script)[0]
        self.asked.append(options)
        text, message = self.answers.pop(0)
        return CommandResult("look", 1, f"first\n{token}-begins\n{text}".replace(TOKEN, token), message, 0.0)


def test_processes_are_listed_as_root_and_by_proc_where_ps_shows_too_little() -> None:
    shell = Listed((output(end=""), ""), (output(), ""))
    listing = processes.look(appliance_of(shell), "look")
    assert (listing.printed, listing.own, len(listing.processes)) == ("first\n", 77, 3)
    assert [(asked["sudo"], asked["check"]) for asked in shell.asked] == [(True, False)] * 2


def test_first_complete_list_is_enough() -> None:
    shell = Listed((output(), ""))
    assert processes.look(appliance_of(shell), "look").own == 77
    assert len(shell.asked) == 1


def test_list_without_proof_of_completeness_is_refused_with_both_reasons() -> None:
    shell = Listed(("", "x" * 50 + "y" * 100 + "\n"), (output(top="512"), ""))
    with pytest.raises(ProcessesHidden) as refused:
        processes.look(appliance_of(shell), "look")
    assert f"by ps: {'y' * 100}; by /proc: process 512" in refused.value.message()


@pytest.mark.parametrize(("rights", "seen"), [("0000000000080000", True), ("000001fffff7ffff", False)])
def test_only_the_capability_to_trace_overrides_hidepid(rights: str, seen: bool) -> None:  # noqa: FBT001
    found, _ = judge(output(mount="rw,hidepid=2", rights=f"CapEff:\t{rights}\nGroups:\t0\n"), TOKEN)
    assert (found is not None) is seen


def test_list_without_the_number_of_its_shell_is_refused() -> None:
    assert judge(output(rights=LESS).replace("own 77", "own"), TOKEN)[0] is None
    assert judge(output(ROWS.replace(f"echo {TOKEN}", "true")), TOKEN)[0] is None


def test_process_without_arguments_is_listed() -> None:
    assert parse_ps("7 1 S 5\n") == [Process(7, 1, "S", 5, "")]


@pytest.mark.parametrize("wrapper", ["nice ", "sh -c "])
def test_eight_wrappers_are_followed(wrapper: str) -> None:
    assert running(8 * wrapper + "ts-update") == [8 * wrapper + "ts-update"]
    assert running(9 * wrapper + "ts-update") == []


def test_program_behind_a_variable_counts() -> None:
    assert running("LC_ALL=C ts-update", "A=1 B=2 ts-update") == ["LC_ALL=C ts-update", "A=1 B=2 ts-update"]


@pytest.mark.parametrize("args", ["7 nice ts-update", "7", "perl -w", "nice -n 5", "nohup", "A=1"])
def test_command_without_the_program_does_not_count(args: str) -> None:
    assert running(args) == []


@pytest.mark.parametrize(
    ("entry", "program"),
    [
        ("@hourly threatstop ts-update-hourly\n", "ts-update-hourly"),
        ("# one line\n* * * * * root ts-update-all\n", "ts-update-all"),
        ("* * * * *\n* * * * * root ts-update-all\n", "ts-update-all"),
    ],
)
def test_program_of_an_entry_is_found_in_each_form(entry: str, program: str) -> None:
    assert started_by(entry) == {"ts-update", program}


def test_entry_in_a_comment_does_not_count() -> None:
    assert started_by("#* * * * * root ts-update-old\n") == {"ts-update"}
