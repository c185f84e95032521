"""Off-site copies on real S3 servers: seaweedfs, the same behind a proxy that causes faults, and rclone."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support import servers
from tests.support.incoming import NOW, Given, encrypted, name_of
from tests.support.proxy import Proxy, proxied
from tscm_migrate.errors import CopyDamaged, OffsiteError, PruneRefused, StoreDenied, StoreError
from tscm_migrate.offsite import catalog, prune, retention
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tscm_migrate.offsite.stores.base import Store

pytestmark = pytest.mark.slow
KEEP_TWO = retention.RetentionPolicy(last=2, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))

UPLOAD = """
import sys, time
from datetime import UTC, datetime
from tests.support.incoming import Given, encrypted
from tests.support.servers import ENV
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.stores.factory import open_store
store = open_store(sys.argv[1], env=ENV)
given = Given(encrypted(40_000_000), chunk=1 << 19)
print("ready", flush=True)
make_copy(given, store, CopyPolicy(), now=datetime.now(UTC))
print("done", flush=True)
"""


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex[:10]


@pytest.fixture
def store(seaweed: servers.Server, prefix: str) -> Iterator[Store]:
    with closing(open_store(seaweed.url("offsite", prefix), env=servers.ENV)) as made:
        yield made


@pytest.fixture
def proxy(seaweed: servers.Server) -> Iterator[Proxy]:
    with proxied(seaweed.port) as made:
        yield made


@pytest.fixture
def store_with_faults(proxy: Proxy, prefix: str, seaweed: servers.Server) -> Iterator[Store]:
    """The same place as `store`, through the proxy."""
    url = f"s3://offsite/{prefix}?endpoint=http://127.0.0.1:{proxy.port}"
    with closing(open_store(url, env=servers.ENV)) as made:
        yield made


@pytest.mark.timeout(600)
def test_uploads_killed_twenty_times_leave_no_damage(seaweed: servers.Server, store: Store, prefix: str) -> None:
    url, rng = seaweed.url("offsite", prefix), random.Random(5)
    argv = [sys.executable, "-c", UPLOAD, url]
    finished = left = 0
    for _ in range(20):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.9))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
        catalog_now = catalog.load(store)
        assert catalog_now.unreadable == ()
        assert all(not result.why for result in verify(store, catalog_now.copies, datetime.now(UTC)))
        finished = max(finished, len(catalog_now.copies))
        left = max(left, len(store.unfinished()))
    assert left > 0, "some uploads were interrupted"
    subprocess.run(argv, check=True, timeout=120, stdout=subprocess.DEVNULL)
    (copy,) = catalog.load(store).copies
    assert copy.verified_at
    prune.clean(store, prune.leftovers(store, catalog.load(store), older=timedelta(seconds=-60)))
    assert store.unfinished() == []
    after = catalog.load(store)
    assert after.orphans == ()
    assert [c.id for c in after.copies] == [copy.id]
    assert [result.why for result in verify(store, after.copies, datetime.now(UTC))] == [""]


def test_clean_keeps_uploads_in_progress(store: Store) -> None:
    started, finish = threading.Event(), threading.Event()

    class Waiting(Given):
        def __iter__(self) -> Iterator[bytes]:
            yield from super().__iter__()
            started.set()
            assert finish.wait(60)

    upload = threading.Thread(
        target=make_copy, args=(Waiting(encrypted(30_000_000)), store, CopyPolicy()), kwargs={"now": NOW}
    )
    upload.start()
    assert started.wait(60)
    leftovers = prune.leftovers(store, catalog.load(store))
    assert leftovers.unfinished == ()
    assert len(store.unfinished()) == 1
    finish.set()
    upload.join(60)
    assert len(catalog.load(store).copies) == 1


def fill(store: Store, days: int) -> None:
    for day in range(days):
        when = NOW - timedelta(days=day + 1)
        make_copy(Given(encrypted(2000, seed=day), archive=name_of(when)), store, CopyPolicy(), now=when)


def data_get(method: str, path: str) -> bool:
    return method == "GET" and ".tsbak" in path and ".json" not in path


@pytest.mark.parametrize("fault", ["truncate", "flip", "cut", "403"])
def test_a_copy_that_cannot_be_verified_is_not_listed(
    proxy: Proxy, store_with_faults: Store, store: Store, fault: str
) -> None:
    proxy.fault = lambda method, path: fault if data_get(method, path) else ""
    with pytest.raises((CopyDamaged, StoreError)):
        make_copy(Given(encrypted(100_000)), store_with_faults, CopyPolicy(), now=NOW)
    assert proxy.faults
    assert catalog.load(store).copies == ()


@pytest.mark.parametrize("fault", ["truncate", "flip"])
def test_prune_deletes_nothing_when_reads_are_damaged(
    proxy: Proxy, store_with_faults: Store, store: Store, fault: str
) -> None:
    fill(store, 5)
    proxy.fault = lambda method, path: fault if data_get(method, path) else ""
    now = datetime.now(UTC)
    results = list(prune.prune(store_with_faults, prune.plan(catalog.load(store_with_faults), KEEP_TWO, now), now))
    assert len(results) == 3
    assert all(why for _, why in results)
    assert len(catalog.load(store).copies) == 5


def test_prune_deletes_nothing_when_permission_is_lost(proxy: Proxy, store_with_faults: Store, store: Store) -> None:
    fill(store, 4)
    now = datetime.now(UTC)
    plan = prune.plan(catalog.load(store_with_faults), KEEP_TWO, now)
    proxy.fault = lambda method, _path: "403"
    with pytest.raises(StoreDenied):
        list(prune.prune(store_with_faults, plan, now))
    proxy.fault = lambda method, path: "403" if method in {"DELETE", "POST"} else ""
    with pytest.raises(StoreDenied):
        list(prune.prune(store_with_faults, plan, now))
    assert len(catalog.load(store).copies) == 4


def test_an_outdated_listing_causes_no_loss(
    proxy: Proxy, store_with_faults: Store, store: Store, tmp_path: Path
) -> None:
    fill(store, 4)
    proxy.fault = lambda method, path: "stale" if method == "GET" and "list-type" in path else ""
    stale = catalog.load(store_with_faults)
    newest = Given(encrypted(5000, seed=77), archive=name_of(NOW))
    assert make_copy(newest, store_with_faults, CopyPolicy(), now=NOW).outcome == "stored"
    assert make_copy(newest, store_with_faults, CopyPolicy(), now=NOW).outcome == "already"
    assert catalog.load(store_with_faults).copies == stale.copies, "the listing is still not up to date"
    now = datetime.now(UTC)
    gone = stale.copies[0]
    store.delete(gone.manifest.data)
    results = list(prune.prune(store_with_faults, prune.plan(catalog.load(store_with_faults), KEEP_TWO, now), now))
    assert results
    assert all("could not be read right" in why for _, why in results), "the listed object is deleted"
    proxy.fault = lambda _method, _path: ""
    assert len(catalog.load(store).copies) == 5


def test_requests_are_repeated_when_the_store_is_busy(proxy: Proxy, store_with_faults: Store) -> None:
    rng = random.Random(3)
    proxy.fault = lambda _method, _path: "503" if rng.random() < 0.2 else ""
    body = encrypted(20_000_000)
    assert make_copy(Given(body), store_with_faults, CopyPolicy(), now=NOW).outcome == "stored"
    assert any(fault.startswith("503") for fault in proxy.faults)
    (copy,) = catalog.load(store_with_faults).copies
    assert b"".join(store_with_faults.read(copy.manifest.data)) == body


@pytest.mark.parametrize("what", [".json", ".tsbak"])
def test_a_write_that_the_server_dropped_is_noticed(
    proxy: Proxy, store_with_faults: Store, store: Store, what: str
) -> None:
    proxy.fault = lambda method, path: "drop-write" if method in {"PUT", "POST"} and what in path else ""
    with pytest.raises(OffsiteError):
        make_copy(Given(encrypted(1000)), store_with_faults, CopyPolicy(), now=NOW)
    assert catalog.load(store).copies == ()


def test_wrong_credentials_are_reported_without_the_secret(seaweed: servers.Server) -> None:
    env = {**servers.ENV, "AWS_SECRET_ACCESS_KEY": "wrong wrong wrong"}
    store = open_store(seaweed.url("offsite"), env=env)
    with pytest.raises(StoreDenied) as caught:
        make_copy(Given(encrypted(10)), store, CopyPolicy(), now=NOW)
    assert "wrong wrong" not in str(caught.value)
    with pytest.raises(StoreDenied):
        store.unfinished()


@pytest.mark.parametrize("prefix", ["mit Blank/Überall 50%", "x+y/~z"])
def test_a_prefix_can_contain_spaces_and_umlauts(seaweed: servers.Server, prefix: str) -> None:
    with closing(open_store(seaweed.url("prefixes", prefix), env=servers.ENV)) as store:
        copied = make_copy(Given(encrypted(9_000_000)), store, CopyPolicy(), now=NOW)
        (copy,) = catalog.load(store).copies
        assert copy.manifest == copied.manifest
        prune.delete(store, copy)
        assert list(store.entries()) == []
        assert store.unfinished() == []


def test_foreign_keys_are_reported_and_skipped(store: Store, seaweed: servers.Server, prefix: str) -> None:
    make_copy(Given(encrypted(1000)), store, CopyPolicy(), now=NOW)
    keys = ["line\nbreak.json", "bell\x07.json", "a//b.json", "ü.json", "per%cent.json", "plus+.json", "a b.json"]
    multiparts = store._multiparts  # type: ignore[attr-defined] # signs requests for keys that the store refuses
    for key in keys:
        path = f"/offsite/{quote(f'{prefix}/hosts/tscm-a/archives/{key}', safe='/~-._')}"
        assert multiparts._once("PUT", path, {})[0] == 200
    catalog_now = catalog.load(store)
    assert len(catalog_now.copies) == 1
    assert len(catalog_now.unreadable) >= len(keys) - 1, "seaweedfs joins two slashes into one"
    assert all(str(thing).isprintable() for thing in catalog_now.unreadable)
    now = datetime.now(UTC)
    assert [result.why for result in verify(store, catalog_now.copies, now)] == [""]
    with pytest.raises(PruneRefused, match="cannot be read"):
        prune.leftovers(store, catalog_now)


def test_a_server_that_ignores_conditions_loses_nothing(careless_s3: servers.Server, prefix: str) -> None:
    store = open_store(careless_s3.url("bucket", prefix), env=servers.ENV)
    body = encrypted(3_000_000)
    start = threading.Barrier(4)
    outcomes: list[Any] = []

    def run() -> None:
        start.wait(30)
        outcomes.append(make_copy(Given(body, archive=name_of(NOW)), store, CopyPolicy(), now=NOW))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 4
    (copy,) = catalog.load(store).copies
    assert b"".join(store.read(copy.manifest.data)) == body
    fill(store, 3)
    now = datetime.now(UTC)
    assert [why for _, why in prune.prune(store, prune.plan(catalog.load(store), KEEP_TWO, now), now)] == ["", ""]
    with pytest.raises(PruneRefused):
        prune.plan(catalog.load(store), KEEP_TWO, NOW - timedelta(days=30))
