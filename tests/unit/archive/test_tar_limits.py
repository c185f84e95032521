"""What is the longest that is read of a tar, what is the first that is refused, and where a tar is damaged."""

from __future__ import annotations

import tarfile

import pytest

from tests.unit.archive.test_contents import END, FILE, SPARSE_ON, header, long_name, pax, walk
from tscm_migrate.archive import contents


def padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % 512)


def comment(size: int) -> bytes:
    """Return a pax header of exactly `size` bytes."""
    record = f"{size} comment="
    body = record.encode() + b"x" * (size - len(record) - 1) + b"\n"
    return header(tarfile.XHDTYPE, size) + padded(body)


def link(kind: bytes, name: str, target: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("accepted", "refused", "why"),
    [
        (long_name(b"n" * 8192), long_name(b"n" * 8193), "a name of 8193"),
        (pax(linkpath="n" * 8192), pax(linkpath="n" * 8193), "a name of 8193"),
        (long_name(b"a/" * 100 + b"a"), long_name(b"a/" * 101 + b"a"), "nested 101"),
        (pax(a="b") * 16, pax(a="b") * 17, "more than 16"),
        (comment(1 << 20), comment((1 << 20) + 1), "a header of 1048577"),
    ],
)
def test_limit_of_a_header(accepted: bytes, refused: bytes, why: str) -> None:
    assert walk(accepted + FILE + END).why == ""
    found = walk(refused + FILE + END)
    assert why in found.why
    assert found.refused


def test_extended_headers_are_counted_for_each_member_and_used_once() -> None:
    found = walk((pax(a="b") * 9 + FILE) * 2 + pax(path="other") + FILE + FILE + END)
    assert (found.why, found.names) == ("", ("x", "x", "other", "x"))


def test_number_and_names_of_members_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MEMBERS", 3)
    assert walk(FILE * 3 + END).files == 3
    assert walk(FILE * 4 + END).refused
    monkeypatch.setattr(contents, "_NAMES", 2)
    assert walk(FILE * 2 + END).files == 2
    assert walk(FILE * 3 + END).refused


def test_size_of_a_member_is_limited() -> None:
    limit = contents.LARGEST
    with pytest.raises(EOFError):
        walk(header(tarfile.REGTYPE, limit))
    with pytest.raises(EOFError):
        walk(pax(size=str(limit)) + FILE)
    assert f"a member of {limit + 1} bytes" in walk(pax(size=str(limit + 1)) + FILE).why
    assert walk(header(tarfile.REGTYPE, limit + 1)).refused


@pytest.mark.parametrize("size", ["0" * 18 + "1", "1"])
def test_size_of_at_most_nineteen_digits_is_a_number(size: str) -> None:
    assert walk(pax(size=size) + FILE + END).size == 1
    with pytest.raises(contents.BROKEN):
        walk(pax(size="0" * 20 + "1") + FILE + END)
    with pytest.raises(contents.BROKEN):
        walk(pax(size="0" * 19 + "1") + FILE + END)


@pytest.mark.parametrize("body", [b"5 a=\n", b"11 a=12345\n5 =\n"[:11]])
def test_shortest_records_are_read(body: bytes) -> None:
    assert walk(header(tarfile.XHDTYPE, len(body)) + padded(body) + FILE + END).files == 1


@pytest.mark.parametrize(
    "body", [b"4 =\n", b"6 a=\n", b"5 a=x", b"5 abc\n"[:5], b"a=\n", b"99 a=b\n", b"0000000000006 a=\n"]
)
def test_record_that_does_not_fit_its_length_is_damage(body: bytes) -> None:
    with pytest.raises(contents.BROKEN):
        walk(header(tarfile.XHDTYPE, len(body)) + padded(body) + FILE + END)


def test_records_follow_each_other_by_their_lengths() -> None:
    body = b"11 a=12345\n12 path=abc\n"
    found = walk(header(tarfile.XHDTYPE, len(body)) + padded(body) + FILE + END)
    assert found.names == ("abc",)


