"""Transfers from a store to an appliance: resumed inside the file, and verified, with a bad network or a bad store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.support import pair
from tests.support.incoming import NOW, Given, encrypted
from tscm_migrate.errors import CopyDamaged, MigrateError, SshError
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.restore_source import StoredCopy
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.transfer import api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(pair.available()), reason=str(pair.available()))]
SIZE = 6 << 20


@pytest.fixture
def box(tmp_path: Path) -> Iterator[pair.Box]:
    with pair.box(tmp_path / "new", "tscm-new") as made:
        yield made


@pytest.fixture
def copy_in_store(tmp_path: Path) -> StoredCopy:
    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    make_copy(Given(encrypted(SIZE)), store, CopyPolicy(), now=NOW)
    (copy,) = catalog.load(store).copies
    return StoredCopy(copy, store.url, lambda: store)


def test_a_cut_transfer_resumes_inside_the_file(box: pair.Box, copy_in_store: StoredCopy) -> None:
    box.cutter.cut_after(SIZE // 2)
    with pytest.raises(SshError):
        api.bring(copy_in_store.source(), copy_in_store.archive, box.appliance)
    assert not (box.backups / copy_in_store.archive.name).exists()
    box.cutter.cut_after(None)
    (sent,) = api.bring(copy_in_store.source(), copy_in_store.archive, box.appliance)
    assert sent.resumed_at > 1 << 20
    assert sent.moved == copy_in_store.archive.size - sent.resumed_at
    assert (box.backups / copy_in_store.archive.name).read_bytes() == encrypted(SIZE)
    assert api.bring(copy_in_store.source(), copy_in_store.archive, box.appliance)[0].kept


@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_a_damaged_copy_leaves_no_file_with_the_final_name(
    box: pair.Box, copy_in_store: StoredCopy, tmp_path: Path, how: str
) -> None:
    (data,) = [path for path in (tmp_path / "store").rglob("*~*") if path.is_file() and path.suffix != ".json"]
    body = bytearray(data.read_bytes())
    body[SIZE // 2] ^= 1
    data.write_bytes(body if how == "flipped" else body[: SIZE // 2])
    with pytest.raises(CopyDamaged):
        api.bring(copy_in_store.source(), copy_in_store.archive, box.appliance)
    assert not (box.backups / copy_in_store.archive.name).exists()
    data.write_bytes(encrypted(SIZE))
    with contextlib.suppress(MigrateError):  # the first or the second attempt discards the damaged partial file
        api.bring(copy_in_store.source(), copy_in_store.archive, box.appliance)
    api.bring(copy_in_store.source(), copy_in_store.archive, box.appliance)
    assert (box.backups / copy_in_store.archive.name).read_bytes() == encrypted(SIZE)
