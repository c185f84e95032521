"""Campaigns with recorded results and a simulated clock: waves, windows, the stop rule, resume."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.campaign import plan as plans
from tscm_migrate.campaign import run as running
from tscm_migrate.campaign.journal import CampaignJournal, PairResult, State, locked, names
from tscm_migrate.errors import CampaignMissing, CampaignRunning, Exit, JournalDamaged, PlanInvalid
from tscm_migrate.model import Host
from tscm_migrate.ui import campaign as ui

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tscm_migrate.campaign.pairs import Job

NOW = datetime(2026, 11, 26, 18, 0, tzinfo=UTC)
PLAN = """
name = "branches"
zone = "Europe/Berlin"
stop_after = {stop}
[options]
offline = "isolate"
[[waves]]
name = "canary"
not_before = 22:00:00
not_after = 23:30:00
pairs = [{{ from = "a-old", to = "a-new" }}]
[[waves]]
name = "rest"
jobs = 2
not_before = 2026-11-28T22:00:00
not_after = 2026-11-28T23:00:00
pairs = [
  {{ from = "b-old", to = "b-new", options = {{ allow = ["os-differs"], restore-ssh = false }} }},
  {{ from = "c-old", to = "c-new" }},
  {{ from = "d-old", to = "d-new" }},
]
"""


class Rig:
    """A campaign whose jobs end as `fates` says: pair and verb → state; default done."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any = 1, **fates: str) -> None:
        monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
        self.path = tmp_path / "plan.toml"
        self.path.write_text(PLAN.format(stop=stop if isinstance(stop, int) else f'"{stop}"'))
        self.plan = plans.load(self.path, NOW)
        self.fates, self.jobs, self.lines = fates, list[tuple[str, str, datetime]](), list[str]()
        self.runs: dict[str, tuple[str, str]] = {}
        self.now, self.lock = NOW, threading.Lock()
        self.takes = timedelta(minutes=1)
        self.crash: Callable[[Job], None] = lambda _job: None
        self.work_of: Callable[[Job], PairResult] | None = None

    def work(self, job: Job) -> PairResult:
        with self.lock:
            self.jobs.append((job.pair[0], job.verb, self.now))
            self.now += self.takes
        self.crash(job)
        if self.work_of is not None:
            return self.work_of(job)
        state = self.fates.get(f"{job.pair[0]}_{job.verb}", "done")
        return PairResult(
            job.pair,
            state,
            f"run-{job.pair[0]}",
            downtime=60.0,
            estimate=120.0,
            error="" if state == "done" else "it failed",
        )

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def campaign(self, journal: CampaignJournal | None = None, **more: Any) -> running.Campaign:
        journal = journal or running.begin(self.plan, str(self.path), "")
        clock = running.Clock(lambda: self.now, self.sleep)
        return running.Campaign(
            self.plan, journal, self.lines.append, work=self.work, clock=clock,
            last_run=lambda old, _new: self.runs.get(old[0], ("", "")), **more,
        )  # fmt: skip

    def migrated(self) -> list[str]:
        return [pair for pair, verb, _ in self.jobs if verb != "rehearse"]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rig]:
    return lambda *args, **fates: Rig(tmp_path, monkeypatch, *args, **fates)


def test_every_pair_is_rehearsed_before_the_first_wave_and_no_wave_begins_outside_its_window(
    rig: Callable[..., Rig],
) -> None:
    one = rig()
    assert one.campaign().run() == Exit.DONE
    verbs = [verb for _, verb, _ in one.jobs]
    assert verbs == ["rehearse"] * 4 + ["migrate"] * 4
    assert one.migrated()[0] == "a"
    times = {pair: at for pair, verb, at in one.jobs if verb == "migrate"}
    berlin = one.plan.zone
    assert times["a"].astimezone(berlin).strftime("%d %H:%M") == "26 22:00"
    assert all(times[p].astimezone(berlin).strftime("%d %H") == "28 22" for p in "bcd")


def test_a_wave_whose_window_is_over_does_not_begin(rig: Callable[..., Rig]) -> None:
    one = rig()
    campaign = one.campaign()
    one.now = NOW + timedelta(hours=5)  # midnight in Berlin
    assert campaign.run() == Exit.REFUSED
    assert one.migrated() == []
    assert "the window of wave canary is over" in campaign.journal.state.why