def test_map_of_a_sparse_file_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_EXTENSIONS", 3)
    more, last = bytes(504) + b"\x01" + bytes(7), bytes(512)
    sparse = header(tarfile.GNUTYPE_SPARSE, 1, more=SPARSE_ON)
    content = b"x" + bytes(511)
    assert walk(sparse + more * 2 + last + content + FILE + END).files == 2
    assert walk(sparse + more * 3 + last + content + END).refused
    with pytest.raises(EOFError):
        walk(sparse + more)
    plain = header(tarfile.GNUTYPE_SPARSE, 1)
    assert walk(plain + content + FILE + END).names == ("x", "x")


def test_sparse_files_are_counted_and_their_contents_are_not_passed_on() -> None:
    seen: list[str] = []
    body = header(tarfile.GNUTYPE_SPARSE, 1) + b"x" + bytes(511) + pax(GNU__sparse__major="1") + FILE + FILE + END
    found = walk(body, see=lambda name, content: seen.append(f"{name} {b''.join(content)!r}"))
    assert (found.why, found.files, seen) == ("", 3, ["x b'x'"])


@pytest.mark.parametrize("body", [FILE[:-1], FILE[:513], FILE[:512], FILE + FILE[:100], pax(a="b")[:600]])
def test_tar_that_ends_inside_a_member_is_damage(body: bytes) -> None:
    with pytest.raises(EOFError):
        walk(body)


def test_member_of_an_unknown_kind_has_content_and_a_link_has_none() -> None:
    unknown = header(b"Z", 1, "unknown") + b"x" + bytes(511)
    assert walk(unknown + FILE + END).names == ("unknown", "x")
    hard = bytearray(link(tarfile.LNKTYPE, "hard", "x"))
    assert walk(FILE + bytes(hard) + FILE + END).names == ("x", "hard", "x")
    assert walk(FILE + header(tarfile.DIRTYPE, 512, "folder") + FILE + END).names == ("x", "folder", "x")


OUTSIDE = [
    header(tarfile.REGTYPE, 1, "/etc/x") + b"x" + bytes(511),
    header(tarfile.REGTYPE, 1, "a/../../x") + b"x" + bytes(511),
    header(tarfile.DIRTYPE, 0, "../folder"),
    header(tarfile.CHRTYPE, 0, "console"),
    header(tarfile.BLKTYPE, 0, "disk"),
    header(tarfile.FIFOTYPE, 0, "pipe"),
    link(tarfile.LNKTYPE, "hard", "/etc/shadow"),
    link(tarfile.LNKTYPE, "hard", "../shadow"),
]


@pytest.mark.parametrize("member", OUTSIDE)
def test_member_that_leads_outside_is_named_and_ends_the_reading_of_contents(member: bytes) -> None:
    seen: list[str] = []
    name = tarfile.TarInfo.frombuf(member[:512], "utf-8", "strict").name
    found = walk(FILE + member + FILE + END, see=lambda name, _: seen.append(name))
    assert found.why == f"a name in it leads outside: {name!r}"
    assert not found.refused
    assert seen == ["x"]


def test_members_that_stay_inside_are_accepted() -> None:
    inside = [
        header(tarfile.DIRTYPE, 0, "/"),
        header(tarfile.DIRTYPE, 0, "/etc"),
        header(tarfile.REGTYPE, 0, "a/b..c"),
        link(tarfile.SYMTYPE, "soft", "/etc"),
        link(tarfile.LNKTYPE, "hard", "x"),
        link(tarfile.SYMTYPE, "inside", "x"),
        header(tarfile.REGTYPE, 0, "inside/file"),
    ]
    assert walk(FILE + b"".join(inside) + END).why == ""


def test_first_name_that_leads_outside_is_shown_with_at_most_100_characters() -> None:
    found = walk(long_name(b"/" + b"n" * 150) + FILE + OUTSIDE[0] + END)
    assert found.why == f"a name in it leads outside: {'/' + 'n' * 99!r}"


def test_tar_without_a_file_is_named() -> None:
    assert walk(header(tarfile.DIRTYPE, 0, "folder") + END) == contents.Walked(
        "there is no file in it", 0, 0, ("folder",)
    )
    assert contents.Walked() == contents.Walked("", 0, 0, (), refused=False)
