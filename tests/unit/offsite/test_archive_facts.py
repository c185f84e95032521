"""Facts about a host read from its archive, in each compression; with hostile names and bytes."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.unit.offsite.test_drill import tar
from tscm_migrate.archive import inspect
from tscm_migrate.errors import CopyDamaged
from tscm_migrate.model import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKMkrJ7ppZXZ4SS9CSeFJ1hM8rbzTmfRkEpF1hZ5P0e2 root@old\n"
INTERFACES = "iface eth0 inet static\n address 10.1.1.43/24\n gateway 10.1.1.1\n"


def members(root: str, etc: str) -> bytes:
    return gzip.compress(
        tar(
            (f"{root}etc/network/interfaces", INTERFACES.encode()),
            (f"{root}etc/ssh/ssh_host_ed25519_key.pub", KEY.encode()),
            (f"{root}etc/ssh/ssh_host_ed25519_key", b"PRIVATE"),
            (f"{root}etc/hostname", b"tsclient\n"),
            (f"{root}etc/cron.d/multidevice-core", b"*/5 * * * * root ts-update\n"),
            (f"{etc}devices/edge-asa/policy", b"permit"),
            (f"{etc}devices/edge-asa/login", b"secret"),
            (f"{etc}other/settings", b"x"),
        )
    )


def read(body: bytes, paths: Paths | None = None) -> inspect.ArchiveFacts:
    return inspect.read(iter([body[:7], body[7:]]), paths or Paths())


@pytest.mark.parametrize(
    ("root", "etc"),
    [
        ("", "opt/threatstop/etc/"),
        ("./", "./opt/threatstop/etc/"),
        ("/", "/opt/threatstop/etc/"),
        ("backup/", "backup/threatstop/etc/"),
    ],
)
def test_keys_network_devices_and_hashes_are_read(root: str, etc: str) -> None:
    if root == "/":
        assert "leads outside" in read(members(root, etc)).why
        return
    found = read(members(root, etc))
    assert found.why == ""
    assert [kind for kind, _ in found.host_keys] == ["ssh-ed25519"]
    assert [(i.name, i.address, i.prefix) for i in found.network.interfaces] == [("eth0", "10.1.1.43", 24)]
    assert (found.network.gateway, found.hostname, found.devices) == ("10.1.1.1", "tsclient", ("edge-asa",))
    assert "ts-update" in found.cron_text
    assert found.files["devices/edge-asa/policy"] == hashlib.sha256(b"permit").hexdigest()
    assert set(found.files) == {"devices/edge-asa/policy", "devices/edge-asa/login"}
    assert "PRIVATE" not in repr(found)


def test_all_files_but_secrets_are_hashed_without_a_device_pattern() -> None:
    body = tar(("opt/threatstop/etc/fw/a.json", b"1"), ("opt/threatstop/etc/fw/password", b"2"),
               ("opt/threatstop/etc/.hidden", b"3"))  # fmt: skip
    assert set(read(body).files) == {"fw/a.json"}


@pytest.mark.parametrize("body", [b"", b"neither a tar nor packed", b"\x28\xb5\x2f\xfd zstd is not read here"])
def test_unlistable_archive_gives_only_the_reason(body: bytes) -> None:
    found = read(body)
    assert found.why
    assert (found.files, found.host_keys, found.devices) == ({}, (), ())


def test_unlistable_archive_is_read_to_its_end() -> None:
    """gpg checks integrity at the end: a damaged copy must not be reported as an unknown layout."""

    def chunks() -> Iterator[bytes]:
        yield b"no tar at all" * 100
        yield b"more"
        raise CopyDamaged(detail="other bytes come back than went in")

    with pytest.raises(CopyDamaged):
        inspect.read(chunks(), Paths())
