"""Run a campaign: rehearse every pair first, then migrate wave after wave.

No pair starts outside its wave's window, after the stop rule has ended the campaign, without a good rehearsal, or while
another process works on it. After a kill, `resume` continues from the journal: a pair's own run is resumed by its
journal, and is never started a second time.
"""

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tscm_migrate.campaign import pairs
from tscm_migrate.campaign.journal import CampaignJournal, PairResult, State
from tscm_migrate.campaign.pairs import Job
from tscm_migrate.campaign.plan import CampaignPlan, Pair, Wave
from tscm_migrate.errors import ClusterLost, Exit
from tscm_migrate.events import COMPLETED, state_text
from tscm_migrate.fleet.pool import run as run_pool
from tscm_migrate.migration.window import Clock, Window
from tscm_migrate.util import operator_command, redact
from tscm_migrate.util.text import duration_text

_LOOK = 5.0  # seconds between two looks at a run that another process is working on
_BETWEEN_LINES = timedelta(hours=1)  # while it waits for a window
_HOOK_TIMEOUT = 900.0
_REHEARSAL_JOBS = 4
_RESUME_THERE = (
    "on the machine of that worker, find the run and continue it: tscm-migrate run list, then tscm-migrate resume RUN"
)


@dataclass
class Campaign:
    """One run of a plan.

    Args:
        plan: checked.
        journal: new, or reopened.
        tell: gets lines for the operator.
        watch: gets every event of every pair.
        executor: None runs the pairs from threads of this process.
        work: runs a job; replaceable, for a campaign that is simulated.
        teach: called for a pair whose rehearsal asked an unknown question, where a person is at the terminal; returns
            whether the pair was taught.
    """

    plan: CampaignPlan
    journal: CampaignJournal
    tell: Callable[[str], None]
    watch: Callable[[str, Mapping[str, Any]], None] | None = None
    executor: Executor | None = None
    work: Callable[..., PairResult] = pairs.work
    teach: Callable[[Pair], bool] | None = None
    clock: Clock = field(default_factory=Clock)
    last_run: Callable[[str, str], tuple[str, str]] = pairs.last_run
    _elsewhere: set[str] = field(default_factory=set)  # pairs that a worker has begun whose journal is not here

    def run(self, *, rehearse: bool = True) -> Exit:
        """Rehearse, then run the waves; return the campaign's exit code.

        DONE: every pair is migrated. ATTENTION: some are, or manual work is left. REFUSED: none was started.
        FAILED: none of the started ones is migrated. INTERRUPTED: Ctrl-C.
        """
        try:
            if rehearse:
                self._rehearse()
            why = self._waves()
        except ClusterLost as error:
            why = error.message()
            self.tell(f"{why}; {error.remedy()}: tscm-migrate campaign resume {self.plan.name}")
        except KeyboardInterrupt:
            pairs.stopping.set()
            self.journal.write("ended", why="interrupted")
            self.tell(f"interrupted; continue: tscm-migrate campaign resume {self.plan.name}")
            return Exit.INTERRUPTED
        self.journal.write("ended", why=why)
        return self.exit_code()

    def exit_code(self) -> Exit:
        """Return the exit code that the results so far give."""
        state = self.journal.state
        everything = [state.migrated.get(pair.name) for _, pair in self.plan.pairs()]
        if all(one is not None and one.state == "done" for one in everything):
            return Exit.DONE
        if any(one is not None and one.good for one in everything):
            return Exit.ATTENTION
        return Exit.FAILED if state.started else Exit.REFUSED

    # ------------------------------------------------------------------ rehearsals

    def _rehearse(self) -> None:
        """Rehearse every pair that has no good rehearsal and is not migrated."""
        open_pairs = self._to_rehearse()
        if not open_pairs:
            return
        self.tell(f"rehearsing; every old appliance stays in service (pairs: {len(open_pairs)})")
        jobs = [self._job(pair, "rehearse") for pair in open_pairs]
        for result in self._all(jobs, _REHEARSAL_JOBS):
            self.journal.result("rehearsed", result)
        for pair in self._not_ready(open_pairs):
            if self.teach is not None and self.teach(pair):
                self.journal.result("rehearsed", replace(self._one(self._job(pair, "rehearse")), pair=pair.name))
        for pair in self._not_ready(open_pairs):
            self.tell(f"{pair.name} will not be started: {self.journal.state.rehearsed[pair.name].error}")

    def _to_rehearse(self) -> list[Pair]:
        """Return the pairs to rehearse; on a resume first wait for rehearsals that a killed process has left."""
        done = self.journal.state
        chosen = [
            pair for _, pair in self.plan.pairs()
            if pair.name not in done.started and not _good(done.rehearsed.get(pair.name))
        ]  # fmt: skip
        for pair in chosen if done.resumed else ():
            self._settled(pair)
        return chosen

    def _not_ready(self, pairs: list[Pair]) -> list[Pair]:
        """Return the pairs whose rehearsal has failed."""
        return [pair for pair in pairs if not self.journal.state.rehearsed[pair.name].good]

    # ------------------------------------------------------------------ waves

    def _waves(self) -> str:
        """Continue what was begun before, then run the waves in order; return why the campaign ended early, or ""."""
        stuck = self._continue()
        for wave in self.plan.waves:
            waiting = [pair for pair in wave.pairs if self._is_open(pair) and pair.name not in stuck]
            waiting = [pair for pair in waiting if self._is_ready(pair)]
            if not waiting:
                continue
            if why := self._stopped():
                return why
            if why := self._wait_for(wave):
                return why
            if why := self._wave(wave, waiting):
                return why
        return self._stopped()

    def _continue(self) -> set[str]:
        """Resume every run that an earlier part of the campaign has left unfinished; return the pairs that stay so.

        Their windows and the stop rule do not hold them up: an old appliance may be offline. A pair whose run is over
        without success, and everything undone, is left for its wave.
        """
        jobs = self._unfinished()
        at_once = max(wave.jobs for wave in self.plan.waves)
        for result in self._all(jobs, at_once):
            self._record(result)
        results = self.journal.state.migrated
        return {job.pair for job in jobs if not results[job.pair].good and results[job.pair].state != "failed"}

    def _unfinished(self) -> list[Job]:
        """Return a job for each run that was begun and can be resumed; record those that have ended well meanwhile."""
        begun = [
            pair for _, pair in self.plan.pairs() if pair.name in self.journal.state.started and self._is_open(pair)
        ]
        jobs = []
        for pair in begun:
            run, state = self._settled(pair)
            if not run and pair.name in self.journal.state.on_cluster:
                self._elsewhere.add(pair.name)
                self.tell(f"{pair.name}: a worker began it, and this machine has no journal of it; {_RESUME_THERE}")
            if state in COMPLETED:
                self._record(PairResult(pair.name, state, run))
            elif state in {"unfinished", "running"}:
                jobs.append(replace(self._job(pair, "resume"), run=run, words=()))
        return jobs

    def _wave(self, wave: Wave, waiting: list[Pair]) -> str:
        """Run one wave's pairs, `jobs` at once, and its hooks; return why the campaign ends here, or ""."""
        self.journal.write("wave", wave=wave.name)
        self.tell(f"wave {wave.name}: {wave.jobs} at once (pairs: {len(waiting)})")
        if problem := self._hook(wave, "before", wave.before):
            return problem
        jobs = [self._job(pair, "migrate") for pair in waiting]
        for result in self._all(jobs, wave.jobs, admit=lambda job: self._admit(wave, job)):
            self._record(result)
        return self._hook(wave, "after", wave.after) or self._stopped()

    def _wait_for(self, wave: Wave) -> str:
        """Wait until the wave's window opens; return why it cannot begin, or ""."""
        window, next_line = self._window(wave), timedelta.max
        while window.opens is not None and (left := window.opens - self.clock.now()) > timedelta(0):
            if left <= next_line:
                self.tell(f"wave {wave.name}: waiting {duration_text(left)} for {window.text(self.plan.zone)}")
                next_line = left - _BETWEEN_LINES
            self.clock.sleep(min(left.total_seconds(), 60.0))
        if window.closes is not None and self.clock.now() >= window.closes:
            return f"the window of wave {wave.name} is over: {window.text(self.plan.zone)}"
        return ""

    def _window(self, wave: Wave) -> Window:
        """Return the window as the journal has it, so that a time of day keeps its meaning after a resume."""
        limits = self.journal.state.windows.get(wave.name, wave.limits)
        opens, closes = (datetime.fromisoformat(at) if at else None for at in limits)
        return Window(opens, closes)

    def _admit(self, wave: Wave, job: Job) -> bool:
        """Decide right before a pair starts whether it may, and write its start to the journal."""
        if self._stopped():
            return False
        closes = self._window(wave).closes
        rehearsed = self.journal.state.rehearsed.get(job.pair)
        needs = timedelta(seconds=(rehearsed.estimate if rehearsed else None) or 0.0)
        if closes is not None and self.clock.now() + needs >= closes:
            ends = f"{closes.astimezone(self.plan.zone):%H:%M} {self.plan.zone}"
            self.tell(f"{job.pair} is not started: it needs {duration_text(needs)}, and the window closes at {ends}")
            return False
        self.journal.write("started", pair=job.pair, cluster=self.executor is not None)
        return True

    def _record(self, result: PairResult) -> None:
        if result.pair in self._elsewhere and not (result.good or result.run):
            error = f"{result.error}; a worker began this pair, and this machine has no journal of it"
            result = replace(result, error=error, remedy=_RESUME_THERE)
        self.journal.result("migrated", result)
        self.tell(describe(result))

    def _hook(self, wave: Wave, when: str, command: str) -> str:
        if not command:
            return ""
        facts = {"TSCM_CAMPAIGN": self.plan.name, "TSCM_WAVE": wave.name, "TSCM_WHEN": when}
        ended = operator_command.run(command, facts, _HOOK_TIMEOUT)
        if ended.status == 0:
            return ""
        how = ended.cut_short(_HOOK_TIMEOUT) or f"ended with exit status {ended.status}: {ended.ending[-300:]}"
        return f"the command {when} wave {wave.name} {how}"

    # ------------------------------------------------------------------ pairs

    def _is_open(self, pair: Pair) -> bool:
        result = self.journal.state.migrated.get(pair.name)
        return result is None or not result.good

    def _is_ready(self, pair: Pair) -> bool:
        """Check that the pair's rehearsal was good; without any rehearsal (--no-rehearsal) every pair is ready."""
        rehearsed = self.journal.state.rehearsed
        return not rehearsed or _good(rehearsed.get(pair.name))

    def _stopped(self) -> str:
        """Return why the stop rule ends the campaign, or ""; failures from before the last resume do not count."""
        state = self.journal.state
        failed = [one.pair for one in state.migrated.values() if not one.good and one.pair not in state.failed_before]
        if len(failed) < self.plan.stop_after:
            return ""
        return f"stopped after {len(failed)} failed: {', '.join(failed)}"

    def _settled(self, pair: Pair) -> tuple[str, str]:
        """Return the pair's newest run, after any process that works on it has ended."""
        deadline = time.monotonic() + self.plan.pair_timeout
        run, state = self.last_run(pair.old, pair.new)
        if state == "running":
            self.tell(f"{pair.name}: run {run} is still at work in another process; waiting for it")
        while state == "running" and time.monotonic() < deadline:
            self.clock.sleep(_LOOK)
            run, state = self.last_run(pair.old, pair.new)
        return run, state

    def _job(self, pair: Pair, verb: Any) -> Job:
        inventory, timeout = self.journal.state.inventory, self.plan.pair_timeout
        return Job(pair.name, pair.old, pair.new, verb, pair.words, inventory=inventory, timeout=timeout)

    def _one(self, job: Job) -> PairResult:
        return next(iter(self._all([job], 1)))

    def _all(
        self, jobs: list[Job], at_once: int, admit: Callable[[Job], bool] = lambda _job: True
    ) -> Iterable[PairResult]:
        work = self.work if self.executor is not None or self.watch is None else partial(self.work, watch=self.watch)
        stop = pairs.stopping.set
        for outcome in run_pool(jobs, work, jobs=at_once, executor=self.executor, admit=admit, on_stop=stop):
            if outcome.value is not None:
                yield outcome.value
            else:  # a worker that died: the run may be unfinished, and only a resume may touch it
                yield PairResult(outcome.item.pair, "unfinished", outcome.item.run, error=str(outcome.error)[:1000])


