"""SFTP servers with invalid answers: each is reported as an error, with bounded memory and time."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd
from tests.support.memory import peak_kib
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.errors import MigrateError, TooMuchOutput
from tscm_migrate.model import Archive
from tscm_migrate.ssh.connect import NoSecrets, connect
from tscm_migrate.transfer.endpoints.sftp import SftpEnd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(Sshd.available() is not None or os.name == "nt", reason="no OpenSSH server here"),
]

SERVER = r"""#!{python}
import os, struct, sys
def read(n):
    data = b""
    while len(data) < n:
        more = os.read(0, n - len(data))
        if not more: raise SystemExit
        data += more
    return data
def write(data):
    while data: data = data[os.write(1, data):]
def packet(kind, body): write(struct.pack(">IB", len(body) + 1, kind) + body)
def text(data): return struct.pack(">I", len(data)) + data
NAME = b"threatstop_backup_2024-05-01_03_00_00.tsbak"
SIZE, MODE = 10, 0o100644
def attrs(size=SIZE): return struct.pack(">IQIII", 1 | 4 | 8, size, MODE, 1, 1)
how = open(os.path.dirname(os.path.abspath(__file__)) + "/how").read()
read(struct.unpack(">I", read(4))[0])
packet(2, struct.pack(">I", 3))
listed = 0
while True:
    body = read(struct.unpack(">I", read(4))[0])
    kind, number = body[0], body[1:5]
    if how == "big" and kind == 12: write(struct.pack(">IB", 0xfffffff0, 104)); write(bytes(1 << 24)); continue
    if how == "16 MB" and kind == 12: write(struct.pack(">IB", 0xffffff, 104)); write(bytes(1 << 24)); continue
    if how == "unasked":
        while True: packet(101, struct.pack(">I", 77777) + struct.pack(">I", 0) + text(b"") + text(b""))
    if how == "bad status": packet(101, number + struct.pack(">I", 4) + text(b"\xff\xfe bad \x1b[2J") + text(b"")); continue
    if how == "attributes" and kind in (7, 8, 17):
        packet(105, number + struct.pack(">II", 1 << 31, 0xffffffff)); continue
    if kind == 11: packet(102, number + text(b"h"))
    elif kind == 12:
        if how == "count": packet(104, number + struct.pack(">I", 0xfffffff0))
        elif how == "for ever":
            packet(104, number + struct.pack(">I", 100) + b"".join(text(b"x" * 200) + text(b"") + attrs() for _ in range(100)))
        elif how == "nothing for ever": packet(104, number + struct.pack(">I", 0))
        elif how == "more attributes":
            packet(104, number + struct.pack(">I", 1) + text(NAME) + text(b"") + struct.pack(">II", 1 << 31, 0xfffffff))
        elif listed: packet(101, number + struct.pack(">I", 1) + text(b"") + text(b""))
        else:
            listed = 1
            names = [b"\xff\xfe", b"a\nb", NAME, b"threatstop_backup_9999-12-31_23_59_59.tsbak", b"threatstop_backup_0001-01-01_00_00_00.tsbak"]
            packet(104, number + struct.pack(">I", len(names)) + b"".join(text(n) + text(b"") + attrs((1 << 64) - 1 if n != NAME else SIZE) for n in names))
    elif kind == 3: packet(102, number + text(b"f"))
    elif kind in (7, 8, 17): packet(105, number + attrs())
    elif kind == 5: packet(103, number + text(b"z" * 200000))
    else: packet(101, number + struct.pack(">I", 0) + text(b"") + text(b""))
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("sshd")
    evil = folder / "evil"
    evil.write_text(SERVER.replace("{python}", sys.executable))
    evil.chmod(0o755)
    with Sshd(folder, options=[f"ForceCommand {evil}"]) as server:
        yield server


@pytest.fixture
def end(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpEnd]:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    appliance = Appliance(sshd.host(), lambda host, expect=None: connect(
        host, credentials=NoSecrets(), timeouts=LONG_TIMEOUTS, expect=expect))  # fmt: skip
    with contextlib.closing(appliance):
        yield SftpEnd(appliance)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("big", "announced a packet of"),
        ("16 MB", "announced a packet of"),
        ("unasked", "answers without a request"),
        ("count", "without end"),
        ("for ever", "without end"),
        ("more attributes", "attributes"),
        ("bad status", "bad"),
        ("nothing for ever", "without end"),
    ],
)
def test_an_invalid_or_endless_listing_is_refused(
    sshd: Sshd, end: SftpEnd, how: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tscm_migrate.ssh.sftp._SECONDS", 2.0 if how == "nothing for ever" else 60.0)
    (sshd.folder / "how").write_text(how)
    before = peak_kib()
    with pytest.raises(MigrateError, match=what) as error:
        end.listed()
    assert "\x1b" not in error.value.message()
    assert peak_kib() - before < 150_000


def test_invalid_names_and_sizes_are_skipped(sshd: Sshd, end: SftpEnd) -> None:
    (sshd.folder / "how").write_text("names")
    sizes = {archive.name: archive.size for archive in end.listed()}
    assert sizes["threatstop_backup_2024-05-01_03_00_00.tsbak"] == 10
    assert all(name.startswith("threatstop_backup_") for name in sizes)


@pytest.mark.parametrize("how", ["attributes", "names"])
def test_an_answer_longer_than_requested_is_refused(sshd: Sshd, end: SftpEnd, how: str) -> None:
    (sshd.folder / "how").write_text(how)
    archive = Archive("threatstop_backup_2024-05-01_03_00_00.tsbak", "/b", 10)
    with pytest.raises(MigrateError) as error:
        end.identify(archive)
    assert how == "attributes" or isinstance(error.value, TooMuchOutput), error.value
