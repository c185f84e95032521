"""`campaign plan|run|status|resume|report`: many migrations, in waves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from tscm_migrate.errors import Exit, UsageError
from tscm_migrate.tasks.base import attended, command, confirm, site_of
from tscm_migrate.tasks.several import check_pairs, number_of
from tscm_migrate.ui.console import as_it_is, as_json, columns, say

if TYPE_CHECKING:
    from tscm_migrate.campaign.journal import CampaignJournal
    from tscm_migrate.campaign.plan import CampaignPlan, Pair

_PLAN = "The plan, a TOML file; docs/how-to/campaign.md has an example."
_NAME = "Name of the campaign, as in its plan."
_RUN = {
    "json": "Print every pair's events as JSON, one object on each line.",
    "cluster": "Run the pairs on the workers of [offsite.cluster].",
    "no_rehearsal": "Do not rehearse the pairs first; a pair with an unknown question is then refused in its wave.",
}


def collection() -> Collection:
    """Return the tasks about campaigns."""
    return Collection("campaign", plan, run, status, resume, report)


@command(
    positional=["file"],
    help={
        "file": _PLAN,
        "checks_only": "Run the checks of every pair, as `plan --checks-only` does for one.",
        "jobs": ("N", "With --checks-only: number of pairs at once (default: 4)."),
        "json": "With --checks-only: print JSON, one object for each pair.",
    },
)
def plan(
    _context: Any,
    file: str,
    checks_only: bool = False,
    jobs: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Check a plan and show its waves, windows and pairs; connects to no appliance, unless --checks-only is given.

    Exit codes: 0, no problem; 2, the plan or the inventory is not valid; 3, a check of a pair failed.

    Examples:
        tscm-migrate campaign plan branches.toml
        tscm-migrate campaign plan branches.toml --checks-only --jobs 16
    """
    from tscm_migrate.ui.campaign import plan_text

    chosen = _load(file, inventory)
    if not checks_only:
        as_it_is(plan_text(chosen))
        return Exit.DONE
    pairs = [pair.options for _, pair in chosen.pairs() if pair.options is not None]
    return check_pairs(site_of(inventory), pairs, jobs=number_of(jobs), json=json)


@command(positional=["file"], help={"file": _PLAN, **_RUN})
def run(
    _context: Any,
    file: str,
    yes: bool = False,
    json: bool = False,
    cluster: bool = False,
    no_rehearsal: bool = False,
    inventory: str | None = None,
) -> int:
    """Run a campaign: rehearse every pair, then migrate wave after wave, each in its window.

    Examples:
        tscm-migrate campaign run branches.toml
        tscm-migrate campaign run branches.toml --yes --json
    """
    from tscm_migrate.campaign import journal
    from tscm_migrate.campaign import run as campaigns
    from tscm_migrate.ui.campaign import plan_text

    chosen = _load(file, inventory)
    with journal.locked(chosen.name):
        if chosen.name in journal.names():
            fix = f"continue it: tscm-migrate campaign resume {chosen.name}; or give the plan another name"
            raise UsageError(f"a campaign {chosen.name!r} was started before", fix)
        if not json:
            say(plan_text(chosen))
        confirm(f"Start the campaign {chosen.name}?", yes=yes)
        made = campaigns.begin(chosen, str(Path(file).absolute()), str(Path(inventory).absolute()) if inventory else "")
        return _carry_out(chosen, made, yes=yes, json=json, cluster=cluster, rehearse=not no_rehearsal)


@command(positional=["name"], help={"name": _NAME, **_RUN})
def resume(
    _context: Any, name: str, yes: bool = False, json: bool = False, cluster: bool = False, no_rehearsal: bool = False
) -> int:
    """Continue a campaign that was stopped or killed: resume its unfinished pairs, then migrate the others.

    Examples:
        tscm-migrate campaign resume branches
    """
    from tscm_migrate.campaign import journal
    from tscm_migrate.campaign import run as campaigns
    from tscm_migrate.ui.campaign import status_text

    _reopened(name)  # an unknown name is an error
    with journal.locked(name):
        chosen, opened = _reopened(name)
        waves = campaigns.other_windows(chosen, opened.state, datetime.now(UTC))
        if not json:
            say(status_text(chosen, opened.state, columns()))
            say("\n".join(f"window of wave {wave.name} is now: {wave.window.text(chosen.zone)}" for wave in waves))
        confirm(f"Continue the campaign {name}?", yes=yes)
        campaigns.begin_again(chosen, opened, waves)
        return _carry_out(chosen, opened, yes=yes, json=json, cluster=cluster, rehearse=not no_rehearsal)


