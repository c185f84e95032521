"""The report of a run: its content, hostile names shown as text, and its look in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from tests.support import browser
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.events import (
    Checked,
    CommandRun,
    Estimated,
    Event,
    Message,
    Prompted,
    RunFinished,
    RunStarted,
    StepStarted,
)
from tscm_migrate.migration import history, report
from tscm_migrate.migration import journal as j
from tscm_migrate.migration.journal import Journal
from tscm_migrate.migration.recorder import MOST, Recorder
from tscm_migrate.ui import run_report
from tscm_migrate.ui.planview import PlanView
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20240501-030000-1a2b"
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def a_run(root: Path, *, device: str = "asa-edge", fails: bool = False, cut: bool = False) -> Journal:
    journal = Journal.create(RUN, root)
    journal.write("run-started", run=RUN, verb="migrate", version="1", old="tscm-old", new="tscm-new", options={})
    check = {"name": "os-differs", "severity": "error", "text": "they differ", "remedy": "wait", "allowed": True}
    facts = Facts("tscm-old", hostname="h", versions=(("TSCM-Core", "1.50-01"),), os_pretty="Ubuntu")
    journal.write("noted", key="facts", value={"old": asdict(facts)})  # as the journal of a run has it
    journal.write("noted", key="checks", value=[check])
    estimate = {"total": 240.0, "downtime": 97.0, "steps": {"hold-updates": 61.0}}
    journal.write("noted", key="estimate", value=estimate)
    journal.write("noted", key="archive", value={"name": "a.tsbak", "folder": "/b", "size": 1500, "sha256": "ab" * 32})
    for step in ("hold-updates", "take-offline"):
        journal.write("step-started", step=step)
        journal.write("action-started", step=step, host="tscm-old", describes=f"act {device}")
        if step == "take-offline":
            journal.write("noted", key="offline_began", value=time.time())
        if cut and step == "take-offline":
            journal.write("step-failed", step=step, code="x", error="the cable is out", seconds=0.1)
            journal.write("run-ended", outcome="interrupted", standing=["tscm-old: is OFFLINE"])
            return journal
        journal.write("action-done", step=step, describes=f"act {device}", seconds=0.2)
        journal.write("step-done", step=step, seconds=0.2)
    journal.write("noted", key="devices", value={device: {"ok": not fails, "seconds": 1.0, "detail": device}})
    journal.write("noted", key="online_at", value=time.time())
    journal.write("noted", key="parity", value=[{"name": "address", "same": True, "was": "a", "has": "a"}])
    journal.write("run-ended", outcome="done", standing=[])
    return journal


def test_report_shows_steps_times_archives_devices_and_acknowledgements(tmp_path: Path) -> None:
    a_run(tmp_path)
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    told = report.read(RUN, tmp_path)
    assert [s["id"] for s in told["sessions"][0]["steps"]] == ["hold-updates", "take-offline"]
    assert [c["name"] for c in told["acknowledged"]] == ["os-differs"]
    assert told["downtime"]["ended"]
    assert told["outcome"] == "done"
    for words in (
        "ab" * 32,
        "asa-edge",
        "Acknowledged with --allow os-differs",
        "downtime, estimated 1 min 37 s",
        "total time, estimated 4 min",
        "estimated 1 min 1 s",
        "downtime",
        "TSCM-Core 1.50-01, Ubuntu",
    ):
        assert words in page, words


def test_a_step_with_nothing_to_do_is_shown_as_skipped_with_the_reason(tmp_path: Path) -> None:
    journal = Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, old="a", new="b", options={})
    for step, more in (("snapshot", {"skipped": "there is no hook"}), ("reboot", {})):  # the second: an older journal
        journal.write("step-started", step=step)
        journal.write("step-done", step=step, seconds=0.0, **more)
    told = report.read(RUN, tmp_path)
    steps = told["sessions"][0]["steps"]
    assert [(step["state"], step["why"]) for step in steps] == [("skipped", "there is no hook"), ("skipped", "")]
    assert any(line.endswith("(there is no hook)") for line in run_report.text_lines(told))
    assert "there is no hook" in report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    shown, _ = history.lines(RUN, tmp_path)
    assert any(line.endswith("skipped   snapshot: there is no hook") for line in shown), shown


def test_the_total_is_the_time_of_all_sessions_without_the_operators(tmp_path: Path) -> None:
    journal = Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, old="a", new="b", options={})
    journal.write("run-ended", outcome="interrupted", seconds=60.0, asked=31.0)
    journal.write("run-resumed")
    journal.write("run-ended", outcome="done", seconds=37.0, asked=0.0)
    told = report.read(RUN, tmp_path)
    assert (told["seconds"], told["asked"]) == (97.0, 31.0)
    assert [session["seconds"] for session in told["sessions"]] == [60.0, 37.0]
    assert "total 1 min 37 s" in history.lines(RUN, tmp_path)[0]
    assert any("total 1 min 37 s (and 31 s for the operator's answers)" in line for line in run_report.text_lines(told))


def test_the_timeline_shows_the_downtime_behind_the_steps_that_it_covers() -> None:
    session = {"began": "2024-05-01T03:00:00Z", "ended": "2024-05-01T03:01:40Z", "steps": [
        {"began": "2024-05-01T03:00:00Z", "seconds": 50.0}, {"began": "2024-05-01T03:00:50Z", "seconds": 0.0},
    ]}  # fmt: skip
    made = run_report.timeline(session, {"began": "2024-05-01T03:00:50Z", "ended": "2024-05-01T03:01:15Z"})
    assert made["band"] == {"x": 50.0, "width": 25.0}
    assert [(bar["x"], bar["width"]) for bar in made["bars"]] == [(0.0, 50.0), (50.0, 0.6)]
    assert [tick["text"] for tick in made["ticks"]] == ["0 s", "30 s", "60 s", "90 s"]
    assert (
        run_report.timeline(session, {"began": "2024-05-01T02:00:00Z", "ended": "2024-05-01T02:10:00Z"})["band"] is None
    )


def test_report_of_a_failed_run_shows_the_step_and_the_final_state(tmp_path: Path) -> None:
    a_run(tmp_path, cut=True)
    told = report.read(RUN, tmp_path)
    assert told["sessions"][0]["steps"][-1]["state"] == "failed"
    assert told["standing"] == ["tscm-old: is OFFLINE"]
    assert told["downtime"]["ended"] == ""
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    assert "the cable is out" in page
    assert "so far" in page


def test_a_resume_and_a_rollback_are_sessions_of_their_own(tmp_path: Path) -> None:
    journal = a_run(tmp_path, cut=True)
    journal.write("run-resumed")
    journal.write("step-started", step="take-offline")
    journal.write("step-failed", step="take-offline", error="again")
    journal.write("rollback-started")
    journal.write("step-reverted", step="take-offline")
    journal.write("step-reverted", step="hold-updates")
    journal.write("run-ended", outcome="rolled-back", standing=[])
    told = report.read(RUN, tmp_path)
    assert [s["verb"] for s in told["sessions"]] == ["migrate", "resume", "rollback"]
    assert [s["state"] for s in told["sessions"][2]["steps"]] == ["reverted", "reverted"]
    assert told["outcome"] == "rolled-back"


def test_a_run_that_was_rolled_back_keeps_its_downtime_archive_and_rehearsal_in_the_report(tmp_path: Path) -> None:
    journal = Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, verb="migrate", old="tscm-old", new="tscm-new", options={})
    journal.write("step-started", step="rehearse-restore")
    journal.write("noted", key="rehearsal", value={"checks": [], "downtime": {"seconds": 97.0}})
    journal.write("step-done", step="rehearse-restore", seconds=0.2)
    journal.write("step-started", step="take-offline")
    journal.write("noted", key="archive", value={"name": "a.tsbak", "folder": "/b", "size": 1500, "sha256": "ab" * 32})
    journal.write("noted", key="offline_began", value=time.time() - 50)
    journal.write("step-failed", step="take-offline", code="x", error="the cable is out", seconds=0.1)
    journal.write("rollback-started")
    journal.write("action-started", step="take-offline", host="tscm-old", describes="return it")
    journal.write("action-done", step="take-offline", describes="return it", seconds=0.2)
    journal.write("step-reverted", step="take-offline")
    journal.write("step-reverted", step="rehearse-restore")
    journal.write("run-ended", outcome="rolled-back", standing=[])
    data = report.read(RUN, tmp_path)
    assert 50 <= data["downtime"]["seconds"] < 60, "it ended when the old appliance was in service again"
    assert data["downtime"]["ended"]
    assert [archive["name"] for archive in data["archives"]] == ["a.tsbak"]
    assert data["rehearsal"]["downtime"]["seconds"] == 97.0
    assert [step["undo"] for step in data["sessions"][1]["steps"]] == [True, True]
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    assert "Undo: Take the old appliance offline" in page
    assert "of 0" not in page, "a figure of nothing"
    assert any("Undo: Take the old appliance offline" in line for line in run_report.text_lines(data))


def test_a_rollback_after_the_migration_adds_its_own_downtime(tmp_path: Path) -> None:
    journal = a_run(tmp_path)
    began = report.read(RUN, tmp_path)["downtime"]
    assert began["rollback"] is None
    journal.write("rollback-started")
    journal.write("step-reverted", step="take-offline")
    journal.write("run-ended", outcome="rolled-back", standing=[])
    data = report.read(RUN, tmp_path)
    assert data["downtime"]["seconds"] == began["seconds"], "the migration's own ended with its last device"
    assert data["downtime"]["rollback"] >= 0
    assert "and at most " in report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")


def test_the_banner_of_a_failed_run_names_the_step_and_the_error(tmp_path: Path) -> None:
    a_run(tmp_path, cut=True)
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    banner = page[page.index("<header") : page.index("</header>")]
    assert "Take the old appliance offline and check that it is offline: the cable is out" in banner


def test_report_of_a_rehearsal_shows_the_parts_of_the_downtime_and_what_to_prepare(tmp_path: Path) -> None:
    journal = Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, old="a", new="b", verb="rehearse", options={})
    parts = [{"step": "take-offline", "seconds": 8.0, "basis": "usual"}, {"step": "x", "seconds": 2.0, "basis": "?"}]
    expected = {"seconds": 10.0, "least": 2.4, "most": 26.0, "basis": "as rehearsed", "parts": parts}
    journal.write("noted", key="rehearsal", value={"downtime": expected, "prepare": ["DHCP: reserve it"]})
    journal.write("step-started", step="rehearse-restore")
    journal.write("step-done", step="rehearse-restore", seconds=0.2)
    journal.write("step-reverted", step="rehearse-restore")
    journal.write("run-ended", outcome="rolled-back", standing=[], next=["prepare: DHCP: reserve it"])
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    told = report.read(RUN, tmp_path)
    lines = run_report.text_lines(told)
    assert told["state"] == "rehearsed"
    assert "Estimated downtime: 2.4 s to 26 s" in page
    assert "  estimated downtime 2.4 s to 26 s:" in lines
    assert "  next: prepare: DHCP: reserve it" in lines
    for line in ("Take the old appliance offline and check that it is offline (usual)", "x (?)"):
        assert any(one.endswith(line) for one in lines), line
        assert line.partition(" (")[0] in page
    assert "prepare: DHCP: reserve it" in page


def test_report_of_a_rehearsal_shows_success_and_estimated_downtime() -> None:
    data = {"old": "a", "new": "b", "state": "rehearsed", "to_do": [], "address": "",
            "rehearsal": {"downtime": {"seconds": 97.0}}}  # fmt: skip
    assert (
        run_report.headline(data)
        == "The rehearsal succeeded, and its changes were undone. Estimated downtime: 1 min 37 s."
    )
    assert run_report.headline({**data, "state": "rolled-back"}) == "The changes of this run were undone."


def test_report_shows_the_current_content_of_the_journal(tmp_path: Path) -> None:
    journal = a_run(tmp_path, cut=True)
    report.write(RUN, run_report.render, root=tmp_path)
    journal.write("run-resumed")  # and then it was killed: no report was written of that
    assert report.read(RUN, tmp_path)["outcome"] == "unfinished"
    (report.folder(RUN, tmp_path) / "report.json").write_text("")  # as a power cut may leave it
    assert [s["verb"] for s in report.read(RUN, tmp_path)["sessions"]] == ["migrate", "resume"]


def test_each_warning_is_in_the_report_once(tmp_path: Path) -> None:
    a_run(tmp_path)
    watch = Recorder(lambda _event: None, run_report.render, tmp_path)
    watch(RunStarted(RUN, "migrate", "tscm-old", "tscm-new"))
    for line in (
        "tscm-new: [WARN ] : <b>Skipping</b> edge",
        "tscm-new: Completed with warnings",
        "tscm-new: [FATAL] : x",
    ):
        watch(Message(line, "warning"))
        watch(Message(line, "warning"))
    watch(Message("only told", "info"))
    watch(RunFinished(RUN, "done", 1.0))
    told = report.read(RUN, tmp_path)
    assert [line.removeprefix("tscm-new: ") for line in told["warnings"]] == [
        "[WARN ] : <b>Skipping</b> edge", "Completed with warnings", "[FATAL] : x",
    ]  # fmt: skip
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    assert "<li>tscm-new: [WARN ] : &lt;b&gt;Skipping&lt;/b&gt; edge</li>" in page
    assert "  warning: tscm-new: Completed with warnings" in run_report.text_lines(told)


def test_downtime_that_is_a_dns_outage_is_named_so(tmp_path: Path) -> None:
    a_run(tmp_path).write(
        "noted",
        key="checks",
        value=[{"name": "dns-outage", "severity": "warning", "text": "named", "remedy": "", "allowed": False}],
    )
    told = report.read(RUN, tmp_path)
    assert told["downtime"]["dns_outage"] is True
    assert any("downtime" in line and "a DNS outage for its clients" in line for line in run_report.text_lines(told))
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    assert "downtime, estimated 1 min 37 s; a DNS outage for its clients" in page


def test_a_plan_lists_each_check_with_the_value_it_saw() -> None:
    view = PlanView()
    for event in (
        RunStarted(RUN, "check", "tscm-old", "tscm-new"),
        Checked("clocks", "ok", "tscm-old: +0 s"),
        Checked("os-differs", "error", "they differ", "take another"),
        RunFinished(RUN, "done", 1.0),
    ):
        view(event)
    shown = view.lines()
    at = shown.index("Checks: 1 of 2 passed")
    assert [line.split()[:2] for line in shown[at + 1 :] if line.strip()] == [
        ["Error", "os-differs:"], ["take", "another"], ["ok", "clocks:"], ["Nothing", "was"],
    ]  # fmt: skip


def test_plan_names_a_downtime_that_is_a_dns_outage() -> None:
    view = PlanView()
    for event in (
        RunStarted(RUN, "dry run", "tscm-old", "tscm-new"),
        Checked("dns-outage", "warning", "tscm-old is a DNS server (module ts-bind)"),
        StepStarted("restore", "Restore"),
        Estimated("", 60.0),
        Estimated("downtime", 30.0),
        RunFinished(RUN, "done", 1.0),
    ):
        view(event)
    shown = "\n".join(view.lines())
    assert "tscm-old is a DNS server (module ts-bind)" in shown
    assert "Estimated: 1 min total, 30 s downtime, which is a DNS outage for its clients." in shown


def test_incomplete_line_of_the_command_log_hides_no_other(tmp_path: Path) -> None:
    a_run(tmp_path)
    watch = Recorder(lambda _event: None, run_report.render, tmp_path)
    watch(RunStarted(RUN, "migrate", "tscm-old", "tscm-new"))
    for display in ("echo before\nbehind", "echo ä"):
        watch(CommandRun("tscm-old", display, 0, 0.1))
    file = report.folder(RUN, tmp_path) / "commands.jsonl"
    file.write_bytes(file.read_bytes()[: file.read_bytes().rindex("ä".encode()) + 1])
    assert ["before behind" in one["display"] for one in report.read(RUN, tmp_path)["commands"]] == [True]


def test_a_clock_that_was_set_back_makes_no_negative_times(tmp_path: Path) -> None:
    journal = a_run(tmp_path)
    journal.write("noted", key="online_at", value=time.time() - 3600)
    told = report.read(RUN, tmp_path)
    assert told["downtime"] is None
    record, entries = j.read(RUN, tmp_path)
    back = [replace(entry, at="2020-01-01T00:00:00.000Z") if entry.n > 5 else entry for entry in entries]
    told = report.build(record, back)
    assert told["sessions"][0]["seconds"] >= 0
    assert min(step["seconds"] for step in told["sessions"][0]["steps"]) >= 0


def test_the_page_needs_no_network_and_runs_no_script_but_its_own(tmp_path: Path) -> None:
    a_run(tmp_path, device=HOSTILE, fails=True)
    page = report.write(RUN, run_report.render, root=tmp_path).read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<script") == 1
    digest = hashlib.sha256(page.partition("<script>")[2].partition("</script>")[0].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in page
    assert "unsafe-inline" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_control_characters_do_not_reach_the_report(tmp_path: Path) -> None:
    a_run(tmp_path, device="a\x1b[2Jb\u202ec")
    page = report.write(RUN, run_report.render, root=tmp_path)
    for file in (page, page.with_name("report.json")):
        told = file.read_text(encoding="utf-8")
        assert "\x1b" not in told
        assert "\\u001b" not in told
        assert "\u202e" not in told
        assert "abc" in told


def test_a_run_without_any_entry_but_its_first_can_be_reported(tmp_path: Path) -> None:
    Journal.create(RUN, tmp_path).write("run-started", run=RUN, old="a", new="b", options={})
    assert report.read(RUN, tmp_path)["outcome"] == "unfinished"
    assert report.write(RUN, run_report.render, root=tmp_path).is_file()


def test_summary_fits_a_terminal(tmp_path: Path) -> None:
    a_run(tmp_path, fails=True)
    shown = "\n".join(run_report.text_lines(report.read(RUN, tmp_path)))
    assert "0 of 1 devices updated" in shown
    assert "[ ] device asa-edge" in shown


def test_commands_are_kept_redacted_and_bounded_and_the_report_is_written_at_the_end(tmp_path: Path) -> None:
    redact.known.add("swordfish-9")
    seen: list[Event] = []
    recorder = Recorder(seen.append, run_report.render, tmp_path)
    recorder(RunStarted(RUN, "migrate", "tscm-old", "tscm-new"))
    recorder(CommandRun("tscm-old", "echo before the journal", 0, 0.1))
    a_run(tmp_path)
    recorder(CommandRun("tscm-old", "login swordfish-9 \x1b[2J", 0, 0.1))
    recorder(Prompted("tscm-new", "Restore SSH?", "ssh", "y"))
    recorder(Message("mind the gap", "warning"))
    for n in range(MOST):
        recorder(CommandRun("tscm-old", f"n {n}", 0, 0.0))
    recorder(RunFinished(RUN, "attention", 1.0, left=("call Bob",)))
    finished = seen[-1]
    assert isinstance(finished, RunFinished)
    assert finished.report.endswith("report.html")
    lines = (report.folder(RUN, tmp_path) / "commands.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == MOST + 1
    assert json.loads(lines[0])["display"] == "echo before the journal"
    assert "swordfish" not in "".join(lines)
    assert json.loads(lines[-1])["text"] == "4 more commands were not kept"
    told = report.read(RUN, tmp_path)
    assert told["to_do"] == ["call Bob"]
    assert told["outcome"] == "attention"
    page = (report.folder(RUN, tmp_path) / "report.html").read_text(encoding="utf-8")
    for words in ("Restore SSH?", "mind the gap", "echo before the journal"):
        assert words in page, words


def test_dry_run_writes_no_report(tmp_path: Path) -> None:
    recorder = Recorder(lambda _event: None, run_report.render, tmp_path)
    recorder(RunStarted(RUN, "dry run", "a", "b"))
    recorder(CommandRun("a", "true", 0, 0.1))
    recorder(RunFinished(RUN, "done", 1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_does_not_change_the_end(tmp_path: Path) -> None:
    journal = a_run(tmp_path)
    journal.path.write_text("damaged\n" * 3, encoding="utf-8")
    seen: list[Event] = []
    recorder = Recorder(seen.append, run_report.render, tmp_path)
    recorder(RunStarted(RUN, "migrate", "a", "b"))
    recorder(RunFinished(RUN, "done", 1.0))
    assert isinstance(seen[-1], RunFinished)
    assert "could not be written" in str(seen[-2])


@pytest.mark.slow
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is not here")
def test_hostile_names_run_no_script_in_a_browser(tmp_path: Path) -> None:
    a_run(tmp_path, device=HOSTILE, fails=True)
    shown = browser.dom(report.write(RUN, run_report.render, root=tmp_path), tmp_path / "profile")
    assert '<button type="button" class="copy"' in shown, "our own script does not run"
    assert "<title>migrate tscm-old → tscm-new: done</title>" in shown
    assert "owned" in shown  # the name itself, as text
    assert "<img" not in shown


@pytest.mark.slow
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is not here")
def test_same_names_without_escaping_run_a_script_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<title>safe</title>{HOSTILE}", encoding="utf-8")
    assert "<title>owned</title>" in browser.dom(page, tmp_path / "profile")


def test_the_state_of_a_run_is_the_same_word_everywhere(tmp_path: Path) -> None:
    from tscm_migrate.migration import history, run_list

    def words(run: str) -> set[str]:
        told = report.read(run, tmp_path)
        (line,) = (one for one in run_list.listing(tmp_path) if one.run == run)
        shown, _ = history.lines(run, tmp_path)
        assert line.state.replace("-", " ") in line.text()
        assert len(replace(line, old="tscm-old", new="tscm-new").text()) <= 80
        return {line.state, told["state"], history.as_dict(run, tmp_path)["state"], shown[0].partition(": ")[2]}

    verbs = {"20300101-000001-0001": "migrate", "20300101-000002-0002": "rehearse", "20300101-000003-0003": "migrate"}
    for run, verb in verbs.items():
        journal = Journal.create(run, tmp_path)
        journal.write("run-started", run=run, verb=verb, old="a", new="b")
        journal.write("step-started", step="backup", title="Back up")
        if run.endswith("3"):
            journal.write("run-ended", outcome="interrupted", standing=[])
            continue
        journal.write("step-reverted", step="backup")
        journal.write("run-ended", outcome="rolled-back" if verb == "rehearse" else "interrupted", standing=[])
    assert [words(run) for run in verbs] == [{"undone"}, {"rehearsed"}, {"interrupted"}]
