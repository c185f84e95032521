"""Journals that an earlier version wrote are read, shown and planned as if this version had written them.

The two files in tests/data/journals are of version 0.1.0 (commit d821769): a migration that went through, and one that
was interrupted in the rehearsal and undone. Only paths, run ids, the machine-id and MAC addresses were replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tscm_migrate import errors
from tscm_migrate.migration import estimate, final_state, history, journal, plan, rediscover, report, resume
from tscm_migrate.migration.steps import after
from tscm_migrate.options import MigrateOptions
from tscm_migrate.ui import run_report

if TYPE_CHECKING:
    from collections.abc import Iterator

STORED = Path(__file__).parents[2] / "data" / "journals"
COMPLETE, UNDONE = "20261001-120000-c0de", "20261001-130000-beef"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    for run, name in ((COMPLETE, "complete"), (UNDONE, "undone")):
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_bytes((STORED / f"{name}.jsonl").read_bytes())
    return tmp_path


def test_events_steps_and_codes_of_an_old_journal_are_known(state: Path) -> None:
    for run in (COMPLETE, UNDONE):
        record, entries = journal.read(run, state)
        raw = (state / "runs" / run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        assert [(e.n, e.event) for e in entries] == [(n, json.loads(line)["event"]) for n, line in enumerate(raw)]
        assert {e.data["step"] for e in entries if "step" in e.data} <= plan.known()
        assert set(record.undo) <= plan.known()
    codes = {e.data["code"] for e in journal.read(UNDONE, state)[1] if "code" in e.data}
    assert codes == {"KeyboardInterrupt"}


def test_error_codes_of_the_earlier_version_still_exist() -> None:
    def kinds(kind: type[errors.MigrateError]) -> Iterator[type[errors.MigrateError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from kinds(each)

    then = (STORED / "error-codes.txt").read_text(encoding="ascii").split()
    assert len(then) == 80  # all but one that was never raised
    assert set(then) <= {kind.code for kind in kinds(errors.MigrateError)}


def test_options_and_facts_of_an_old_journal_are_read(state: Path) -> None:
    record, _ = journal.read(COMPLETE, state)
    options = MigrateOptions.parse(record.options)
    assert (options.from_, options.to, options.offline) == ("tscm-old", "tscm-new", "poweroff")
    facts = resume._facts(record)
    assert facts["old"].devices == ("branch-isr", "dc-panos", "dns-nios", "edge-asa")
    assert facts["old"].archives[0].name.startswith("threatstop_backup_")
    assert {kind for kind, _ in facts["new"].host_keys} == {"ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa"}


def test_state_of_an_old_journal_is_unchanged(state: Path) -> None:
    record, _ = journal.read(COMPLETE, state)
    assert history.state_of(record) == "done"
    assert record.done == [step.id for step in plan.steps() if step.id != "prepare-network"], (
        "that step was added later"
    )
    assert final_state.has_rollback_data(record), "a rollback has the settings of the new appliance"
    assert {key for key, result in record.notes["devices"].items() if result["ok"]} == set(facts_of(state))
    record, _ = journal.read(UNDONE, state)
    assert history.state_of(record) == "undone"
    assert (record.started, record.locked) == ([], [])
    assert record.reverted[-1] == "update-packages"


def facts_of(state: Path) -> tuple[str, ...]:
    return resume._facts(journal.read(COMPLETE, state)[0])["old"].devices or ()


@pytest.mark.parametrize("run", [COMPLETE, UNDONE])
def test_old_journal_is_shown_and_reported(state: Path, run: str) -> None:
    lines, damage = history.lines(run)
    assert damage is None
    assert any("tscm-old → tscm-new" in line for line in lines)
    assert any("rehearse-restore" in line for line in lines)
    assert history.as_dict(run)["run"] == run
    page = run_report.render(report.read(run))
    assert "tscm-old" in page
    if run == COMPLETE:
        assert "branch-isr" in page


def test_estimate_is_computed_from_an_old_journal(state: Path) -> None:
    took = estimate.earlier()
    assert took["restore"] > 0
    assert took["come-back"] > 0


def test_identity_of_both_appliances_is_in_an_old_journal(state: Path) -> None:
    record, _ = journal.read(COMPLETE, state)
    facts = resume._facts(record)
    old = {key for _, key in facts["old"].host_keys}
    known = rediscover.KnownTraits(
        facts["old"], facts["new"], COMPLETE, frozenset(old), frozenset(record.notes["new_keys"]), restoring=True
    )
    assert rediscover.who_is(rediscover.HostTraits(record.notes["new_keys"][0]), known) == "new"
    assert rediscover.who_is(rediscover.HostTraits(next(iter(old)), boot=facts["old"].boot), known) == "old"
    assert after.Confirm.id in record.undo