@command(positional=["name"], help={"name": _NAME})
def status(_context: Any, name: str, json: bool = False) -> int:
    """Show every pair of a campaign: state, estimated and actual downtime.

    Exit codes: 0, every pair is migrated; 4, at least one is not.

    Examples:
        tscm-migrate campaign status branches
    """
    from tscm_migrate.ui.campaign import as_dicts, status_text

    chosen, opened = _reopened(name)
    if json:
        as_json(as_dicts(chosen, opened.state))
    else:
        say(status_text(chosen, opened.state, columns()))
    done = [opened.state.migrated.get(pair.name) for _, pair in chosen.pairs()]
    return Exit.DONE if all(one is not None and one.good for one in done) else Exit.ATTENTION


@command(
    positional=["name"],
    help={"name": _NAME, "to": ("FILE", "Write the page to this file (default: beside the journal).")},
)
def report(_context: Any, name: str, to: str | None = None) -> None:
    """Write the campaign's index page: every pair with its estimate, its downtime and a link to its report.

    Examples:
        tscm-migrate campaign report branches
    """
    from tscm_migrate.ui.campaign import write_page

    chosen, opened = _reopened(name)
    say(str(write_page(chosen, opened.state, Path(to) if to else opened.folder / "index.html")))


def _load(file: str, inventory: str | None) -> CampaignPlan:
    from tscm_migrate.campaign import plan as plans

    chosen = plans.load(Path(file), datetime.now(UTC))
    plans.refuse_same_address(chosen, file, site_of(inventory).host)  # also an unknown name is an error here
    return chosen


def _reopened(name: str) -> tuple[CampaignPlan, CampaignJournal]:
    """Return the plan and the journal of a campaign that was started before."""
    from tscm_migrate.campaign.journal import CampaignJournal

    opened = CampaignJournal.reopened(name)
    return _load(opened.state.plan, opened.state.inventory or None), opened


def _carry_out(
    chosen: CampaignPlan, journal: CampaignJournal, *, yes: bool, json: bool, cluster: bool, rehearse: bool
) -> int:
    from tscm_migrate.campaign.run import Campaign
    from tscm_migrate.ui.campaign import CampaignBoard, write_page

    asking = not yes and attended()
    board = CampaignBoard(chosen, as_json=json)
    with ExitStack() as stack:
        executor = stack.enter_context(_cluster(journal.state.inventory)) if cluster else None
        one = Campaign(
            chosen, journal, board.tell, board.watch, executor=executor, teach=_teacher(journal) if asking else None
        )
        stack.callback(board.close)
        status = one.run(rehearse=rehearse)
    page = write_page(chosen, journal.state, journal.folder / "index.html")
    if not json:
        say(f"{journal.state.why}\n" * bool(journal.state.why) + f"report: {page}")
        if status not in {Exit.DONE, Exit.INTERRUPTED}:
            say(f"continue: tscm-migrate campaign resume {chosen.name}")
    return int(status)


def _teacher(journal: CampaignJournal) -> Callable[[Pair], bool]:
    """Return what runs `prompts learn` at this terminal for a pair whose rehearsal was refused."""

    def teach(pair: Pair) -> bool:
        words = [sys.executable, "-m", "tscm_migrate", "prompts", "learn", pair.new, "--from", pair.old]
        if journal.state.inventory:
            words += ["--inventory", journal.state.inventory]
        return subprocess.run(words, check=False).returncode == 0

    return teach


def _cluster(inventory: str) -> Any:
    from tscm_migrate.fleet.pool import Cluster, cluster

    described = site_of(inventory).extras.get("offsite", {}).get("cluster")
    if described is None:
        raise UsageError("there is no [offsite.cluster] in the inventory", "docs/how-to/fleet.md has an example")
    return cluster(Cluster.model_validate(described))
