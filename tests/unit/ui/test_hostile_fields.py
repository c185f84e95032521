"""Hostile text in each field of each output is shown as text only."""

from __future__ import annotations

import dataclasses
import html.parser
import inspect
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from tests.support import browser
from tscm_migrate import events
from tscm_migrate.cli import doctor
from tscm_migrate.migration import report
from tscm_migrate.model import Archive
from tscm_migrate.offsite.catalog import Catalog, Copy, Unreadable
from tscm_migrate.offsite.freshness import HostStatus
from tscm_migrate.offsite.manifest import Manifest
from tscm_migrate.ui import console, lines, offsite_views, run_report
from tscm_migrate.ui import offsite_views as offsite_text
from tscm_migrate.ui.console import archive_table
from tscm_migrate.ui.live import LiveView
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from pathlib import Path

CONTROLS = (
    "a\x1b]52;c;ZXZpbA==\x07b\x1b[2J\x1b]0;t\x1b\\c\x9b2Jd\x85e\u202ef\u2066g\x00h\r\nFORGED: all is well\ti\u200bj\x7f"
)
MARKUP = (
    '[red]x[/red] </td></title></style><img src=x onerror="document.title=\'owned\'"><script>owned()</script>\'" y="'
)
HOSTILE = CONTROLS + MARKUP
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def check(text: str, *, lines_of: str = "") -> None:
    """Assert that no control character is printed, and, if another output is given, as many lines as in that."""
    bad = [sign for sign in text if not sign.isprintable() and sign not in "\n\t"]
    assert not any(line.startswith("FORGED") for line in text.splitlines()), text
    assert not bad, ascii(text)
    if lines_of:
        assert text.count("\n") == lines_of.count("\n"), text


