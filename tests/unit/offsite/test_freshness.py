"""Freshness of copies against the RPO, metrics, and a page that is safe with hostile names."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import browser
from tests.support.incoming import NOW, Given, encrypted, name_of
from tscm_migrate.offsite import catalog, freshness
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.verify import write_record
from tscm_migrate.ui import offsite_views

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.offsite.catalog import Copy
    from tscm_migrate.offsite.freshness import HostStatus


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, when: datetime, size: int = 1000, host: str = "tscm-a", **more: Any) -> Copy:
    given = Given(encrypted(size, seed=int(when.timestamp())), host=host, archive=name_of(when))
    make_copy(given, store, CopyPolicy(**more), now=when)
    return catalog.load(store).of(host)[0]


def judged(store: LocalStore, *hosts: str, rpo: timedelta = timedelta(hours=36), **more: Any) -> list[HostStatus]:
    return freshness.judge(catalog.load(store), hosts or ["tscm-a"], lambda _: rpo, NOW, **more)


@pytest.mark.parametrize(
    ("hours", "state"), [(0, "fresh"), (35.9, "fresh"), (36, "fresh"), (36.1, "late"), (400, "late")]
)
def test_age_is_compared_with_the_rpo(store: LocalStore, hours: float, state: str) -> None:
    put(store, NOW - timedelta(hours=hours))
    (status,) = judged(store)
    assert status.state == state
    assert status.age == timedelta(hours=hours)


def test_missing_copy_is_worse_than_an_old_copy(store: LocalStore) -> None:
    put(store, NOW - timedelta(days=9), host="old")
    put(store, NOW, host="new")
    assert [(s.host, s.state) for s in judged(store, "new", "none", "old")] == [
        ("none", "never"),
        ("old", "late"),
        ("new", "fresh"),
    ]


def test_unverified_copy_does_not_count(store: LocalStore) -> None:
    put(store, NOW - timedelta(days=3))
    put(store, NOW - timedelta(hours=1), verify="size")
    (status,) = judged(store)
    assert status.state == "late"
    assert "the newest copy was never verified" in status.warnings


def test_copy_from_the_future_does_not_count(store: LocalStore) -> None:
    put(store, NOW - timedelta(days=3))
    put(store, NOW + timedelta(days=1))
    (status,) = judged(store)
    assert status.state == "late"
    assert any("future" in warning for warning in status.warnings)


def test_damaged_newest_copy_does_not_count(store: LocalStore) -> None:
    put(store, NOW - timedelta(days=3))
    newest = put(store, NOW)
    (store.root / newest.manifest.data).unlink()
    (status,) = judged(store)
    assert status.state == "late"
    assert any("not in the store" in warning for warning in status.warnings)


@pytest.mark.parametrize(
    ("newest", "told"),
    [(100_000, ""), (51_000, ""), (40_000, "40%"), (500, "1%"), (390_000, ""), (450_000, "4.5 times")],
)
def test_unusual_size_is_a_warning(store: LocalStore, newest: int, told: str) -> None:
    for day in range(5, 0, -1):
        put(store, NOW - timedelta(days=day), 100_000)
    put(store, NOW, newest)
    (status,) = judged(store)
    assert bool(status.warnings) == bool(told)
    assert told in "".join(status.warnings)


def test_overdue_drill_is_reported(store: LocalStore) -> None:
    copy = put(store, NOW)
    every = timedelta(days=30)
    assert any("drill" in warning for warning in judged(store, drill_every=every)[0].warnings)
    record = Record(copy=copy.id, host="tscm-a", kind="drill", at=NOW - timedelta(days=20), data=copy.manifest.data)
    write_record(store, copy, record)
    assert judged(store, drill_every=every)[0].warnings == ()
    write_record(store, copy, record.model_copy(update={"at": NOW, "ok": False, "detail": "gpg said no"}))
    assert any("gpg said no" in warning for warning in judged(store, drill_every=every)[0].warnings)


def test_metrics_have_the_format_of_the_collector(store: LocalStore) -> None:
    put(store, NOW - timedelta(hours=2))
    text = freshness.prometheus([*judged(store), *judged(store, 'ev"il\n\\')], NOW)
    line = re.compile(r'(# (HELP|TYPE) tscm_\w+ .+|tscm_\w+(\{host="([^"\\\n]|\\[\\"n])*"\})? [0-9.e+-]+)')
    assert all(line.fullmatch(row) for row in text.splitlines())
    assert text.endswith("\n")
    assert 'tscm_offsite_late{host="tscm-a"} 0' in text
    assert f'tscm_offsite_newest_verified_timestamp_seconds{{host="tscm-a"}} {NOW.timestamp() - 7200:.0f}' in text


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))


HOSTILE = "<script>document.title='owned'</script>\"><img src=x onerror=\"document.title='owned'\">"


def test_page_loads_nothing_and_shows_hostile_text_as_text(store: LocalStore) -> None:
    for day in range(12):
        put(store, NOW - timedelta(days=day), 1000 + 100 * day)
    statuses = [*judged(store), *judged(store, HOSTILE)]
    statuses[0] = replace(statuses[0], warnings=(HOSTILE,))
    parser = Tags()
    text = offsite_views.page_text(statuses, f"s3://bucket/{HOSTILE}", NOW)
    parser.feed(text)
    tags = [tag for tag, _ in parser.seen]
    assert "svg" in tags
    assert tags.count("script") == 1, "its own; the Content-Security-Policy allows no other"
    assert not set(tags) & {"img", "link", "iframe", "object", "image"}
    names = {name for _, attrs in parser.seen for name, _ in attrs}
    assert not {name for name in names if name.startswith("on") or name in {"src", "href", "style"}}
    assert "http:" not in text
    assert "https:" not in text


def test_page_is_readable_without_its_script(store: LocalStore) -> None:
    put(store, NOW - timedelta(hours=50), 48_000)
    text = re.sub(r"<script>.*</script>", "", offsite_views.page_text(judged(store), "s3://x", NOW), flags=re.DOTALL)
    for words in ("1 of 1 late", "2 d 2 h", "1 d 12 h", "Recovery point objective", "48.0 kB", "1 of 1",
                  f"written {NOW:%Y-%m-%d %H:%M} UTC", "stale after 1 d"):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(("rpo", "stale"), [(timedelta(hours=6), "6 h"), (timedelta(hours=36), "1 d")])
def test_page_is_stale_after_the_shortest_rpo_or_a_day(store: LocalStore, rpo: timedelta, stale: str) -> None:
    assert f"stale after {stale}" in offsite_views.page_text(judged(store, rpo=rpo), "s3://x", NOW)


def test_page_is_replaced_atomically(tmp_path: Path) -> None:
    target = tmp_path / "status.html"
    target.write_text("old")
    offsite_views.write(target, "new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["status.html"]


@pytest.mark.slow
@pytest.mark.skipif(browser.missing(), reason="Debian's chromium is not here")
def test_page_in_a_browser_becomes_stale_and_runs_no_hostile_script(store: LocalStore, tmp_path: Path) -> None:
    """The clock of the browser cannot be set: one page is written with the present time, one as of two days ago."""
    put(store, NOW - timedelta(hours=1))
    now = datetime.now(UTC)
    (status,) = judged(store)
    assert status.newest is not None
    taken = status.newest.manifest.model_copy(update={"taken_at": now - timedelta(hours=1), "pulled_at": now})
    fresh = replace(status, host=HOSTILE, warnings=(HOSTILE,), newest=replace(status.newest, manifest=taken))
    shown = tmp_path / "page.html"
    shown.write_text(offsite_views.page_text([fresh], f"s3://{HOSTILE}", now), encoding="utf-8")
    found = browser.dom(shown, tmp_path / "profile")
    assert "<title>Off-site backups: all 1 fresh</title>" in found
    assert re.search(r'id="stale" hidden', found)
    assert "owned" in found
    assert "<img" not in found
    old = taken.model_copy(update={"taken_at": now - timedelta(hours=49), "pulled_at": now - timedelta(hours=48)})
    aged = replace(fresh, newest=replace(status.newest, manifest=old))
    shown.write_text(offsite_views.page_text([aged], "s3://x", now - timedelta(hours=48)), encoding="utf-8")
    found = browser.dom(shown, tmp_path / "profile")
    assert "<title>Stale: Off-site backups: 1 of 1 late</title>" in found
    assert 'class="s state failed">late<' in found, "it was fresh when the page was written"
    assert re.search(r'id="written"[^>]*>, 2 d ago<', found)
    assert not re.search(r'id="stale" hidden', found)