def begin(plan: CampaignPlan, plan_path: str, inventory: str) -> CampaignJournal:
    """Create the journal of a new campaign, with its windows as absolute times.

    Raises:
        StateUnwritable: see there.
    """
    windows = {wave.name: wave.limits for wave in plan.waves}
    made = CampaignJournal(plan.name)
    made.write("begun", name=plan.name, plan=plan_path, inventory=inventory, windows=windows, times=_times(plan))
    return made


def other_windows(plan: CampaignPlan, state: State, now: datetime) -> list[Wave]:
    """Return the waves for which a resume takes the window of the plan as it is now.

    These are the waves whose window is over (a time of day then means its next occurrence) or was changed in the plan
    since, and the waves that the plan did not have. All others keep the window of the journal.
    """
    found = []
    for wave in plan.waves:
        closes = state.windows.get(wave.name, ["", ""])[1]
        over = bool(closes) and datetime.fromisoformat(closes) <= now
        changed = state.times.get(wave.name, list(wave.times)) != list(wave.times)
        if over or changed or wave.name not in state.windows:
            found.append(wave)
    return found


def begin_again(plan: CampaignPlan, journal: CampaignJournal, waves: Iterable[Wave]) -> None:
    """Write to the journal that the campaign is resumed, with the windows of these waves.

    Raises:
        StateUnwritable: see there.
    """
    journal.write("resumed", windows={wave.name: wave.limits for wave in waves}, times=_times(plan))


def _times(plan: CampaignPlan) -> dict[str, list[str]]:
    return {wave.name: list(wave.times) for wave in plan.waves}


def describe(result: PairResult) -> str:
    """Return one line about a pair's result."""
    parts = [f"{result.pair}: {state_text(result.state)}"]
    if result.downtime is not None:
        expected = f", estimated {duration_text(result.estimate)}" if result.estimate is not None else ""
        parts.append(f"downtime {duration_text(result.downtime)}{expected}")
    if result.error:
        parts.append(redact.one_line(result.error))
    if result.run and not result.good:
        there = f" (on {result.machine})" if result.machine not in {"", socket.gethostname()} else ""
        parts.append(f"see: tscm-migrate run show {result.run}{there}")
    return "; ".join(parts)


def _good(result: PairResult | None) -> bool:
    return result is not None and result.good
