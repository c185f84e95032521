"""Archives that would exhaust memory, disk or time are refused; others are read as tarfile reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.archive import compression, contents, openpgp
from tscm_migrate.errors import ArchiveRefused
from tscm_migrate.model import Secret
from tscm_migrate.transfer import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MB = 1 << 20
SOME = 160 * MB


@pytest.fixture
def lower_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set lower limits, so that the tests are fast."""
    monkeypatch.setattr(compression, "_RATIO_FROM", 128 * MB)
    monkeypatch.setattr(contents, "_MEMBERS", 3000)
    monkeypatch.setattr(contents, "_NAMES", 8 * MB)


def walk(body: bytes, size: int = 1 << 16, **given: Any) -> contents.Walked:
    return contents.walk((body[at : at + size] for at in range(0, len(body), size)), **given)


def header(kind: bytes, size: int, name: str = "x", more: bytes = b"") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    if more:
        block[386 : 386 + len(more)] = more
        block[148:156] = b" " * 8
        block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


def zeros(size: int, head: bytes = b"") -> bytes:
    """Return the gzip data of `head` and `size` zeros, without keeping the zeros in memory."""
    engine = zlib.compressobj(9, wbits=31)
    out = [engine.compress(head)]
    out += [engine.compress(bytes(16 * MB)) for _ in range(size // (16 * MB))]
    return b"".join([*out, engine.flush()])


def pax(kind: bytes = tarfile.XHDTYPE, /, **records: str) -> bytes:
    body = b""
    for key, value in records.items():
        rest = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        body += str(length).encode() + rest
    return header(kind, len(body)) + body + bytes(-len(body) % 512)


def long_name(name: bytes) -> bytes:
    return header(tarfile.GNUTYPE_LONGNAME, len(name)) + name + bytes(-len(name) % 512)


FILE = header(tarfile.REGTYPE, 1) + b"x" + bytes(511)
END = bytes(1024)
SPARSE_ON = bytes(96) + b"\x01"
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a pax header of 3 GB": (lambda: zeros(1 << 28, header(tarfile.XHDTYPE, 3 << 30)), "a header of"),
    "a global header of 3 GB": (lambda: zeros(1 << 28, header(tarfile.XGLTYPE, 3 << 30)), "a header of"),
    "a long name of 3 GB": (lambda: zeros(1 << 28, header(tarfile.GNUTYPE_LONGNAME, 3 << 30)), "a header of"),
    "a long link of 3 GB": (lambda: zeros(1 << 28, header(tarfile.GNUTYPE_LONGLINK, 3 << 30)), "a header of"),
    "a header of 8 EB": (lambda: header(tarfile.XHDTYPE, 1 << 63), "a member of"),
    "a negative size": (lambda: header(tarfile.REGTYPE, -1), "a member of"),
    "a pax size of 19 digits": (lambda: pax(size="9" * 19) + FILE, "a member of"),
    "headers without end": (lambda: pax(a="b") * 5000 + FILE, "headers are before"),
    "long names without end": (lambda: long_name(b"n") * 5000 + FILE, "headers are before"),
    "a name of 100 kB": (lambda: long_name(b"n" * 100_000) + FILE, "a name of"),
    "folders without end": (lambda: long_name(b"a/" * 4000) + FILE, "nested"),
    "members without end": (lambda: gzip.compress(header(tarfile.DIRTYPE, 0) * 3001), "more members"),
    "names of 100 MB in all": (lambda: gzip.compress((long_name(b"n" * 8000) + FILE) * 1100), "more members"),
    "a map without end": (
        lambda: zeros(0, header(tarfile.GNUTYPE_SPARSE, 1, more=SPARSE_ON) + (bytes(504) + b"\x01" + bytes(7)) * 100_002),
        "endless map",
    ),
    "zeros": (lambda: zeros(SOME, header(tarfile.REGTYPE, SOME)), "times its size"),
    "zeros behind the end": (lambda: zeros(SOME, FILE + END), "times its size"),
    "bz2 of zeros": (lambda: bz2.compress(header(tarfile.REGTYPE, SOME)) + bz2.compress(bytes(16 * MB)) * 10, "times"),
    "empty gzip members": (lambda: gzip.compress(FILE) + gzip.compress(b"") * 110_000, "compressed streams"),
    "a dictionary of 1.5 GB": (
        lambda: lzma.compress(FILE + END, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1536 * MB}]),
        "of memory",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
@pytest.mark.usefixtures("lower_limits")
def test_archive_bomb_is_refused(what: str) -> None:
    make, why = BOMBS[what]
    walked = walk(make())
    assert walked.refused, walked.why
    assert walked.why.startswith("archive refused: ")
    assert why in walked.why


def test_headers_for_all_members_take_no_memory() -> None:
    """An archive of 0.9 MB with a thousand of them took 980 MB."""

    def pieces() -> Iterator[bytes]:
        for number in range(60):
            yield pax(tarfile.XGLTYPE, **{f"GNU__sparse__{number}": "0" * (MB - 100)}) + FILE
        yield END

    tracemalloc.start()
    try:
        walked = contents.walk(pieces())
        assert len(walked.names) == 60
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()


MEASURE = """
import resource, sys
from pathlib import Path
from tscm_migrate.errors import ArchiveRefused
from tscm_migrate.transfer import verify
resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
try:
    print(verify.look(Path(sys.argv[1]), None))
except ArchiveRefused as error:
    print(error.message())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit needs Linux")
def test_large_header_is_refused_with_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak"
    path.write_bytes(zeros(1 << 30, header(tarfile.XHDTYPE, 3 << 30)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path], capture_output=True, text=True, timeout=120, check=True
    )
    assert "archive refused: " in done.stdout, done


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
@pytest.mark.usefixtures("lower_limits")
def test_compression_ratio_inside_gpg_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    argv = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "p", "-z", "9"]
    with subprocess.Popen([*argv, "-o", str(path), "-c"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as made:
        assert made.stdin is not None
        made.stdin.write(header(tarfile.REGTYPE, SOME))
        for _ in range(10):
            made.stdin.write(bytes(16 * MB))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    assert path.stat().st_size < 4 * MB
    with pytest.raises(ArchiveRefused, match="archive refused: it unpacks to more than 300 times"):
        verify.look(path, Secret("p"))


def valid_archive(form: int) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=form) as tar:
        for name, size in (("etc/a", 0), ("n" * 300, 700), ("ümläut/" + "d" * 90 + "/" + "e" * 150, 1024), ("b", 513)):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(random.Random(size).randbytes(size)))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "l" * 200
        tar.addfile(link)
    return body.getvalue()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("chunk", [1, 511, 1 << 16])
def test_valid_archive_is_read_as_by_tarfile(form: int, pack: Callable[[bytes], bytes], chunk: int) -> None:
    body, seen = valid_archive(form), {}

    def see(name: str, content: Iterator[bytes]) -> None:
        seen[name] = b"".join(content)

    walked = walk(pack(body), chunk, see=see)
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        expected = {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]
        assert walked == contents.Walked("", 4, 2237, tuple(tar.getnames()))
    assert seen == expected
    assert walk(pack(body), chunk) == walked


@pytest.mark.skipif(shutil.which("tar") is None, reason="tar is not installed")
@pytest.mark.parametrize("form", ["gnu", "pax", "oldgnu"])
def test_sparse_file_packed_by_tar_is_listed(tmp_path: Path, form: str) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        for at in range(60):
            file.seek(at * 100_000)
            file.write(b"x" * 10)
        file.truncate(20_000_000)
    (tmp_path / "after").write_text("y")
    made = subprocess.run(
        ["tar", "-S", f"--format={form}", "-C", tmp_path, "-cz", "sparse", "after"], capture_output=True, check=True
    )
    walked = walk(made.stdout)
    assert (walked.why, walked.files, walked.names) == ("", 2, ("sparse", "after"))


@pytest.mark.parametrize(("target", "name"), [("/etc", "d/passwd"), ("../..", "./d/x/passwd"), ("/etc", "d/x")])
def test_member_below_a_link_to_the_outside_is_refused(target: str, name: str) -> None:
    link = tarfile.TarInfo("./d")
    link.type, link.linkname = tarfile.SYMTYPE, target
    head, end = link.tobuf(tarfile.GNU_FORMAT), header(tarfile.REGTYPE, 1, name) + b"x" + bytes(511 + 1024)
    assert walk(head + end).why == f"a name in it leads outside: {name!r}"
    beside = walk(head + header(tarfile.REGTYPE, 0, "dd/passwd") + bytes(1024))
    assert (beside.why, beside.files) == ("", 1), "many backups contain such a link, which alone is accepted"


def test_concatenated_gzip_streams_with_padding_are_one_archive() -> None:
    body = valid_archive(tarfile.PAX_FORMAT)
    assert walk(gzip.compress(body[:700]) + gzip.compress(body[700:]) + bytes(600)).files == 4
    with pytest.raises(contents.BROKEN):
        walk(gzip.compress(body)[:-3])


@pytest.mark.parametrize("size", ["²", "-1", "1e9", " 5", "0x5", "٣", "1" * 400, ""])
def test_size_that_is_not_a_number_is_damage(size: str) -> None:
    with pytest.raises(contents.BROKEN):
        walk(pax(size=size) + FILE + END)


def test_randomly_changed_archive_never_causes_an_internal_error() -> None:
    rng = random.Random(7)
    body, refused = valid_archive(tarfile.PAX_FORMAT), 0
    for _ in range(400):
        changed = bytearray(body)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(changed)) // 512 * 512 + rng.randrange(0, 512)
            changed[min(at, len(changed) - 1)] = rng.randrange(256)
        for start in range(0, len(changed), 512):  # a correct checksum, so that the rest of the header is read
            if rng.random() < 0.5:
                block = changed[start : start + 512]
                block[148:156] = b" " * 8
                changed[start + 148 : start + 155] = b"%06o\0" % (sum(block) % 0o1000000)
        try:
            walk(bytes(changed), 4096)
        except contents.BROKEN:
            refused += 1
    assert 0 < refused < 400, "some archives are read to the end, and some are damaged"


def test_openpgp_message_of_one_byte_pieces_is_refused_early() -> None:
    body = b"\x8c\x04\x04\x00\x08\x00" + b"\xd2" + b"\xe0x" * (4 * MB) + b"\x00"
    file = io.BytesIO(body)
    assert "pieces" in openpgp.walk(file, len(body)).why_not
    assert file.tell() < MB


def test_unpacking_ends_after_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_LONGEST", -1.0)
    assert "takes more than" in walk(valid_archive(tarfile.PAX_FORMAT)).why
