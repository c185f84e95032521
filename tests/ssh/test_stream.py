from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd
from tests.support.servers import SESSION
from tscm_migrate.errors import CommandFailed, CommandTimeout, ConnectionLost
from tscm_migrate.ssh import sftp
from tscm_migrate.ssh.stream import PACKET, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell
    from tscm_migrate.ssh.stream import StreamWriter

# what crosses paramiko's own rekey threshold, and its neighbours
_REKEY = 1 << 29


def _read_all(shell: Shell, script: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with shell.reader(script) as reader:
        for chunk in reader:
            digest.update(chunk)
            size += len(chunk)
        reader.finish()
    return size, digest.hexdigest()


@pytest.mark.parametrize("size", [0, 1, 32767, 32768, 1 << 20, 70_000_001])
def test_what_is_read_is_what_was_sent(shell: Shell, size: int) -> None:
    got, _ = _read_all(shell, f"head -c {size} /dev/zero")
    assert got == size


@pytest.mark.slow
@pytest.mark.parametrize("size", [_REKEY - 1, _REKEY, _REKEY + 1])
def test_sizes_around_the_rekey_threshold_pass_both_ways(shell: Shell, size: int) -> None:
    source = f"openssl enc -aes-128-ctr -nosalt -K {'0' * 31}7 -iv {'0' * 32} </dev/zero 2>/dev/null | head -c {size}"
    digest = shell.run(f"{source} | sha256sum", timeout=60).stdout.split()[0]
    assert _read_all(shell, source) == (size, digest)
    with shell.writer("sha256sum") as writer, shell.reader(source) as reader:
        for chunk in reader:
            writer.write(chunk)
        assert writer.finish().stdout.split()[0] == digest


@pytest.mark.slow
def test_a_server_that_rekeys_by_itself_does_not_disturb(tmp_path: Path, open_shell: Callable[..., Shell]) -> None:
    with Sshd(tmp_path / "s", options=["RekeyLimit 64M"]) as server:
        shell = open_shell(server.host())
        assert _read_all(shell, f"head -c {300 << 20} /dev/zero")[0] == 300 << 20
        with shell.writer("wc -c") as writer:
            for _ in range(300):
                writer.write(bytes(1 << 20))
            assert int(writer.finish().stdout) == 300 << 20


def test_a_slow_consumer_does_not_fill_the_memory(shell: Shell) -> None:
    size = 400 << 20
    with shell.reader(f"head -c {size} /dev/zero", display="zeros") as reader:
        got = len(reader.read(1))
        most, deadline = 0, time.monotonic() + 3
        while (time.monotonic() < deadline and len(reader.channel.in_buffer) != most) or not most:
            most = max(most, len(reader.channel.in_buffer))
            time.sleep(0.2)
        assert most <= WINDOW + PACKET
        got += sum(map(len, reader))
        reader.finish()
    assert got == size


def test_binary_survives_the_way_up(shell: Shell) -> None:
    data = bytes(range(256)) * 12_345
    with shell.writer("sha256sum") as writer:
        writer.write(data)
        assert writer.finish().stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_what_a_login_prints_gets_into_no_stream(open_shell: Callable[..., Shell], noisy: Sshd) -> None:
    shell = open_shell(noisy.host())
    with shell.reader("head -c 3000000 /dev/zero; echo end >&2") as reader:
        assert b"".join(reader) == bytes(3_000_000)
        assert reader.finish().stderr == "end\n"
    with shell.writer("wc -c") as writer:
        writer.write(bytes(70_000))
        assert writer.finish().stdout.split() == ["70000"]


def test_a_failing_reader_says_why_after_its_bytes(shell: Shell) -> None:
    with shell.reader("echo part; echo no space >&2; exit 9") as reader:
        assert reader.read() == b"part\n"
        assert reader.read() == b""
        with pytest.raises(CommandFailed, match="no space") as caught:
            reader.finish()
    assert caught.value.status == 9


def _pour(writer: StreamWriter, mebibytes: int) -> None:
    for _ in range(mebibytes):
        writer.write(bytes(1 << 20))
    writer.finish()


def test_a_writer_whose_command_dies_early_says_why(shell: Shell) -> None:
    with (
        shell.writer("head -c 10 >/dev/null; echo disk full >&2; exit 28") as writer,
        pytest.raises(CommandFailed, match="disk full") as caught,
    ):
        _pour(writer, 1000)
    assert caught.value.status == 28


def test_a_writer_whose_command_floods_does_not_deadlock(shell: Shell) -> None:
    with shell.writer("head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2; wc -c >&2") as writer:
        for _ in range(20):
            writer.write(bytes(1 << 20))
        assert writer.finish().stderr.strip("\0\n ") == str(20 << 20)


def test_a_reader_with_much_on_standard_error_does_not_deadlock(shell: Shell) -> None:
    with shell.reader("head -c 9000000 /dev/zero >&2; echo end") as reader:
        assert b"".join(reader) == b"end\n"
        assert reader.finish().status == 0


def test_a_silent_reader_is_given_up(shell: Shell) -> None:
    with shell.reader("echo a; exec sleep 30", idle=1.0) as reader:
        assert reader.read() == b"a\n"
        with pytest.raises(CommandTimeout, match="sent nothing"):
            reader.read()


def test_a_writer_that_takes_nothing_is_given_up(shell: Shell) -> None:
    with shell.writer("exec sleep 30", idle=1.0) as writer, pytest.raises(CommandTimeout, match="took nothing"):
        _pour(writer, 64)


def test_a_cut_stream_never_looks_like_its_end(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    script = f"head -c 5000000 /dev/zero; sleep 0.2; kill -9 {SESSION}; sleep 20"
    with shell.reader(script) as reader, pytest.raises(ConnectionLost):
        b"".join(reader)
    assert not shell.alive


def test_a_cut_command_is_a_lost_connection(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    with pytest.raises(ConnectionLost):
        shell.run(f"kill -9 {SESSION}; sleep 20")
    with pytest.raises(ConnectionLost):
        shell.run("echo again")


def test_a_writer_whose_connection_is_cut_says_so(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    script = f"head -c 3000000 >/dev/null; kill -9 {SESSION}; sleep 20"
    with shell.writer(script) as writer, pytest.raises(ConnectionLost):
        _pour(writer, 1000)


@pytest.mark.parametrize("way", ["read to its end", "in the middle", "written"])
def test_a_connection_that_dies_while_a_file_is_closed_by_sftp_hides_nothing(
    way: str, sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    """To close a file is a question to the server, too; who has all bytes, or a better error, does not need its answer."""
    file = tmp_path / "file"
    file.write_bytes(bytes(300_000))
    shell = open_shell(sshd.host())
    server = int(shell.run(f"echo {SESSION}").stdout)
    death = threading.Timer(0.5, os.kill, (server, signal.SIGKILL))

    def stop_answering() -> LookupError:
        os.kill(server, signal.SIGSTOP)
        death.start()
        return LookupError()

    with contextlib.closing(shell.sftp()) as client:
        if way == "read to its end":
            with sftp.reading(client, str(file), 0, "box") as blocks:
                assert len(b"".join(blocks)) == 300_000
                stop_answering()
        else:
            opened = sftp.writing if way == "written" else sftp.reading
            with pytest.raises(LookupError), opened(client, str(file), 0, "box"):
                raise stop_answering()
    death.join()
    with pytest.raises(ConnectionLost):
        shell.run("true")
