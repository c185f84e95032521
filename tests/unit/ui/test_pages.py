"""Pages in a real browser: search, filters, sorting, copy buttons and ages; all is readable without the script, too."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support import browser
from tests.unit.campaign.test_campaign import NOW, PLAN
from tests.unit.ui.test_report import RUN, a_run
from tscm_migrate.campaign import plan as plans
from tscm_migrate.campaign.journal import PairResult, State
from tscm_migrate.migration import report
from tscm_migrate.offsite.catalog import Copy
from tscm_migrate.offsite.freshness import HostStatus
from tscm_migrate.offsite.manifest import Manifest
from tscm_migrate.ui import campaign, offsite_views, run_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser import Tab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.missing(), reason="Debian's chromium is not installed"),
]
DEVICES = 40  # in the report; more than one printed page has


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser.running(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a run with many devices, one of which could not be updated, and commands, one of which failed."""
    root = tmp_path_factory.mktemp("state")
    journal = a_run(root)
    devices = {
        f"edge-{number:02}": {"ok": number != 7, "seconds": 1.0, "detail": f"[INFO ] : {number}", "at": 100.0 - number}
        for number in range(DEVICES)
    }
    journal.write("noted", key="offline_began", value=10.0)
    journal.write("noted", key="online_at", value=200.0)
    journal.write("noted", key="devices", value=devices)
    journal.write("run-ended", outcome="attention", standing=[], next=[f"run it: tscm-migrate run discard {RUN}"])
    commands = [
        {"t": "2024-05-01T03:00:00.000Z", "event": "command_run", "host": "tscm-old", "display": f"true {number}",
         "status": int(number == 3), "seconds": 0.1}
        for number in range(60)
    ]  # fmt: skip
    made = root / "report.html"
    record, entries = report.journal.read(RUN, root)
    made.write_text(run_report.render(report.build(record, entries, commands=commands)), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def freshness_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of sixty hosts: one late, one without a copy, and one that is late an hour from now."""
    now = datetime.now(UTC).replace(microsecond=0)
    statuses = [_status("tscm-late", now, hours=50), _status("tscm-never", now, hours=None)]
    statuses += [
        _status("tscm-soon", now, hours=35),
        *(_status(f"tscm-{n:02}", now, hours=1 + n / 4) for n in range(57)),
    ]
    made = tmp_path_factory.mktemp("freshness") / "page.html"
    made.write_text(offsite_views.page_text(statuses, "s3://backups", now), encoding="utf-8")
    return made


def _status(host: str, now: datetime, *, hours: float | None) -> HostStatus:
    rpo = timedelta(hours=36)
    if hours is None:
        return HostStatus(host, "never", rpo)
    taken = now - timedelta(hours=hours)
    made = Manifest(
        id="x", host=host, archive="a.tsbak", data="d", size=1000, sha256="0" * 64, source_size=1000, taken_at=taken,
        source_sha256="0" * 64, encrypted="passphrase", pulled_at=taken, verified_at=taken,
    )  # fmt: skip
    state = "fresh" if now - taken <= rpo else "late"
    return HostStatus(host, state, rpo, now - taken, Copy(made), 1, 1, 1000, history=((taken, 1000),))


@pytest.fixture(scope="module")
def campaign_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    file = folder / "branches.toml"
    file.write_text(PLAN.format(stop=1), encoding="utf-8")
    plan, state = plans.load(file, NOW), State()
    for name, seconds in (("a", 90.0), ("b", 30.0), ("c", 600.0)):
        result = PairResult(f"{name}-old → {name}-new", "failed" if name == "b" else "done", RUN, seconds=seconds)
        state.migrated[result.pair] = result
    made = folder / "index.html"
    made.write_text(campaign.page_text(plan, state), encoding="utf-8")
    return made


def test_search_shows_steps_checks_devices_and_commands_that_fit(tab: Tab, report_page: Path) -> None:
    tab.open(report_page)
    everything = tab.texts("main")[0]
    tab.type("#search", "edge-07")
    assert tab.texts("table.rows tbody td:first-child") == ["edge-07"]
    assert tab.text("#count").startswith("1 of ")
    assert not tab.texts("#preflight h2"), "a section without a row that fits is hidden"
    tab.type("#search", "TRUE 59")
    assert tab.texts("#commands tbody code") == ["true 59"], "folded rows that fit are unfolded"
    tab.type("#search", "os-differs")
    assert tab.texts("table.rows tbody td:first-child") == ["os-differs"]
    tab.type("#search", "act asa")
    assert [text[:2] for text in tab.texts("#steps tbody td:first-child")] == ["1.", "2."]
    assert tab.texts("#steps details div")[0] == "tscm-old: act asa-edge", "the action that fits is unfolded"
    tab.type("#search", "")
    assert tab.texts("main")[0] == everything, "an empty search shows what was there before"


def test_problems_only_shows_what_needs_attention_even_where_it_was_folded(tab: Tab, report_page: Path) -> None:
    tab.open(report_page)
    tab.click("#problems")
    assert tab.texts("#devices tbody td:first-child") == ["edge-07"]
    assert tab.texts("#commands tbody code") == ["true 3"]
    assert not tab.texts("#steps h2")
    tab.click("#problems")
    assert len(tab.texts("#devices tbody tr")) == DEVICES
    assert not tab.texts("#commands tbody code")


def test_devices_are_sorted_by_a_click_and_by_the_keyboard(tab: Tab, report_page: Path) -> None:
    tab.open(report_page)
    head = "#devices th:last-child [role=button]"
    tab.click(head)
    last_first = [f"edge-{number:02}" for number in reversed(range(DEVICES)) if number != 7]
    assert tab.texts("#devices tbody td:first-child") == ["edge-07", *last_first], "by downtime, none first"
    tab.js(f"document.querySelector('{head}').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert tab.texts("#devices tbody td:first-child")[-1] == "edge-07"
    assert tab.js("document.querySelector('#devices th:last-child').getAttribute('aria-sort')") == "descending"


def test_a_copy_button_copies_its_command(tab: Tab, report_page: Path) -> None:
    tab.open(report_page)
    tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    tab.click("header ol code.copy + button.copy")
    tab.js("new Promise((done) => { const b = document.querySelector('header ol button.copy');"
           "const look = () => b.textContent === 'copy' ? setTimeout(look, 10) : done(); look(); })")  # fmt: skip
    assert tab.text("header ol button.copy") == "copied"
    assert tab.js("navigator.clipboard.readText()") == f"tscm-migrate run discard {RUN}"


def _without_ages(text: str) -> list[str]:
    """Return the words of a page without the ages, which its script keeps up to date."""
    return re.sub(r"\d+ (?:d|h|min|s)\b|, (?=\d+ \w+ ago)|\bago\b|[\s,;]+", " ", text).split()


@pytest.mark.parametrize("name", ["report_page", "freshness_page", "campaign_page"])
def test_without_its_script_a_page_shows_the_same_and_no_tools(
    tab: Tab, name: str, request: pytest.FixtureRequest
) -> None:
    page: Path = request.getfixturevalue(name)
    tab.open(page)
    tab.js("for (const e of document.querySelectorAll('button, .tools')) e.remove()")
    with_script = _without_ages(tab.text())
    tab.open(page, scripts=False)
    assert not tab.texts(".tools, button")
    assert _without_ages(tab.text()) == with_script
    if tab.texts("#commands summary"):
        tab.click("#commands summary")
        assert len(tab.texts("#commands tbody tr")) == 60, "details need no script"


@pytest.mark.parametrize("name", ["report_page", "freshness_page", "campaign_page"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    tab: Tab, name: str, request: pytest.FixtureRequest, *, dark: bool
) -> None:
    tab.open(request.getfixturevalue(name), width=browser.PHONE, dark=dark)
    assert tab.js("document.documentElement.scrollWidth") <= browser.PHONE
    colours = tab.js("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert (brightness[0] < brightness[1]) == dark


def test_a_printed_report_is_complete_and_repeats_the_heads_of_its_tables(tab: Tab, report_page: Path) -> None:
    tab.open(report_page)
    tab.call("Emulation.setEmulatedMedia", media="print")
    tab.call("Emulation.setDeviceMetricsOverride", width=700, height=900, deviceScaleFactor=1, mobile=False)
    assert len(tab.texts("#commands tbody tr")) == 60, "what is folded is unfolded"
    assert tab.texts("#steps details div"), "actions, too"
    assert not tab.texts("button.copy")
    assert tab.js("document.documentElement.scrollWidth") <= 700
    tab.call("Emulation.setEmulatedMedia", media="")
    pages = re.findall(rb"/Type /Page\b[^s]", tab.pdf())
    assert 3 <= len(pages) <= 7, len(pages)
    # Chromium repeats only a head that is a table-header-group without a control in it.
    assert tab.js(
        "Array.from(document.querySelectorAll('table')).every((t) => t.tHead && !t.tHead.querySelector('button'))"
    )


def test_the_freshness_page_is_searched_filtered_and_sorted(tab: Tab, freshness_page: Path) -> None:
    tab.open(freshness_page)
    assert len(tab.texts("tbody tr")) == 60
    tab.click("#problems")
    assert {text.split()[0] for text in tab.texts("tbody tr")} == {"tscm-late", "tscm-never"}
    tab.click("#problems")
    tab.type("#search", "tscm-1")
    assert len(tab.texts("tbody tr")) == 10
    tab.type("#search", "")
    for _ in range(2):
        tab.click("th:nth-child(3) [role=button]")
    assert tab.texts("tbody td:first-child")[:3] == ["tscm-never", "tscm-late", "tscm-soon"], "by age, oldest first"


def test_an_open_freshness_page_turns_hosts_late_and_itself_stale(freshness_page: Path, tmp_path: Path) -> None:
    with browser.running(tmp_path / "profile") as tab:  # of its own: its clock is not ours afterwards
        tab.open(freshness_page)
        assert "2 of 60 late" in tab.text("h1")
        assert not tab.texts("#stale")
        tab.let_pass(2 * 3600)
        assert "3 of 60 late" in tab.text("h1"), "the host that was nearly late"
        assert not tab.texts("#stale")
        tab.let_pass(23 * 3600)
        assert tab.texts("#stale")[0].startswith("This page is stale.")
        assert str(tab.js("document.title")).startswith("Stale: ")
        assert "1 d 1 h ago" in tab.text("#written")


def test_the_page_of_a_campaign_is_sorted_by_time_and_filtered(tab: Tab, campaign_page: Path) -> None:
    tab.open(campaign_page)
    tab.click("th:nth-child(6) [role=button]")
    totals = tab.texts("tbody td:nth-child(6)")
    assert totals[1:] == ["30 s", "1 min 30 s", "10 min"], totals
    tab.click("#problems")
    assert len(tab.texts("tbody tr")) == 1
    assert tab.text("#count") == "1 of 4 rows"
