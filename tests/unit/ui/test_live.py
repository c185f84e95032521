"""The live view and its output as lines: it fits 80 columns, and text of a host cannot control the terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tscm_migrate.errors import Cancelled, Interrupted, UsageError
from tscm_migrate.events import (
    ActionStarted,
    Checked,
    CommandRun,
    DeviceStarted,
    DeviceUpdated,
    Estimated,
    Event,
    Message,
    Progress,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    Waiting,
)
from tscm_migrate.migration import finish
from tscm_migrate.ui import lines, operator
from tscm_migrate.ui.console import folded
from tscm_migrate.ui.live import LiveView
from tscm_migrate.ui.view_model import Board

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = [(f"step-{n}", f"Step number {n}") for n in range(12)]


def board() -> Board:
    return Board("migrate a → b", [*STEPS[:4], ("take-offline", "Off"), ("update-devices", "Devices")], 100.0)


def shown(b: Board, now: float, height: int = 40) -> list[str]:
    return [f"{row.left} {row.right}".strip() for row in b.rows(now, height)]


def test_wait_shows_elapsed_time_and_limit() -> None:
    b = board()
    b.take(StepStarted("step-0", "Hold"), 100.0)
    b.take(Waiting("draining: ts-update pid 4711", 42.0, 600.0, "a"), 142.0)
    text = "\n".join(shown(b, 142.0))
    assert "draining: ts-update pid 4711, since 42 s gives up in 9 min 18 s" in text
    assert "since 44 s" in "\n".join(shown(b, 144.0))  # the clock continues between two looks


def test_planned_wait_is_one_line_that_counts_down(view: tuple[LiveView, io.StringIO]) -> None:
    made, out = view
    for elapsed in range(0, 40, 10):
        made(Waiting("for the change window", float(elapsed), 83_000.0, planned=True))
    assert "\n" not in out.getvalue()
    assert "waiting for the change window, since 30 s, 23 h 2 min left" in out.getvalue()
    assert "gives up" not in out.getvalue()
    made(Message("it begins"))
    assert out.getvalue().endswith("\x1b[2Kit begins\n")


def test_planned_wait_of_a_day_is_a_few_lines_of_a_log() -> None:
    plain, day = lines.Plain(), 86_400
    events = (
        (float(at), Waiting("for the change window", float(at), float(day), planned=True)) for at in range(0, day, 10)
    )
    written = [text for at, event in events if (text := plain.text(event, at))]
    assert written[0] == "  waiting for the change window, since 0 s, 1 d left"
    assert 20 < len(written) < 100
    assert "since 23 h 59 min" in written[-1], "more often towards the end"


def test_end_of_a_rehearsal_is_named_so() -> None:
    plain = lines.Plain()
    ended = RunFinished("r", "rolled-back", 20.0)
    plain.text(RunStarted("r", "rehearse", "a", "b"), 0.0)
    assert plain.text(ended, 20.0).startswith("rehearsed after 20 s")
    ended = replace(ended, downtime_estimate=9.0, asked=4.0, held=("all changes were undone",), next=("migrate",))
    assert plain.text(ended, 20.0).splitlines() == [
        "rehearsed after 20 s (and 4 s for your answers)", "  estimated downtime: 9 s", "  all changes were undone",
        "Next:", "  1. migrate",
    ]  # fmt: skip
    ended = RunFinished("r", "rolled-back", 20.0)
    plain.text(RunStarted("r", "rollback", "a", "b"), 30.0)
    assert plain.text(ended, 50.0).startswith("rolled back after 20 s")


def test_a_transfer_has_a_share_a_rate_and_the_time_left() -> None:
    b = board()
    b.take(StepStarted("step-0", "Copy"), 100.0)
    for second in range(5):
        b.take(Progress("x.tsbak", second * 10_000_000, 100_000_000), 100.0 + second)
    row = next(row for row in b.rows(104.0, 40) if row.share is not None)
    assert row.share == pytest.approx(0.4)
    assert "10.0 MB/s, 6 s left" in row.left


def test_the_downtime_clock_runs_from_offline_to_the_last_device() -> None:
    b = board()
    b.take(StepStarted("take-offline", "Off"), 100.0)
    assert "downtime" not in "\n".join(shown(b, 101.0))
    b.take(ActionStarted("take-offline", "a", "power off"), 102.0)
    assert "downtime so far 0:58" in shown(b, 160.0)
    b.take(StepFinished("take-offline", "done", 1.0), 161.0)
    b.take(StepStarted("update-devices", "Devices"), 170.0)
    b.take(StepFinished("update-devices", "done", 1.0), 173.0)
    assert "downtime 1:11" in shown(b, 999.0)


def test_devices_are_rows_at_the_same_time() -> None:
    b = board()
    b.take(StepStarted("update-devices", "Devices"), 100.0)
    b.take(DeviceStarted("asa"), 100.0)
    b.take(DeviceStarted("isr"), 101.0)
    b.take(DeviceUpdated("asa", ok=False, seconds=3.0, detail="no login"), 103.0)
    text = shown(b, 105.0)
    assert "✗ asa  no login 3 s" in text
    assert "▸ isr 0:04" in text


@pytest.mark.parametrize("height", [6, 8, 10, 14, 30])
@pytest.mark.parametrize("at", [0, 5, 11])
def test_live_view_fits_the_height_and_keeps_the_current_step(height: int, at: int) -> None:
    b = Board("t", STEPS, 0.0)
    for key, title in STEPS[:at]:
        b.take(StepStarted(key, title), 1.0)
        b.take(StepFinished(key, "done", 1.0), 2.0)
    b.take(StepStarted(*STEPS[at]), 3.0)
    b.take(ActionStarted(STEPS[at][0], "h", "doing it"), 3.0)
    rows = b.rows(4.0, height)
    assert len(rows) <= height
    assert any(row.state == "running" and row.left == STEPS[at][1] for row in rows)


def test_many_devices_do_not_push_the_step_away() -> None:
    b = board()
    b.take(StepStarted("update-devices", "Devices"), 1.0)
    for n in range(50):
        b.take(DeviceStarted(f"d{n}"), 1.0)
    rows = b.rows(2.0, 20)
    assert len(rows) <= 20
    assert any(row.left == "Devices (0/50)" for row in rows)


@pytest.fixture
def view() -> Iterator[tuple[LiveView, io.StringIO]]:
    out = io.StringIO()
    made = LiveView(Console(file=out, force_terminal=True, width=80, height=24, highlight=False, legacy_windows=False))
    yield made, out
    made(RunFinished("r", "done", 1.0))


RUN: tuple[Event, ...] = (
    RunStarted("r", "migrate", "a", "b", steps=(("hold-updates", "Hold"),)),
    Checked("clock-off", "warning", "it is late", "set it"),
    StepStarted("hold-updates", "Hold \x1b]0;owned\x07them"),
    ActionStarted("hold-updates", "a", "\x1b[2Jwipe \u202eit"),
    Message("mind \x1b[31mthis"),
)


def test_text_of_a_host_cannot_control_the_terminal(view: tuple[LiveView, io.StringIO]) -> None:
    made, out = view
    for event in RUN:
        made(event)
    made(RunFinished("r", "done", 1.0, held=("a is OFFLINE",)))
    text = out.getvalue()
    for bad in ("\x1b]0;owned", "\x1b[2J", "\u202e", "\x1b[31mthis"):
        assert bad not in text
    assert "mind this" in text
    assert text.rstrip().endswith("a is OFFLINE")


def test_a_question_has_the_terminal_to_itself(view: tuple[LiveView, io.StringIO]) -> None:
    made, out = view
    for event in RUN:
        made(event)
    with operator.paused():
        before = out.tell()
        made(Waiting("draining", 1.0, 9.0))
        assert out.getvalue()[before:] == ""
    made(StepFinished("hold-updates", "done", 1.0))
    made(RunFinished("r", "done", 1.0))
    assert "Hold" in out.getvalue()[before:]


def test_dry_run_is_printed_as_lines(view: tuple[LiveView, io.StringIO]) -> None:
    made, out = view
    made(RunStarted("r", "dry run", "a", "b"))
    made(StepStarted("hold-updates", "Hold"))
    assert out.getvalue() == "dry run a → b (run r)\n· Hold\n"


def test_a_completed_migration_ends_with_its_figures_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    lines.Plain()(
        RunFinished(
            "r", "done", 372.0, downtime=97.0, report="/r.html", next=("adopt it", "keep a off"), asked=40.0,
            host="b", address="10.1.1.43", devices=(14, 14), checks=(8, 8), downtime_estimate=120.0,
        )
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "done: b serves at 10.1.1.43",
        "  devices updated  14 of 14",
        "  checks passed    8 of 8",
        "  downtime         1 min 37 s (estimated 2 min)",
        "  total            6 min 12 s (and 40 s for your answers)",
        "  report           /r.html",
        "Next:",
        "  1. adopt it",
        "  2. keep a off",
    ]


def test_an_estimate_that_was_a_range_is_compared_as_a_range(capsys: pytest.CaptureFixture[str]) -> None:
    event = RunFinished(
        "r", "done", 30.0, downtime=9.3, host="b", address="10.1.1.43", downtime_estimate=78.0, downtime_least=8.0,
        downtime_most=240.0,
    )  # fmt: skip
    lines.Plain()(event)
    assert "  downtime         9.3 s (estimated 8 s to 4 min)\n" in capsys.readouterr().out


def test_only_a_dry_run_prints_the_estimate_of_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("migrate", "dry run"):
        plain = lines.Plain()
        for event in (RunStarted("r", verb, "a", "b"), Estimated("backup", 9.0), Estimated("downtime", 90.0)):
            plain(event)
    assert capsys.readouterr().out.splitlines() == [
        "migrate a → b (run r)", "  estimated downtime: 1 min 30 s",
        "dry run a → b (run r)", "  about 9 s: backup", "  estimated downtime: 1 min 30 s",
    ]  # fmt: skip


def test_campaign_board_shows_step_devices_and_time_left() -> None:
    b = board()
    for step, seconds in (("step-0", 30.0), ("step-1", 20.0), ("update-devices", 40.0)):
        b.take(Estimated(step, seconds), 100.0)
    b.take(StepStarted("step-0", "Hold"), 100.0)
    assert "step 1 of 3, about 1 min 20 s left" in shown(b, 110.0)  # as in the plan: what is skipped has no estimate
    for step in ("step-2", "step-3", "take-offline"):
        b.take(Estimated(step, 0.0), 100.0)
    for key, title in [*STEPS[:4], ("take-offline", "Off")]:
        b.take(StepStarted(key, title), 120.0)
        b.take(StepFinished(key, "done", 1.0), 120.0)
    b.take(StepStarted("update-devices", "Devices"), 120.0)
    for name in ("asa", "isr"):
        b.take(DeviceStarted(name, 14), 120.0)
    b.take(DeviceUpdated("asa", ok=True, seconds=3.0), 123.0)
    assert "Devices (1/14) 0:05" in shown(b, 125.0)
    assert "step 6 of 6, about 35 s left" in shown(b, 125.0)


def test_the_last_screen_shows_the_comparison_with_the_old_appliance() -> None:
    b = Board("t", [("parity", "Compare")], 0.0)
    b.take(StepStarted("parity", "Compare"), 1.0)
    b.take(Checked("host keys", "ok", "those of tscm-old"), 2.0)
    b.take(StepFinished("parity", "done", 1.0), 2.0)
    assert "✓ host keys: those of tscm-old" not in shown(b, 3.0)
    b.take(RunFinished("r", "done", 3.0), 3.0)
    assert "✓ host keys: those of tscm-old" in shown(b, 3.0)


def test_a_wait_outside_of_the_steps_is_not_a_line_at_every_look(view: tuple[LiveView, io.StringIO]) -> None:
    made, out = view
    made(RunStarted("r", "forget", "a", "b"))
    for second in range(8):
        made(Waiting("for b to answer", float(second), 45.0))
    assert out.getvalue().count("waiting for b") == 1


def test_after_a_change_of_the_width_nothing_of_the_former_drawing_is_left() -> None:
    pyte = pytest.importorskip("pyte")  # not among what the tests need on Windows' Python
    screen = pyte.Screen(60, 24)
    stream = pyte.Stream(screen)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=24, highlight=False, legacy_windows=False)
    made = LiveView(console)
    for event in RUN:
        made(event)
    stream.feed(out.getvalue().replace("\n", "\r\n"))
    console.width = 100
    screen.resize(24, 100)
    for row in (3, 8, 15):  # as a terminal leaves it that folds its lines again
        screen.cursor_position(row, 1)
        screen.draw("STALE of the former drawing")
    before = out.tell()
    made(Waiting("draining", 1.0, 9.0))
    made(RunFinished("r", "done", 1.0))
    stream.feed(out.getvalue()[before:].replace("\n", "\r\n"))
    text = "\n".join(screen.display)
    assert "STALE" not in text
    assert text.count("migrate a → b  (run r)") == 1
    assert "mind this" in text, "what stood above the drawing is printed again"


def test_lines_have_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    plain = lines.Plain()
    for event in RUN:
        plain(event)
    assert "\x1b" not in capsys.readouterr().out


def test_quiet_prints_warnings_and_results_and_verbose_prints_all(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = [
        *RUN,
        CommandRun("a", "true", 0, 0.5),
        DeviceUpdated("d", ok=False, seconds=1.0),
        RunFinished("r", "attention", 2.0),
    ]
    for event in events:
        lines.Plain(quiet=True)(event)
    quiet = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in quiet] == ["[warning]", "what", "device", "attention"]
    for event in events:
        lines.Plain(verbose=True)(event)
    assert "a$ true [0, 0.5 s]" in capsys.readouterr().out


def test_a_wait_is_not_a_line_at_every_look(capsys: pytest.CaptureFixture[str]) -> None:
    plain = lines.Plain()
    for second in range(5):
        plain(Waiting("draining: pid 1", float(second), 60.0))
    plain(Waiting("draining: pid 2", 5.0, 60.0))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_advice_that_was_just_given_is_not_given_again(capsys: pytest.CaptureFixture[str]) -> None:
    plain = lines.Plain()
    for host in ("a", "b"):
        plain(Checked("login", "error", f"{host} refuses the login", "load the key", firm=True))
    assert capsys.readouterr().out.count("what to do: load the key") == 1


def test_text_of_the_current_step_is_wrapped_and_not_truncated() -> None:
    b = board()
    b.take(StepStarted("step-0", "Copy"), 100.0)
    b.take(ActionStarted("step-0", "tscm-new", f"run `{'/very-long' * 12}/tsadmin restore` and answer"), 100.0)
    b.take(Progress("threatstop_backup_2024-05-01_03_00_00.tsbak.gpg", 10_000_000, 100_000_000), 101.0)
    b.take(Progress("threatstop_backup_2024-05-01_03_00_00.tsbak.gpg", 20_000_000, 100_000_000), 102.0)
    details = [row for row in b.rows(102.0, 40, 80) if row.state == "detail"]
    assert all(len(row.left) + (17 if row.share is not None else 0) <= 74 for row in details)
    said = "".join(row.left.strip() for row in details).replace(" ", "")
    assert "/very-long" * 12 + "/tsadminrestore`andanswer" in said
    assert "20.0of100.0MB(20%),10.0MB/s,8sleft" in said


def test_a_folded_line_keeps_its_commands_in_one_piece() -> None:
    said = "  tscm-old is held, on purpose: should it ever come back, run: tscm-migrate rollback 20240501-030000-1a2b"
    parts = folded(said, 80, "  ")
    assert [len(part) <= 80 for part in parts] == [True, True]
    assert parts[1] == "    tscm-migrate rollback 20240501-030000-1a2b"
    path = f"  report: /{'x' * 90}/report.html"
    assert folded(path, 80) == ["  report:", f"  /{'x' * 90}/report.html"]


def test_number_is_not_separated_from_its_unit() -> None:
    for width in range(30, 60):
        for whole in (True, False):
            parts = folded("waiting until no host answers at 10.1.1.43, since 3 s, 2 min 57 s", width, keep_words=whole)
            assert not [part for part in parts if part[-1].isdigit()], (width, parts)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for event in RUN:
        lines.json_lines(event)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in told] == ["run_started", "checked", "step_started", "action_started", "said"]
    assert all(one["v"] == 1 and one["time"] for one in told)


def test_the_downtime_ends_when_a_rollback_has_returned_the_old_appliance() -> None:
    b = Board("rollback a → b", [("restore", "Restore"), ("take-offline", "Off")], 0.0, offline_since=-100.0)
    b.take(StepStarted("take-offline", "undo: Off"), 5.0)
    assert any(row.startswith("downtime so far") for row in shown(b, 6.0))
    b.take(StepFinished("take-offline", "reverted", 3.0), 8.0)
    assert "downtime 1:48" in shown(b, 60.0)


@pytest.mark.parametrize(
    ("raised", "outcome", "expected"),
    [
        (KeyboardInterrupt("SIGINT"), "interrupted", Interrupted),
        (Cancelled(), "cancelled", Cancelled),
        (UsageError("x"), "refused", UsageError),
    ],
)
def test_a_run_that_is_ended_at_its_first_question_prints_only_that_nothing_was_changed(
    raised: BaseException, outcome: str, expected: type[BaseException]
) -> None:
    told: list[Event] = []
    with pytest.raises(expected) as ended, finish.preparation("r", 0.0, told.append):
        raise raised
    assert [one.outcome for one in told if isinstance(one, RunFinished)] == [outcome]
    assert [lines.line_of(one) for one in told] == [""]
    if outcome != "refused":
        assert "othing was changed" in ended.value.message()  # type: ignore[attr-defined]


def test_a_resume_shows_what_was_skipped_before_as_skipped() -> None:
    b = Board("t", [("a", "Done"), ("b", "Skipped"), ("c", "Now")], 0.0, None, frozenset("ab"), frozenset("b"))
    b.take(StepStarted("c", "Now"), 1.0)
    assert [(row.left, row.state) for row in b.rows(2.0, 20)][2:4] == [("Done", "done"), ("Skipped", "skipped")]
    assert "step 2 of 2" in shown(b, 2.0)
