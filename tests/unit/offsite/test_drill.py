"""Restore drills with valid, incomplete and hostile archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.incoming import NOW, Given
from tscm_migrate.archive import compression
from tscm_migrate.errors import EncryptionFailed, ObjectExists
from tscm_migrate.model import Host
from tscm_migrate.offsite import catalog, verify
from tscm_migrate.offsite.fetch import fetch
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.offsite.catalog import Copy

PLAIN = "threatstop_backup_2026-02-28_04_00_00.tsbak"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")


def tar(*members: tuple[str, bytes], special: tarfile.TarInfo | None = None) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        if special is not None:
            made.addfile(special)
    return body.getvalue()


NOISE = random.Random(4).randbytes(300_000)
GOOD = tar(("etc/devices/asa-1.conf", b"x" * 100), ("etc/devices/pan-2.conf", b"y"), ("log/big", NOISE))


def drilled(store: LocalStore, body: bytes, name: str = PLAIN) -> tuple[verify.Drilled, Copy]:
    make_copy(Given(body, archive=name), store, CopyPolicy(), now=NOW)
    (copy,) = catalog.load(store).copies
    done = verify.drill(store, copy, None, NOW)
    return done, catalog.load(store).copies[0]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes], ids=["gz", "bz2", "xz", "tar"])
def test_valid_archive_passes_in_each_compression(store: LocalStore, pack: Any) -> None:
    done, copy = drilled(store, pack(GOOD))
    assert done.why == ""
    assert done.files == 3
    assert done.size == 300_101
    assert {"asa-1", "pan-2"} <= {name.removesuffix(".conf") for name in done.devices}
    assert copy.drill
    assert copy.drill.ok


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


PACKED = gzip.compress(GOOD)


BAD = {
    "cut in the check sum": PACKED[:-9],
    "cut in half": PACKED[: len(PACKED) // 2],
    "wrong check sum": PACKED[:-8] + b"\0" * 8,
    "one byte changed": PACKED[:1000] + bytes([PACKED[1000] ^ 1]) + PACKED[1001:],
    "unpacked and cut": GOOD[:5000],
    "empty": b"",
    "text": b"not an archive at all, whatever its name says" * 50,
    "packed text": gzip.compress(b"nor this"),
    "no files": gzip.compress(tar()),
    "a name that climbs": gzip.compress(tar(("../../etc/passwd", b"x"))),
    "an absolute name": gzip.compress(tar(("/etc/shadow", b"x"))),
    "a device": gzip.compress(tar(("a", b"x"), special=special("dev", tarfile.CHRTYPE))),
    "a link that climbs": gzip.compress(tar(("a", b"x"), special=special("hard", tarfile.LNKTYPE, "../../x"))),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_unusable_archive_fails_the_drill_and_is_recorded(store: LocalStore, body: bytes) -> None:
    done, copy = drilled(store, body)
    assert done.why
    assert copy.drill
    assert not copy.drill.ok
    assert copy.verified_at, "the stored bytes are correct"


LAYOUTS = {
    "a folder for each device": (("opt/threatstop/etc/devices/asa-1/device.json", b"{}"), ("etc/ssh/sshd_config", b"")),
    "packed from the etc folder": (("./devices/asa-1.conf", b"x"), ("./log4perl.conf", b"y")),
    "a file beside others": (
        ("./etc/asa-1.conf", b"name=asa-1\ntype=asa\n"), ("./etc/log4perl.conf", b"log"), ("./sys/ssh/sshd_config", b""),
    ),
    "a file that says its family": (("threatstop/etc/asa-1.cfg", b"[device]\nvendor: Cisco\n"), ("etc/passwd", b"")),
}  # fmt: skip


@pytest.mark.parametrize("members", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_devices_are_found_in_both_known_layouts(store: LocalStore, members: Any) -> None:
    done, copy = drilled(store, gzip.compress(tar(*members)))
    assert (done.why, done.unknown, done.devices) == ("", "", ("asa-1",))
    assert copy.drill
    assert copy.drill.ok


@pytest.mark.parametrize(
    "members",
    [
        (("opt/threatstop/etc/log4perl.conf", b"log4perl.rootLogger=INFO"), ("etc/ssh/sshd_config", b"")),
        (("opt/threatstop/etc/bind_stock_configs.tgz", b"x"), ("var/log/threatstop/ts-backup.log", b"")),
    ],
)
def test_archive_of_a_known_layout_without_devices_fails(store: LocalStore, members: Any) -> None:
    done, copy = drilled(store, gzip.compress(tar(*members)))
    assert "there is no device in it" in done.why
    assert copy.drill
    assert not copy.drill.ok


def test_archive_with_an_empty_device_folder_fails(store: LocalStore) -> None:
    body = tar(("opt/threatstop/etc/a.log", b"x"), special=special("opt/threatstop/etc/devices", tarfile.DIRTYPE))
    assert "there is no device in it" in drilled(store, body)[0].why


UNKNOWN = (("firewalls/asa-1/policy", b"x"), ("etc/passwd", b"x"), ("etc/resolv.conf", b"nameserver 10.1.1.1"))


@pytest.mark.parametrize(
    ("members", "seen"),
    [
        (UNKNOWN, "firewalls/asa-1"),
        ((("./etc/tsadmin.conf", b"debug=5"),), "tsadmin"),
        ((("data.db", b"x"),), "data.db"),
    ],
)
def test_unknown_layout_gives_no_result_and_no_record(store: LocalStore, members: Any, seen: str) -> None:
    done, copy = drilled(store, gzip.compress(tar(*members)))
    assert (done.why, done.devices) == ("", ())
    assert "layout is not known" in done.unknown
    assert seen in done.unknown
    assert copy.drill is None


def test_devices_of_the_inventory_decide_in_any_layout(store: LocalStore) -> None:
    make_copy(Given(gzip.compress(tar(*UNKNOWN)), archive=PLAIN), store, CopyPolicy(), now=NOW)
    (copy,) = catalog.load(store).copies
    assert verify.drill(store, copy, None, NOW, host=Host("tscm-a", "", devices=("asa-1",))).devices == ("asa-1",)
    gone = verify.drill(store, copy, None, NOW, host=Host("tscm-a", "", devices=("asa-9",)))
    assert "not even asa-9" in gone.why
    assert gone.unknown == ""


def test_archive_bomb_is_stopped(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LARGEST", 1 << 20)
    done, _ = drilled(store, gzip.compress(tar(("zeros", bytes(4 << 20)))))
    assert "more than any backup" in done.why


def test_missing_passphrase_is_not_a_failed_drill(store: LocalStore) -> None:
    from tests.support.incoming import encrypted

    make_copy(Given(encrypted(1000)), store, CopyPolicy(), now=NOW)
    (copy,) = catalog.load(store).copies
    with pytest.raises(EncryptionFailed, match="none was given"):
        verify.drill(store, copy, None, NOW)
    assert catalog.load(store).copies[0].drill is None


def test_fetch_creates_its_folder_and_never_overwrites(store: LocalStore, tmp_path: Path) -> None:
    make_copy(Given(PACKED, archive=PLAIN), store, CopyPolicy(), now=NOW)
    (copy,) = catalog.load(store).copies
    target = tmp_path / "rescue" / "out"
    assert fetch(store, copy, target).read_bytes() == PACKED
    with pytest.raises(ObjectExists):
        fetch(store, copy, target)
    (target / PLAIN).unlink()
    data = store.root / copy.manifest.data
    data.write_bytes(PACKED[:-1] + b"?")
    with pytest.raises(Exception, match="other bytes"):
        fetch(store, copy, target)
    assert list(target.iterdir()) == []
