"""The live table of a campaign on a terminal."""

from __future__ import annotations

import io
import sys
from datetime import UTC
from typing import TYPE_CHECKING

import rich
from rich.console import Console

from tscm_migrate.campaign.plan import CampaignPlan, Pair, Wave
from tscm_migrate.migration.window import Window
from tscm_migrate.ui.campaign import CampaignBoard

if TYPE_CHECKING:
    import pytest

CLEAR = "\x1b[2J"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_width_change_clears_the_screen_and_keeps_all_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=True, width=100, height=25))
    pair = Pair("tscm-old", "tscm-new")
    plan = CampaignPlan("one", UTC, 1, 60.0, (Wave("canary", (pair,), 1, Window(None, None)),))
    board = CampaignBoard(plan)
    board.tell("rehearsing")
    board.watch(pair.name, {"event": "step_started", "title": "Back up"})
    assert CLEAR not in screen.getvalue()
    rich.get_console().width = 60
    board.watch(pair.name, {"event": "step_started", "title": "Copy"})
    board.close()
    above, _, now = screen.getvalue().partition(CLEAR)
    assert "Back up" in above
    assert now.count("rehearsing") == 1
    assert "Copy" in now
