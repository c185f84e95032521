"""Copies in a folder store: complete, found again, repaired; an interrupted upload leaves no copy."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.incoming import NOW, Given, encrypted, name_of, plain
from tscm_migrate.errors import CopyDamaged, CopyMissing, PlaintextRefused, PruneRefused, StoreError
from tscm_migrate.offsite import catalog, keys, prune, retention
from tscm_migrate.offsite.fetch import fetch
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.verify import check, sample, verify

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from tscm_migrate.offsite.catalog import Copy
    from tscm_migrate.offsite.stores.base import Store

ANY = CopyPolicy()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")


class Lying(LocalStore):
    """Wraps a real store and returns one wrong result."""

    def __init__(self, root: Path, lie: str) -> None:
        super().__init__(root)
        self.lie = lie

    def read(self, key: str) -> Generator[bytes, None, None]:
        for chunk in super().read(key):
            if key.endswith(".json"):
                yield chunk
            elif self.lie == "truncated":
                yield chunk[:-1]
            elif self.lie == "flipped":
                yield bytes([chunk[0] ^ 1]) + chunk[1:]
            elif self.lie == "endless":
                while True:
                    yield chunk
            elif self.lie == "denied":
                raise StoreError(detail="AccessDenied")
            else:
                yield chunk

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        if self.lie == "forgets" and not key.endswith(".json"):
            return sum(map(len, chunks))
        if self.lie == "cuts" and not key.endswith(".json"):
            body = b"".join(chunks)
            super().upload(key, [body[:-10]])
            return len(body)
        return super().upload(key, chunks, size_hint=size_hint)


def one(store: Store) -> Copy:
    (copy,) = catalog.load(store).copies
    return copy


def test_manifest_of_a_copy_is_complete(store: LocalStore) -> None:
    body = encrypted(3_000_000)
    done = make_copy(Given(body), store, replace(ANY, tags=("keep",)), now=NOW)
    copy = one(store)
    assert done.outcome == "stored"
    assert copy.manifest == done.manifest
    assert (copy.manifest.size, copy.manifest.source_size) == (len(body), len(body))
    assert copy.manifest.sha256 == copy.manifest.source_sha256 == Given(body).sha256
    assert copy.manifest.encrypted == "passphrase"
    assert copy.verified_at == NOW
    assert copy.tags == ("keep",)
    assert b"".join(store.read(copy.manifest.data)) == body


def test_manifest_is_documented_json(store: LocalStore) -> None:
    done = make_copy(Given(encrypted(10)), store, ANY, now=NOW)
    raw = json.loads(b"".join(store.read(keys.manifest("tscm-a", done.manifest.id))))
    assert raw["schema"] == "tscm-migrate/manifest/1"
    assert raw["taken_at"] == "2026-02-28T04:00:00Z"
    assert set(raw) >= {"host", "archive", "sha256", "size", "encrypted", "versions", "tool", "pulled_at", "key_ids"}


def test_same_bytes_are_stored_once(store: LocalStore) -> None:
    make_copy(Given(encrypted(100)), store, ANY, now=NOW)
    assert make_copy(Given(encrypted(100)), store, ANY, now=NOW).outcome == "already"
    assert len(catalog.load(store).copies) == 1


def test_other_bytes_with_the_same_name_are_another_copy(store: LocalStore) -> None:
    make_copy(Given(encrypted(100, seed=1)), store, ANY, now=NOW)
    make_copy(Given(encrypted(100, seed=2)), store, ANY, now=NOW)
    found = catalog.load(store)
    assert len(found.copies) == 2
    with pytest.raises(CopyMissing, match="different contents"):
        found.find("tscm-a", Given(b"").archive)
    assert found.find("tscm-a", found.copies[1].id) == found.copies[1]


@pytest.mark.parametrize("fault", [{"dies_after": 1 << 20}, {"sha256": "0" * 64}, {"size": 5}])
def test_wrong_stream_leaves_no_copy(store: LocalStore, fault: dict[str, Any]) -> None:
    with pytest.raises((ConnectionResetError, CopyDamaged)):
        make_copy(Given(encrypted(2 << 20), **fault), store, ANY, now=NOW)
    assert list(store.entries()) == []
    assert store.unfinished() == []


@pytest.mark.parametrize("lie", ["truncated", "flipped", "forgets", "cuts", "denied", "endless"])
def test_store_with_wrong_results_is_detected(tmp_path: Path, lie: str) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises((CopyDamaged, StoreError)):
        make_copy(Given(encrypted(1 << 20)), Lying(tmp_path / "store", lie), ANY, now=NOW)
    assert catalog.load(LocalStore(tmp_path / "store")).copies == ()


def test_endless_store_object_is_limited(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "to").mkdir()
    make_copy(Given(encrypted(1 << 20)), LocalStore(tmp_path / "store"), ANY, now=NOW)
    lying = Lying(tmp_path / "store", "endless")
    with pytest.raises(CopyDamaged, match="more than 1048"):
        fetch(lying, one(lying), tmp_path / "to")
    assert "more than" in check(lying, one(lying))
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("lie", ["forgets", "cuts"])
def test_wrong_size_is_detected_without_reading(tmp_path: Path, lie: str) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises((CopyDamaged, StoreError)):
        make_copy(Given(encrypted(1 << 20)), Lying(tmp_path / "store", lie), CopyPolicy(verify="size"), now=NOW)


def test_copy_that_was_not_read_back_is_not_verified(store: LocalStore) -> None:
    make_copy(Given(encrypted(10)), store, CopyPolicy(verify="size"), now=NOW)
    assert one(store).verified_at is None
    with pytest.raises(CopyMissing):
        catalog.load(store).find("tscm-a")


def test_plaintext_is_refused_if_encryption_is_required(store: LocalStore) -> None:
    policy = CopyPolicy(require_encryption=True)
    for body in (plain(1000), b"\xa3\x01" + bytes(100), b""):  # gzip; OpenPGP that is only compressed; nothing
        with pytest.raises(PlaintextRefused):
            make_copy(Given(body), store, policy, now=NOW)  # the name ends in .gpg, which proves nothing
    assert list(store.entries()) == []
    make_copy(Given(encrypted(1000)), store, policy, now=NOW)


def damage(store: LocalStore, copy: Copy, how: str) -> None:
    path = store.root / copy.manifest.data
    if how == "gone":
        path.unlink()
    elif how == "cut":
        os.truncate(path, copy.manifest.size - 1)
    else:
        with path.open("r+b") as file:
            file.seek(copy.manifest.size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x10]))


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
def test_damaged_copy_is_detected_and_replaced_by_the_next_copy(store: LocalStore, how: str) -> None:
    make_copy(Given(encrypted(1000)), store, ANY, now=NOW)
    damage(store, one(store), how)
    (result,) = verify(store, [one(store)], NOW + timedelta(days=1))
    assert result.why
    damaged = one(store)
    assert damaged.damaged
    assert damaged.verified_at is None
    done = make_copy(Given(encrypted(1000)), store, ANY, now=NOW, instead_of=damaged.manifest)
    assert done.outcome == "stored"
    healed = one(store)
    assert not healed.damaged
    assert healed.verified_at == NOW


def test_verification_renews_the_proof(store: LocalStore) -> None:
    make_copy(Given(encrypted(1000)), store, CopyPolicy(verify="size"), now=NOW)
    (result,) = verify(store, [one(store)], NOW + timedelta(days=3))
    assert not result.why
    assert one(store).verified_at == NOW + timedelta(days=3)


def test_sample_takes_the_oldest_proofs_first(store: LocalStore) -> None:
    for day in range(1, 6):
        archive = name_of(datetime(2026, 2, day, tzinfo=UTC))
        how = CopyPolicy(verify="size") if day == 3 else ANY
        make_copy(Given(encrypted(10, seed=day), archive=archive), store, how, now=NOW - timedelta(days=day))
    copies = catalog.load(store).copies
    assert [c.taken_at.day for c in sample(copies, "40%")] == [3, 5]
    assert [c.taken_at.day for c in sample(copies, "1")] == [3]
    assert len(sample(copies, "")) == 5


def fill(store: Store, days: int, *, host: str = "tscm-a") -> None:
    for day in range(days):
        when = NOW - timedelta(days=day + 1)
        given = Given(encrypted(200, seed=day), host=host, archive=name_of(when))
        make_copy(given, store, ANY, now=when + timedelta(minutes=5))


KEEP_TWO = retention.RetentionPolicy(last=2, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))


def test_prune_deletes_only_the_planned_copies(store: LocalStore) -> None:
    now = datetime.now(UTC)
    fill(store, 6)
    fill(store, 1, host="tscm-b")
    pruning = prune.plan(catalog.load(store), KEEP_TWO, now)
    assert len(pruning.going) == 4
    assert [why for _, why in prune.prune(store, pruning, now)] == [""] * 4
    after = catalog.load(store)
    assert len(after.of("tscm-a")) == 2
    assert len(after.of("tscm-b")) == 1
    assert after.orphans == ()


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
def test_prune_deletes_nothing_if_kept_copies_cannot_be_read(store: LocalStore, how: str) -> None:
    now = datetime.now(UTC)
    fill(store, 5)
    looked_at = catalog.load(store)
    damage(store, looked_at.copies[0], how)
    results = list(prune.prune(store, prune.plan(looked_at, KEEP_TWO, now), now))
    assert len(results) == 3
    assert all("could not be read right" in why for _, why in results)
    assert len(catalog.load(store).copies) == 5


def test_prune_stops_if_the_clock_was_set_back(store: LocalStore) -> None:
    fill(store, 5)
    with pytest.raises(PruneRefused, match="went back"):
        prune.plan(catalog.load(store), KEEP_TWO, NOW - timedelta(days=2))


def test_prune_stops_if_the_clock_jumped_ahead(store: LocalStore) -> None:
    fill(store, 5)
    future = datetime.now(UTC) + timedelta(days=400)
    with pytest.raises(PruneRefused, match="differ"):
        list(prune.prune(store, prune.plan(catalog.load(store), KEEP_TWO, future), future))
    assert len(catalog.load(store).copies) == 5


def test_store_with_missing_copies_is_not_pruned(store: LocalStore, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    fill(store, 9)
    catalog.load(store, cache=tmp_path)
    for copy in catalog.load(store).copies[3:]:
        store.delete(keys.manifest(copy.host, copy.id))
    shrunk = catalog.load(store, cache=tmp_path)
    assert len(shrunk.copies) == 3
    with pytest.raises(PruneRefused, match="were known"):
        list(prune.prune(store, prune.plan(shrunk, KEEP_TWO, now), now))
    assert shrunk.orphans == (), "data of a recent copy is not an orphan yet"
    assert len(catalog.load(store, cache=tmp_path).orphans) == 6


def test_clean_deletes_only_old_orphans(store: LocalStore) -> None:
    make_copy(Given(encrypted(10)), store, ANY, now=NOW)
    for name, days in (("old", 5), ("young", 1)):
        store.upload(f"{keys.archives('tscm-a')}/{Given(b'').archive}~{name}", [b"x" * 10])
        path = store.root / keys.archives("tscm-a") / f"{Given(b'').archive}~{name}"
        stamp = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(path, (stamp, stamp))
    found = prune.leftovers(store, catalog.load(store))
    assert [entry.key.rpartition("~")[2] for entry in found.orphans] == ["old"]
    assert prune.clean(store, found) == 1
    assert len(catalog.load(store).orphans) == 1
    assert one(store).verified_at


def test_clean_stops_at_an_unreadable_object(store: LocalStore) -> None:
    store.create(f"{keys.archives('tscm-a')}/broken~0.json", b"{")
    with pytest.raises(PruneRefused):
        prune.leftovers(store, catalog.load(store))


@pytest.mark.parametrize(
    "change",
    [
        {"host": "tscm-b"},
        {"data": "hosts/tscm-b/archives/x~1"},
        {"data": "hosts/tscm-a/archives/../../tscm-b/x"},
        {"schema": "tscm-migrate/manifest/2"},
        {"sha256": "short"},
        {"taken_at": "2026-02-28T04:00:00"},
        {"size": -1},
    ],
)
def test_inconsistent_manifest_is_unreadable(store: LocalStore, change: dict[str, Any]) -> None:
    done = make_copy(Given(encrypted(10)), store, ANY, now=NOW)
    key = keys.manifest("tscm-a", done.manifest.id)
    raw = json.loads(b"".join(store.read(key))) | change
    store.delete(key)
    store.create(key, json.dumps(raw).encode())
    found = catalog.load(store)
    assert found.copies == ()
    assert len(found.unreadable) == 1


def test_catalog_is_rebuilt_from_the_manifests(store: LocalStore, tmp_path: Path) -> None:
    fill(store, 4)
    first = catalog.load(store, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    again = catalog.load(store, cache=tmp_path / "cache")
    file.write_text("rubbish")
    rebuilt = catalog.load(store, cache=tmp_path / "cache")
    assert first.copies == again.copies == rebuilt.copies
    assert again.known_before == 4


def test_cache_is_read_as_far_as_it_is_valid(store: LocalStore, tmp_path: Path) -> None:
    fill(store, 4)
    first = catalog.load(store, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged in (b"".join(lines[:3]), b"".join(lines)[:-20], b"".join([*lines[:2], b"}\n", *lines[2:]])):
        file.write_bytes(damaged)
        assert catalog.load(store, cache=tmp_path / "cache").copies == first.copies
        assert sorted(file.read_bytes().splitlines()[1:]) == sorted(whole.splitlines()[1:])


def test_unwritable_cache_is_ignored(store: LocalStore, tmp_path: Path) -> None:
    fill(store, 2)
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert len(catalog.load(store, cache=tmp_path / "cache").copies) == 2


@pytest.mark.slow
def test_catalog_needs_little_memory_for_each_copy(store: LocalStore, tmp_path: Path) -> None:
    """Of 100,000 copies it has to fit into 500 MB, with the interpreter and the table that is printed."""
    fill(store, 1)
    (copy,) = catalog.load(store).copies
    manifest, count = copy.manifest, 1500
    for number in range(count):
        sha = f"{number:064x}"
        id_ = keys.copy_id(manifest.archive, f"{number:016x}")
        other = manifest.model_copy(update={"id": id_, "source_sha256": f"{number:016x}{sha[16:]}"})
        path = store.root / keys.manifest(copy.host, id_)
        path.write_bytes(other.dump())
    catalog.load(store, cache=tmp_path / "cache")
    for cache in (None, tmp_path / "cache"):
        tracemalloc.start()
        try:
            found = catalog.load(store, cache=cache)
            kept, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(found.copies) == count + 1
        assert kept / count < 2600, f"{kept / count:.0f} bytes for each copy"
        in_flight = 6_000_000  # manifests that are being read; on a quiet machine more at the same time
        assert most < 6000 * count + in_flight, f"{most / count:.0f} bytes for each copy at the peak"


@pytest.mark.parametrize("name", ["tscm-a", "A", "Zürich", "con", "COM1.x", "..", ".hidden", "a/b", "x" * 60, "ü~41"])
def test_host_names_are_encoded_and_decoded(name: str) -> None:
    part = keys.host_part(name)
    back = re.sub(r"(?:~[0-9a-f]{2})+", lambda found: bytes.fromhex(found[0].replace("~", "")).decode(), part)
    assert back == name  # so that no two hosts share a folder
    assert part == part.lower()
    assert "/" not in part
    assert part not in {".", "..", "con"}