def test_a_pair_does_not_start_when_its_estimated_downtime_no_longer_fits(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.path.write_text(one.path.read_text().replace("jobs = 2", "jobs = 1"))
    one.plan = plans.load(one.path, NOW)
    one.takes = timedelta(minutes=29)  # three pairs do not fit into an hour
    campaign = one.campaign()
    assert campaign.run() == Exit.ATTENTION
    assert one.migrated() == ["a", "b", "c"]
    assert any("d-old → d-new is not started" in line for line in one.lines)


def test_the_stop_rule_starts_no_further_pair(rig: Callable[..., Rig]) -> None:
    one = rig("any", a_migrate="failed")
    campaign = one.campaign()
    assert campaign.run() == Exit.FAILED
    assert one.migrated() == ["a"]
    assert "stopped after 1 failed: a-old → a-new" in campaign.journal.state.why


def test_with_a_higher_limit_the_other_pairs_are_migrated(rig: Callable[..., Rig]) -> None:
    one = rig(2, a_migrate="failed")
    assert one.campaign().run() == Exit.ATTENTION
    assert one.migrated() == ["a", "b", "c", "d"]


def test_a_pair_with_an_unknown_question_does_not_start_and_does_not_stop_the_others(rig: Callable[..., Rig]) -> None:
    one = rig(b_rehearse="not-ready")
    assert one.campaign().run() == Exit.ATTENTION
    assert one.migrated() == ["a", "c", "d"]
    assert any("b-old → b-new will not be started" in line for line in one.lines)


def test_a_person_is_asked_before_the_first_wave_and_the_pair_is_rehearsed_again(rig: Callable[..., Rig]) -> None:
    one = rig(b_rehearse="not-ready")
    taught = []

    def teach(pair: Any) -> bool:
        taught.append(pair.old)
        one.fates.clear()
        return True

    assert one.campaign(teach=teach).run() == Exit.DONE
    assert taught == ["b-old"]
    assert sorted(one.migrated()) == ["a", "b", "c", "d"]


def test_after_a_kill_a_pair_is_resumed_by_its_own_run_and_a_finished_one_is_only_recorded(
    rig: Callable[..., Rig],
) -> None:
    class Killed(BaseException):
        pass

    one, both = rig(), threading.Barrier(2)

    def crash(job: Job) -> None:
        if job.verb == "migrate" and job.pair[0] in "bc":
            both.wait(30)
            raise Killed

    one.crash = crash
    with pytest.raises(Killed):
        one.campaign().run()
    assert sorted(set(one.migrated())) == ["a", "b", "c"]
    one.crash, one.jobs = lambda _job: None, []
    one.runs = {"b": ("run-b", "done"), "c": ("run-c", "unfinished")}
    again = one.campaign(CampaignJournal.reopened("branches"))
    assert again.run() == Exit.DONE
    assert [(pair, verb) for pair, verb, _ in one.jobs] == [("c", "resume"), ("d", "migrate")]
    assert again.journal.state.migrated["b-old → b-new"].state == "done"


def test_a_resume_continues_after_the_stop_rule_and_outside_the_window(rig: Callable[..., Rig]) -> None:
    one = rig("any", b_migrate="unfinished")
    assert one.campaign().run() == Exit.ATTENTION
    assert "d" not in one.migrated(), "the stop rule"
    one.fates, one.jobs = {}, []
    one.runs = {"b": ("run-b", "unfinished"), "c": ("run-c", "done")}
    one.now = NOW + timedelta(days=30)
    journal = CampaignJournal.reopened("branches")
    journal.write("resumed")
    assert one.campaign(journal).run() == Exit.ATTENTION
    assert [(pair, verb) for pair, verb, _ in one.jobs] == [("b", "resume")], "its old appliance may be offline"
    assert "the window of wave rest is over" in journal.state.why


def test_a_pair_that_was_undone_starts_again_in_its_window_only(rig: Callable[..., Rig]) -> None:
    one = rig(1, a_migrate="failed")
    one.campaign().run()
    one.fates, one.jobs, one.runs = {}, [], {"a": ("run-a", "over")}
    journal = CampaignJournal.reopened("branches")
    journal.write("resumed")
    one.now = NOW + timedelta(hours=5)
    assert one.campaign(journal).run() == Exit.FAILED
    assert one.jobs == []
    assert "the window of wave canary is over" in journal.state.why
    one.now = NOW + timedelta(hours=2, minutes=1)
    journal = CampaignJournal.reopened("branches")
    journal.write("resumed")
    assert one.campaign(journal).run() == Exit.DONE
    assert sorted(one.migrated()) == ["a", "b", "c", "d"]


def resumed(one: Rig) -> CampaignJournal:
    """Resume as the command does: with the plan as it is now."""
    one.plan = plans.load(one.path, one.now)
    journal = CampaignJournal.reopened("branches")
    running.begin_again(one.plan, journal, running.other_windows(one.plan, journal.state, one.now))
    return CampaignJournal.reopened("branches")


def test_resume_takes_the_next_window_of_a_wave_whose_window_is_over(rig: Callable[..., Rig]) -> None:
    one = rig(1, a_migrate="failed")
    one.campaign().run()
    one.fates, one.jobs, one.runs = {}, [], {"a": ("run-a", "over")}
    one.now = NOW + timedelta(hours=4)  # the window is open: it stays
    assert resumed(one).state.windows["canary"][0].startswith("2026-11-26T21:00")
    one.now = NOW + timedelta(hours=5)
    assert one.campaign(resumed(one)).run() == Exit.DONE
    assert one.jobs[0][2] == NOW + timedelta(hours=27), "22:00 of the next day"


def test_resume_takes_what_was_changed_in_the_plan(rig: Callable[..., Rig]) -> None:
    one = rig(1, a_migrate="failed")
    one.campaign().run()
    one.fates, one.jobs, one.runs = {}, [], {"a": ("run-a", "over")}
    text = one.path.read_text().replace("22:00:00\nnot_after = 23:30:00", "23:00:00\nnot_after = 23:59:00")
    one.path.write_text(text.replace('"rest"', '"others"'))
    assert one.campaign(resumed(one)).run() == Exit.DONE
    assert one.jobs[0][2] == NOW + timedelta(hours=4), "23:00 in Berlin"
    assert sorted(one.migrated()) == ["a", "b", "c", "d"]


def test_only_one_process_at_a_time_runs_a_campaign(tmp_path: Path) -> None:
    with locked("one", root=tmp_path):
        with pytest.raises(CampaignRunning) as error, locked("one", root=tmp_path):
            pass
        with locked("two", root=tmp_path):
            pass
    assert error.value.exit_code == Exit.REFUSED
    with locked("one", root=tmp_path):
        pass


def test_wait_for_a_window_is_shown_once_an_hour(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.campaign().run()
    waits = [line for line in one.lines if "wave canary: waiting" in line]
    assert 2 <= len(waits) <= 4


def test_run_that_cannot_be_resumed_is_not_started_again(rig: Callable[..., Rig]) -> None:
    one = rig("any", a_migrate="unfinished")
    one.campaign().run()
    one.fates, one.jobs, one.runs = {"a_resume": "interrupted"}, [], {"a": ("run-a", "unfinished")}
    journal = CampaignJournal.reopened("branches")
    journal.write("resumed")
    one.campaign(journal).run()
    assert [(pair, verb) for pair, verb, _ in one.jobs] == [("a", "resume")]
    assert "stopped after 1 failed" in journal.state.why


def test_pair_of_a_lost_worker_names_its_journal(rig: Callable[..., Rig]) -> None:
    """The cluster was lost before the worker's result came; the campaign is resumed without it."""
    one = rig("any")
    journal = running.begin(one.plan, str(one.path), "")
    for pair in ("a-old → a-new", "b-old → b-new"):
        journal.write("started", pair=pair, cluster=True)
    journal.write("resumed")
    one.runs["b"] = ("run-b", "done")  # this worker was a process of this machine
    one.work_of = lambda job: PairResult(job.pair, "refused", error="a-new is in use by run r1 (ann@w1 pid 7)")
    status = one.campaign(CampaignJournal.reopened("branches")).run(rehearse=False)
    assert status == Exit.ATTENTION
    state = CampaignJournal.reopened("branches").state
    assert state.migrated["b-old → b-new"].state == "done"
    result = state.migrated["a-old → a-new"]
    assert "ann@w1" in result.error
    assert "no journal" in result.error
    assert "tscm-migrate resume RUN" in result.remedy
    assert sum("a worker began it" in line for line in one.lines) == 1
    assert "tscm-migrate resume RUN" in ui.status_text(one.plan, state)


def test_a_run_that_another_process_works_on_is_waited_for(rig: Callable[..., Rig]) -> None:
    one = rig()
    campaign = one.campaign()
    campaign.journal.write("started", pair="a-old → a-new")
    campaign.journal.result("rehearsed", PairResult("a-old → a-new", "done"))
    one.runs = {"a": ("run-a", "running")}
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        one.now += timedelta(seconds=seconds)
        if "still at work" in one.lines[-1]:
            one.runs["a"] = ("run-a", "done")

    campaign.clock.sleep = sleep
    assert campaign.run() == Exit.DONE
    assert "a" not in one.migrated()


def test_resume_waits_for_a_rehearsal_of_the_process_that_was_killed(rig: Callable[..., Rig]) -> None:
    one = rig()
    running.begin(one.plan, str(one.path), "")
    one.runs = {"a": ("run-a", "running")}

    def refused_while_running(job: Job) -> PairResult:
        in_use = job.pair[0] == "a" and one.runs["a"][1] == "running"
        return PairResult(job.pair, "not-ready" if in_use else "done", error="in use" if in_use else "")

    one.work_of = refused_while_running
    campaign = one.campaign(resumed(one))

    def sleep(seconds: float) -> None:
        one.now += timedelta(seconds=seconds)
        one.runs["a"] = ("run-a", "over")

    campaign.clock.sleep = sleep
    assert campaign.run() == Exit.DONE
    assert sorted(one.migrated()) == ["a", "b", "c", "d"]


def test_a_failing_command_before_a_wave_ends_the_campaign_before_its_pairs(rig: Callable[..., Rig]) -> None:
    one = rig()
    text = one.path.read_text().replace('name = "rest"', 'name = "rest"\nbefore = "echo no ticket && exit 3"')
    one.path.write_text(text)
    one.plan = plans.load(one.path, NOW)
    campaign = one.campaign()
    assert campaign.run() == Exit.ATTENTION
    assert one.migrated() == ["a"]
    assert "the command before wave rest ended with exit status 3: no ticket" in campaign.journal.state.why


def test_two_hundred_pairs_are_run_and_every_result_is_kept(rig: Callable[..., Rig]) -> None:
    one = rig()
    rows = ",".join(f'{{ from = "o{n}", to = "n{n}" }}' for n in range(200))
    one.path.write_text(f'name = "many"\nstop_after = 200\n[[waves]]\nname = "all"\njobs = 20\npairs = [{rows}]\n')
    one.plan = plans.load(one.path, NOW)
    campaign = one.campaign()
    assert campaign.run() == Exit.DONE
    assert len(campaign.journal.state.migrated) == 200
    assert len(CampaignJournal.reopened("many").state.migrated) == 200


MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tscm_migrate.campaign import plan, run
from tscm_migrate.campaign.journal import PairResult
from tscm_migrate.ui import campaign as ui

chosen = plan.load(Path(sys.argv[1]), datetime.now(UTC))
board = ui.CampaignBoard(chosen)

def work(job, watch=None):
    for n in range(200):
        watch(job.pair, {"event": "step_started", "step": f"step-{n}", "title": "x" * 200})
    return PairResult(job.pair, "done", f"run-{job.pair}", downtime=60.0, estimate=61.0, error="y" * 500)

one = run.Campaign(chosen, run.begin(chosen, sys.argv[1], ""), board.tell, board.watch, work=work)
assert one.run() == 0
board.close()
ui.write_page(chosen, one.journal.state, Path(sys.argv[1]).with_name("index.html"))
from tests.support.memory import peak_kib
print(len(one.journal.state.migrated), peak_kib() // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from Linux's /proc")
def test_two_hundred_pairs_stay_within_three_hundred_megabytes(tmp_path: Path) -> None:
    rows = ",".join(f'{{ from = "o{n}", to = "n{n}" }}' for n in range(200))
    file = tmp_path / "plan.toml"
    file.write_text(f'name = "many"\n[[waves]]\nname = "all"\njobs = 20\npairs = [{rows}]\n')
    env = {**os.environ, "TSCM_STATE": str(tmp_path / "state"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(file)], env=env, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    count, megabytes = map(int, done.stdout.split()[-2:])
    assert count == 200
    assert megabytes < 300


HOSTS = [f"{pair}-{role}" for pair in "abcd" for role in ("old", "new")]
BAD = {
    "name two hosts": ('to = "c-new"', 'to = "b-new"', "b-new is named twice"),
    "unknown option": ('offline = "isolate"', 'offlin = "isolate"', "did you mean 'offline'"),
    "bad value": ('offline = "isolate"', 'offline = "away"', "--offline"),
    "own option": ('offline = "isolate"', "yes = true", "unknown option"),
    "zone": ("Europe/Berlin", "Europe/Atlantis", "not a known time zone"),
    "key": ("jobs = 2", "job = 2", "did you mean 'jobs'"),
    "window": ("2026-11-28T23:00:00", "2026-11-28T21:00:00", "closes before it opens"),
    "wave": ('name = "rest"', 'name = "canary"', "two waves"),
    "toml": ("[[waves]]", "[[waves", "not valid TOML"),
    "number as a time": ("not_before = 22:00:00", "not_before = 22", "not a valid time"),
    "no time": ("not_before = 22:00:00", 'not_before = "soon"', "not a valid time"),
    "last year": ("2026-11-28T23:00:00", "9999-12-31T23:59:00-10:00", "not a valid date"),
    "window of a pair": ('offline = "isolate"', 'not-after = "23:00"', "not an option of a pair"),
    "question in a wave": ('offline = "isolate"', 'pause-before = "cutover"', "not an option of a pair"),
    "own rehearsal": ('offline = "isolate"', "rehearsal = false", "unknown option"),
}


@pytest.mark.parametrize(("old", "new", "words"), BAD.values(), ids=BAD.keys())
def test_a_mistake_in_a_plan_is_named(rig: Callable[..., Rig], old: str, new: str, words: str) -> None:
    one = rig()
    one.path.write_text(one.path.read_text().replace(old, new))
    with pytest.raises(PlanInvalid) as error:
        plans.load(one.path, NOW)
    assert words in error.value.message()
    assert error.value.remedy() or "TOML" in words


def test_plan_saved_by_a_windows_editor_is_read(rig: Callable[..., Rig]) -> None:
    one = rig()
    text = one.path.read_text().replace("not_before = 22:00:00", 'not_before = "22:00"').replace("\n", "\r\n")
    one.path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert plans.load(one.path, NOW) == one.plan
    one.path.write_bytes(text.encode("utf-16"))
    with pytest.raises(PlanInvalid, match="UTF-8"):
        plans.load(one.path, NOW)


def test_time_without_seconds_is_explained(rig: Callable[..., Rig]) -> None:
    one = rig()
    one.path.write_text(one.path.read_text().replace("22:00:00\nnot_after", "22:00\nnot_after"))
    with pytest.raises(PlanInvalid) as error:
        plans.load(one.path, NOW)
    assert "22:00:00" in error.value.remedy()


def test_two_names_of_one_appliance_are_refused(rig: Callable[..., Rig]) -> None:
    one = rig()
    known = {name: Host(name, "192.0.2.7" if name in {"a-new", "c-old"} else name) for name in HOSTS}
    with pytest.raises(PlanInvalid, match=r"a-new and c-old have the same address \(192\.0\.2\.7\)"):
        plans.refuse_same_address(one.plan, "plan.toml", known.__getitem__)
    plans.refuse_same_address(one.plan, "plan.toml", lambda name: Host(name, name))


def test_options_are_converted_to_command_line_arguments(rig: Callable[..., Rig]) -> None:
    pair = {pair.old: pair for _, pair in rig().plan.pairs()}["b-old"]
    assert pair.words == ("--allow=os-differs", "--offline=isolate", "--no-restore-ssh")


@pytest.mark.parametrize("left", [b"", b'{"t": "2026-11-26T18:00:00+00:00", "event": "beg'])
def test_campaign_can_begin_after_a_full_disk_has_cut_its_first_entry(left: bytes, rig: Callable[..., Rig]) -> None:
    one = rig()
    (CampaignJournal("branches").folder / "journal.jsonl").write_bytes(left)
    assert names() == []
    with pytest.raises(CampaignMissing):
        CampaignJournal.reopened("branches")
    assert one.campaign().run() == Exit.DONE
    assert CampaignJournal.reopened("branches").state.plan == str(one.path)


def test_incomplete_last_line_is_dropped_and_damage_elsewhere_is_an_error(tmp_path: Path) -> None:
    journal = CampaignJournal("one", root=tmp_path)
    journal.write("begun", name="one", plan="p", inventory="", windows={})
    journal.write("started", pair="a")
    file = journal.folder / "journal.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"t": "2026')
    assert CampaignJournal.reopened("one", root=tmp_path).state.started == ["a"]
    assert file.read_bytes() == whole
    file.write_bytes(b"x" + whole)
    with pytest.raises(JournalDamaged):
        CampaignJournal.reopened("one", root=tmp_path)


def test_an_unknown_campaign_is_refused_with_the_known_names(tmp_path: Path) -> None:
    CampaignJournal("branches", root=tmp_path).write("begun", name="branches", plan="", inventory="", windows={})
    assert names(root=tmp_path) == ["branches"]
    with pytest.raises(CampaignMissing) as error:
        CampaignJournal.reopened("branch", root=tmp_path)
    assert "branches" in error.value.message() + error.value.remedy()
    assert State().apply("from a later version", "", {}) is None


def finished(one: Rig) -> running.Campaign:
    campaign = one.campaign()
    campaign.run()
    return campaign


def test_the_page_shows_hostile_texts_as_text_and_every_pair(rig: Callable[..., Rig]) -> None:
    one = rig("any", a_migrate="failed")
    campaign = one.campaign()
    campaign.journal.result("migrated", PairResult("b-old → b-new", "failed", error="<script>alert(1)</script>\x1b[2J"))
    text = ui.page_text(one.plan, campaign.journal.state)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\x1b" not in text
    assert all(pair.name in text for _, pair in one.plan.pairs())


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_the_page_is_for_the_operator_only(rig: Callable[..., Rig], tmp_path: Path) -> None:
    one = rig()
    page = ui.write_page(one.plan, finished(one).journal.state, tmp_path / "index.html")
    assert page.stat().st_mode & 0o777 == 0o600


def test_text_of_an_appliance_cannot_imitate_a_line_of_the_campaign(rig: Callable[..., Rig]) -> None:
    made = rig()
    forged = "it broke\nended: all is well\x1b[2J\n    what to do: rm -rf /"
    result = PairResult(("a-old → a-new"), "failed", "run-a", error=forged, remedy=forged, left=(forged,))
    journal = CampaignJournal(made.plan.name)
    journal.result("migrated", result)
    text = f"{ui.status_text(made.plan, journal.state)}\n{running.describe(result)}"
    assert "it broke ended: all is well" in text
    assert not [line for line in text.splitlines() if line.strip().startswith(("ended:", "what to do: rm"))]
    assert "\\u001b" not in (journal.folder / "journal.jsonl").read_text()


def test_status_fits_into_eighty_columns(rig: Callable[..., Rig]) -> None:
    one = rig(9, b_migrate="failed")
    state = finished(one).journal.state
    name = "a-old → a-new"
    state.migrated[name] = replace(
        state.migrated[name], run="20240501-030000-1a2b", downtime=97.0, estimate=104.0, seconds=724.0
    )
    wide, narrow = ui.status_text(one.plan, state), ui.status_text(one.plan, state, 80)
    assert max(map(len, wide.splitlines())) > 80
    assert max(map(len, narrow.splitlines())) <= 80
    for part in (name, "20240501-030000-1a2b", "1 min 37 s", "1 min 44 s", "12 min 4 s", "canary", "it failed"):
        assert part in narrow
    assert "–" not in narrow, "what is not known is left out"
    assert ui.status_text(one.plan, state, 200) == wide


def test_failures_are_grouped_by_their_reason(rig: Callable[..., Rig]) -> None:
    one = rig(9, b_migrate="failed", c_migrate="failed")
    text = ui.status_text(one.plan, finished(one).journal.state)
    assert "b-old → b-new, c-old → c-new:\n    it failed" in text
    assert ui.as_dicts(one.plan, CampaignJournal.reopened("branches").state)["pairs"][0]["downtime"] == 60.0
