"""Warnings and errors in the output of tsadmin are reported and decisive, whatever its exit status is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.migrations import MIGRATE, all_output, device_files, needed, run_of

if TYPE_CHECKING:
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

LEFT_OUT = "[INFO ] : 2 log files were left out"
WARNED = "[WARN ] : Completed with warnings"
FATAL = "[FATAL] : no license"


def test_warnings_are_reported_and_a_fatal_line_fails_an_update(make_lab: MakeLab) -> None:
    prints = {"restore": [WARNED], "update": ["[INFO ] : 0 invalid entries", FATAL]}
    lab = make_lab({"faults": {"prints": {"backup": [LEFT_OUT]}}}, {"faults": {"prints": prints}})
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", timeout=400)
    assert result.returncode == 4, all_output(result)
    report = json.loads(lab.run_tool("run", "report", run_of(result.stdout), "--json").stdout)
    for line in (f"tscm-old: {LEFT_OUT}", f"tscm-new: {WARNED}"):
        assert f"warning: {line}" in result.stdout, all_output(result)
        assert line in report["warnings"]
    assert {(one["ok"], one["detail"]) for one in report["devices"]} == {(False, FATAL)}
    assert "invalid entries" not in result.stdout + json.dumps(report)


def test_a_fatal_line_of_a_restore_stops_only_if_files_are_missing(
    make_lab: MakeLab,
) -> None:
    missing = "Can't locate TSCM/Pan.pm in @INC"
    lab = make_lab({}, {"faults": {"prints": {"restore": [missing]}, "restore_skips_devices": ["dc-panos"]}})
    files = device_files(lab, "old")
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", "--restore-cron", "--no-rehearsal", timeout=400)
    assert (result.returncode, f"exit status 0: {missing}" in result.stderr) == (5, True), all_output(result)

    lab.guest("new").change(faults={"prints": {"restore": [missing]}})
    result = lab.run_tool("resume", "--yes", timeout=400)
    assert (result.returncode, f'its restore printed "{missing}"' in result.stdout + result.stderr) == (4, True), (
        all_output(result)
    )
    assert device_files(lab, "new") == files != ""