def made(kind: type[events.Event], value: str) -> events.Event:
    """Return an event with `value` in each of its texts."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = inspect.formatannotation(field.type)
        fields[field.name] = (
            (1, 2) if "tuple[int" in name else ((value, value),) if "tuple[tuple" in name
            else (value,) if "tuple" in name else value if name == "str" else "info" if "info" in name else "done"
            if "Literal" in name else True if name == "bool" else 1
        )  # fmt: skip
    return kind(**fields)


KINDS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not events.Event])
def test_event_shows_no_control_sequence(kind: type[events.Event], capsys: pytest.CaptureFixture[str]) -> None:
    event = made(kind, HOSTILE)
    lines.json_lines(event)
    told = json.loads(capsys.readouterr().out)
    check(json.dumps(told, ensure_ascii=False))
    lines.Plain(verbose=True)(event)
    check(capsys.readouterr().out)
    out = io.StringIO()
    view = LiveView(Console(file=out, width=100, force_terminal=False, highlight=False, markup=False))
    view(event)
    check(out.getvalue())
    if "[red]" in lines.Plain().text(event, 0.0):
        assert "[red]" in out.getvalue(), "a remote word is no markup"


def manifest(value: str) -> Manifest:
    texts = dict.fromkeys(("id", "host", "archive", "data", "os", "tool"), value)
    return Manifest.model_construct(
        **texts, size=1, sha256="a" * 64, source_size=1, source_sha256="b" * 64, encrypted="no", sealed_to=(value,),
        key_ids=(value,), taken_at=NOW, pulled_at=NOW, verified_at=NOW, versions={value: value}, tags=(value,),
        behind=False,
    )  # fmt: skip


def tables(value: str) -> dict[str, str]:
    copy = Copy(manifest(value))
    status = HostStatus(value, "late", timedelta(1), timedelta(2), copy, 1, 1, 1, NOW, (value,), ((NOW, 1),))
    catalog = Catalog.__new__(Catalog)
    for field in dataclasses.fields(Catalog):
        unreadable = (Unreadable(value, value),)
        given = {"url": "s3://x", "copies": (copy,), "unreadable": unreadable, "orphans": (), "hosts": (value,)}
        object.__setattr__(catalog, field.name, given.get(field.name, ()))
    return {
        "archives": archive_table([Archive("threatstop_backup_2024-05-01_03_00_00.tsbak", value, 1)]),
        "offsite list": offsite_text.copies(catalog, NOW),
        "offsite show": offsite_text.copy_detail(copy, NOW),
        "offsite status": offsite_text.statuses([status]),
        "page": offsite_views.page_text([status], "s3://x", NOW),
    }


@pytest.mark.parametrize("name", ["archives", "offsite list", "offsite show", "offsite status"])
def test_table_row_is_one_line_with_hostile_cells(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = []
    for value in (HOSTILE, "plain"):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        console.as_it_is(tables(value)[name])
        printed.append(out.getvalue())
    check(printed[0], lines_of=printed[1])


def test_doctor_finding_and_its_remedy_are_one_line_each() -> None:
    told = doctor.text(doctor.Diagnosis("tscm-old", "login", "error", CONTROLS, "tscm-migrate host pin tscm-old"))
    told = redact.clean(told)
    assert [line.split()[0] for line in told.splitlines()] == ["ERROR", "fix:"]


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(name for name, _ in attrs)))


def tags(text: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = Tags()
    parser.feed(text)
    return parser.seen


def report_of(value: str) -> dict[str, Any]:
    """The report of a run in which each text that an appliance gave is this."""
    from tscm_migrate.migration.journal import JournalEntry, RunRecord

    facts = {"name": value, "hostname": value, "os_pretty": value, "versions": [["TSCM-Core", value]],
             "interfaces": [{"address": value}], "clock_skew": 0.0}  # fmt: skip
    notes = {
        "facts": {"old": facts, "new": facts}, "secret_sources": {value: value},
        "checks": [{"name": value, "severity": "error", "text": value, "remedy": value, "allowed": True}],
        "archive": {"name": value, "folder": value, "size": 1, "sha256": value},
        "devices": {value: {"ok": False, "seconds": 1.0, "detail": value}},
        "parity": [{"name": value, "same": False, "was": value, "has": value}],
    }  # fmt: skip
    at = "2026-11-26T10:00:00.000Z"
    steps = [
        ("run-started", {"run": "r", "old": value, "new": value, "options": {"archive": value}, "notes": notes}),
        ("step-started", {"step": "backup"}), ("action-started", {"step": "backup", "host": value, "describes": value}),
        ("step-failed", {"step": "backup", "error": value, "code": "x"}),
        ("run-ended", {"outcome": "failed", "standing": [value], "left": [value]}),
    ]  # fmt: skip
    entries = [JournalEntry(n, at, event, content) for n, (event, content) in enumerate(steps)]
    record = RunRecord(run="r")
    for entry in entries:
        record.apply(entry)
    commands = [
        {"t": at, "event": "command_run", "host": value, "display": value, "status": 1, "seconds": 1.0},
        {"t": at, "event": "prompted", "host": value, "prompt": value, "rule": value, "answer": value},
        {"t": at, "event": "said", "text": value, "level": "warning"},
    ]
    return report.build(record, entries, commands=commands)


def test_report_shows_remote_fields_as_text(tmp_path: Path) -> None:
    hostile, plain = report_of(HOSTILE), report_of("plain")
    check(json.dumps(hostile, ensure_ascii=False))
    check("\n".join(f" {line}" for line in run_report.text_lines(hostile)))
    pages = {"hostile": run_report.render(hostile), "plain": run_report.render(plain)}
    assert tags(pages["hostile"]) == tags(pages["plain"])
    if browser.missing():
        pytest.skip("no chromium")
    doms = {}
    for name, content in pages.items():
        (tmp_path / f"{name}.html").write_text(content, encoding="utf-8")
        doms[name] = browser.dom(tmp_path / f"{name}.html", tmp_path / f"profile-{name}")
        assert "</html>" in doms[name]
    assert tags(doms["hostile"]) == tags(doms["plain"])


def test_freshness_page_shows_fields_of_a_store_as_text() -> None:
    hostile, plain = tables(HOSTILE)["page"], tables("plain")["page"]
    check(hostile)
    assert tags(hostile) == tags(plain)
