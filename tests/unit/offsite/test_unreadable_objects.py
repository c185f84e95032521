"""An unreadable object is named and skipped; other copies stay usable, and only deletion stops."""

from __future__ import annotations

import json
import os
import socket
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.incoming import NOW, Given, encrypted, name_of
from tscm_migrate.errors import PruneRefused, StoreError
from tscm_migrate.offsite import catalog, freshness, keys, prune, retention
from tscm_migrate.offsite.fetch import fetch
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.verify import verify
from tscm_migrate.ui import offsite_views

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEEP_ONE = retention.RetentionPolicy(last=1, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))
FOLDER = "hosts/tscm-a/archives"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Three copies of one host."""
    (tmp_path / "store").mkdir()
    made = LocalStore(tmp_path / "store")
    for day in (1, 2, 3):
        when = NOW - timedelta(days=day)
        make_copy(Given(encrypted(500, seed=day), archive=name_of(when)), made, CopyPolicy(), now=when)
    return made


def still_works(store: LocalStore, tmp_path: Path, *, copies: int = 3) -> catalog.Catalog:
    """Check that list, verify, status and fetch work, and that deletion is refused."""
    found = catalog.load(store)
    assert len(found.copies) == copies
    assert all(not looked.why for looked in verify(store, found.copies, NOW))
    (status,) = freshness.judge(found, ["tscm-a"], lambda _: timedelta(days=2), NOW)
    assert status.state == "fresh"
    assert offsite_views.copies(found, NOW)
    offsite_views.copies(found, NOW).encode()
    (tmp_path / "out").mkdir()
    assert fetch(store, found.find("tscm-a"), tmp_path / "out").exists()
    if found.unreadable:
        assert any("cannot be read" in warning for warning in status.warnings)
        with pytest.raises(PruneRefused, match="cannot be read"):
            list(prune.prune(store, prune.plan(found, KEEP_ONE, NOW), NOW))
        assert len(catalog.load(store).copies) == copies
    return found


THINGS: dict[str, Callable[[Path], object]] = {
    "FIFO": getattr(os, "mkfifo", None) or (lambda path: path.touch()),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a folder": lambda path: path.symlink_to("/etc"),
    "folder": lambda path: path.mkdir(),
    "deep folder": lambda path: (path / "/".join("abcdefghij")).mkdir(parents=True),
    "empty": lambda path: path.touch(),
    "huge": lambda path: path.write_bytes(b"{" + b" " * 300_000 + b"}"),
    "not UTF-8": lambda path: path.write_bytes(b'{"schema": "\xff\xfe"}'),
    "deep JSON": lambda path: path.write_text("[" * 100_000 + "]" * 100_000),
    "many digits": lambda path: path.write_text('{"size": ' + "9" * 5000 + "}"),
    "an HTML page": lambda path: path.write_text("<html>login</html>"),
    "a surrogate": lambda path: path.write_text('{"schema": "tscm-migrate/manifest/1", "\\ud800": "\\udfff"}'),
}
if hasattr(os, "geteuid") and os.geteuid() == 0:
    THINGS["device"] = lambda path: os.mknod(path, 0o020600, os.makedev(1, 3))


@pytest.mark.skipif(sys.platform == "win32", reason="no such things there")
@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("name", ["x.json", "records", "data"])
@pytest.mark.timeout(60)
def test_unreadable_entry_in_a_folder_is_skipped(store: LocalStore, tmp_path: Path, thing: str, name: str) -> None:
    where = {
        "x.json": store.root / FOLDER / "x.json",
        "records": store.root / "hosts/tscm-a/records/x/y~tag~1.json",
        "data": store.root / FOLDER / "threatstop_backup_2026-02-01_00_00_00.tsbak~0123",
    }[name]
    where.parent.mkdir(parents=True, exist_ok=True)
    THINGS[thing](where)
    found = still_works(store, tmp_path)
    harmless = thing == "folder" or (name == "data" and where.is_file() and not where.is_symlink())
    assert bool(found.unreadable) != harmless, found.unreadable


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
@pytest.mark.parametrize(
    "name", [b"new\nline.json", b"bell\x07.json", b"\xff\xfe.json", "ü.json".encode(), b"a b.json"]
)
def test_file_with_another_name_is_skipped(store: LocalStore, tmp_path: Path, name: bytes) -> None:
    (store.root / FOLDER / os.fsdecode(name)).write_bytes(b"{}")
    (thing,) = still_works(store, tmp_path).unreadable
    assert str(thing).isprintable()
    assert "name" in str(thing)


def test_socket_in_the_folder_is_skipped(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("none there")
    monkeypatch.chdir(store.root / FOLDER)  # a long path does not fit into the address
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s.json")
        (thing,) = still_works(store, tmp_path).unreadable
    assert "a socket" in str(thing)


CHANGES: dict[str, dict[str, Any]] = {
    "overflow": {"pulled_at": "9999-12-31T23:59:59-12:00"},
    "underflow": {"taken_at": "0001-01-01T00:00:00+14:00"},
    "a number as time": {"pulled_at": 1e300},
    "400 digits": {"size": int("9" * 400)},
    "infinite": {"size": float("inf")},
    "a list": {"versions": [1, 2]},
    "deep": {"versions": {"a": {"b": {"c": 1}}}},
    "traversal in the archive": {"archive": "../../../etc/cron.d/x"},
    "traversal in the id": {"id": "../x"},
    "traversal in the data": {"data": f"{FOLDER}/../../tscm-b/x~1"},
    "another host's data": {"data": "hosts/tscm-b/archives/threatstop_backup_2026-02-28_12_00_00.tsbak.gpg~1"},
    "traversal in the host": {"host": "../tscm-a"},
    "another archive": {"archive": "threatstop_backup_2020-01-01_00_00_00.tsbak.gpg"},
    "nothing": {"host": None},
}


@pytest.mark.parametrize("change", CHANGES)
def test_wrong_manifest_is_skipped(store: LocalStore, tmp_path: Path, change: str) -> None:
    victim = catalog.load(store).copies[-1].manifest
    path = store.root / keys.manifest("tscm-a", victim.id)
    path.write_text(json.dumps(json.loads(path.read_text()) | CHANGES[change]))
    assert len(still_works(store, tmp_path, copies=2).unreadable) == 1


@pytest.mark.parametrize("change", [{"at": "9999-12-31T23:59:59-12:00"}, {"copy": "../.."}, {"kind": ["verify"]}])
def test_wrong_record_is_skipped(store: LocalStore, tmp_path: Path, change: dict[str, Any]) -> None:
    copy = catalog.load(store).copies[0]
    list(verify(store, [copy], NOW))
    (path,) = (store.root / "hosts/tscm-a/records" / copy.id).iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert len(still_works(store, tmp_path).unreadable) == 1


def test_unreadable_data_is_reported_and_other_copies_are_verified(store: LocalStore) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("none there")
    found = catalog.load(store)
    path = store.root / found.copies[1].manifest.data
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not a regular file"):
        next(store.read(found.copies[1].manifest.data))
    looked = list(verify(store, found.copies, NOW))
    assert [(one.known, bool(one.why)) for one in looked] == [(True, False), (False, True), (True, False)]
    assert "not in the store" in catalog.load(store).copies[1].damaged
