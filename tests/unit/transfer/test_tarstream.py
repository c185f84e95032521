"""Only the requested files are unpacked from the tar stream of a hostile appliance."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tscm_migrate.errors import TransferError
from tscm_migrate.model import Archive
from tscm_migrate.transfer.methods import tar as tarstream

NAME = "threatstop_backup_2024-05-01_03_00_00.tsbak"
ARCHIVE = Archive(NAME, "/b", 5)


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for info, data in members:
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str = NAME, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def read(stream: bytes, *archives: Archive, step: int = 700) -> list[bytes]:
    chunks = (stream[start : start + step] for start in range(0, len(stream), step))
    unpacker = tarstream.Unpacker(chunks, "old")
    found = [b"".join(unpacker.expect(archive)) for archive in archives]
    unpacker.end()
    return found


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(1, 5000))
def test_requested_files_are_unpacked_with_any_size_of_chunks(contents: list[bytes], step: int) -> None:
    names = [f"threatstop_backup_2024-05-01_03_00_0{n}.tsbak" for n in range(len(contents))]
    stream = tar(*((member(name), data) for name, data in zip(names, contents, strict=True)))
    wanted = [Archive(name, "/b", len(data)) for name, data in zip(names, contents, strict=True)]
    assert read(stream, *wanted, step=step) == contents


@pytest.mark.parametrize(
    "hostile",
    [
        member("../" + NAME), member("/etc/cron.d/evil"), member("x" * 250), member("a\nb"), member("-rf"),
        member(kind=tarfile.SYMTYPE, link="/etc/shadow"), member(kind=tarfile.LNKTYPE, link="/etc/shadow"),
        member(kind=tarfile.CHRTYPE), member(kind=tarfile.BLKTYPE), member(kind=tarfile.FIFOTYPE),
        member(kind=tarfile.DIRTYPE), member("threatstop_latest.tsbak"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_member_with_another_name_or_type_is_refused(hostile: tarfile.TarInfo, form: int) -> None:
    try:
        stream = tar((hostile, b"hello" if hostile.isreg() else b""), form=form)
    except ValueError:
        pytest.skip("this format cannot hold that name")
    with pytest.raises(TransferError, match="refused"):
        read(stream, ARCHIVE)


@pytest.mark.parametrize("data", [b"hell", b"hello!"])
def test_member_with_another_size_is_refused(data: bytes) -> None:
    with pytest.raises(TransferError, match="and had 5 before"):
        read(tar((member(), data)), ARCHIVE)


@pytest.mark.parametrize("length", [0, 3, 512, 514])
def test_truncated_stream_is_an_error(length: int) -> None:
    with pytest.raises(TransferError, match="ends early"):
        read(tar((member(), b"hello"))[:length], ARCHIVE)


def test_member_that_was_not_requested_is_refused() -> None:
    with pytest.raises(TransferError, match="more than was requested"):
        read(tar((member(), b"hello"), (member("etc/passwd"), b"x")), ARCHIVE)


def test_written_header_is_valid_tar() -> None:
    stream = tarstream.header(f".{NAME}.part", 5) + b"hello" + tarstream.padding(5) + tarstream.END
    with tarfile.open(fileobj=io.BytesIO(stream)) as found:
        (info,) = found.getmembers()
        assert (info.name, info.size, info.mode, info.type) == (f".{NAME}.part", 5, 0o600, tarfile.REGTYPE)
