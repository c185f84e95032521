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

# paramiko's rekey threshold in bytes
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
def test_a_stream_of_any_size_is_read_completely(shell: Shell, size: int) -> None:
    size_read, _ = _read_all(shell, f"head -c {size} /dev/zero")
    assert size_read == size


@pytest.mark.slow
@pytest.mark.parametrize("size", [_REKEY - 1, _REKEY, _REKEY + 1])
def test_sizes_around_the_rekey_threshold_are_transferred_unchanged(shell: Shell, size: int) -> None:
    source = f"openssl enc -aes-128-ctr -nosalt -K {'0' * 31}7 -iv {'0' * 32} </dev/zero 2>/dev/null | head -c {size}"
    digest = shell.run(f"{source} | sha256sum", timeout=60).stdout.split()[0]
    assert _read_all(shell, source) == (size, digest)
    with shell.writer("sha256sum") as writer, shell.reader(source) as reader:
        for chunk in reader:
            writer.write(chunk)
        assert writer.finish().stdout.split()[0] == digest


@pytest.mark.slow
def test_a_rekey_by_the_server_does_not_interrupt_a_stream(tmp_path: Path, open_shell: Callable[..., Shell]) -> None:
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
        size_read = len(reader.read(1))
        most, deadline = 0, time.monotonic() + 3
        while (time.monotonic() < deadline and len(reader.channel.in_buffer) != most) or not most:
            most = max(most, len(reader.channel.in_buffer))
            time.sleep(0.2)
        assert most <= WINDOW + PACKET
        size_read += sum(map(len, reader))
        reader.finish()
    assert size_read == size


def test_written_bytes_arrive_unchanged(shell: Shell) -> None:
    data = bytes(range(256)) * 12_345
    with shell.writer("sha256sum") as writer:
        writer.write(data)
        assert writer.finish().stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_login_output_is_not_part_of_a_stream(open_shell: Callable[..., Shell], noisy: Sshd) -> None:
    shell = open_shell(noisy.host())
    with shell.reader("head -c 3000000 /dev/zero; echo end >&2") as reader:
        assert b"".join(reader) == bytes(3_000_000)
        assert reader.finish().stderr == "end\n"
    with shell.writer("wc -c") as writer:
        writer.write(bytes(70_000))
        assert writer.finish().stdout.split() == ["70000"]


def test_a_failed_reader_raises_its_error_after_the_data(shell: Shell) -> None:
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


def test_a_writer_reports_the_error_of_a_command_that_ends_early(shell: Shell) -> None:
    with (
        shell.writer("head -c 10 >/dev/null; echo disk full >&2; exit 28") as writer,
        pytest.raises(CommandFailed, match="disk full") as caught,
    ):
        _pour(writer, 1000)
    assert caught.value.status == 28


def test_a_writer_with_much_output_does_not_deadlock(shell: Shell) -> None:
    with shell.writer("head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2; wc -c >&2") as writer:
        for _ in range(20):
            writer.write(bytes(1 << 20))
        assert writer.finish().stderr.strip("\0\n ") == str(20 << 20)


def test_a_reader_with_much_on_standard_error_does_not_deadlock(shell: Shell) -> None:
    with shell.reader("head -c 9000000 /dev/zero >&2; echo end") as reader:
        assert b"".join(reader) == b"end\n"
        assert reader.finish().status == 0


def test_a_silent_reader_times_out(shell: Shell) -> None:
    with shell.reader("echo a; exec sleep 30", idle=1.0) as reader:
        assert reader.read() == b"a\n"
        with pytest.raises(CommandTimeout, match="sent nothing"):
            reader.read()


def test_a_blocked_writer_times_out(shell: Shell) -> None:
    with shell.writer("exec sleep 30", idle=1.0) as writer, pytest.raises(CommandTimeout, match="took nothing"):
        _pour(writer, 64)


def test_a_cut_stream_raises_connection_lost(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    script = f"head -c 5000000 /dev/zero; sleep 0.2; kill -9 {SESSION}; sleep 20"
    with shell.reader(script) as reader, pytest.raises(ConnectionLost):
        b"".join(reader)
    assert not shell.alive


def test_a_cut_command_raises_connection_lost(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    with pytest.raises(ConnectionLost):
        shell.run(f"kill -9 {SESSION}; sleep 20")
    with pytest.raises(ConnectionLost):
        shell.run("echo again")


def test_a_cut_writer_raises_connection_lost(open_shell: Callable[..., Shell], sshd: Sshd) -> None:
    shell = open_shell(sshd.host())
    script = f"head -c 3000000 >/dev/null; kill -9 {SESSION}; sleep 20"
    with shell.writer(script) as writer, pytest.raises(ConnectionLost):
        _pour(writer, 1000)


@pytest.mark.parametrize("case", ["read to its end", "in the middle", "written"])
def test_a_connection_lost_while_sftp_closes_a_file_hides_no_result(
    case: str, sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    """Closing a file is a request to the server: without an answer, complete data or an earlier error still counts."""
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
        if case == "read to its end":
            with sftp.reading(client, str(file), 0, "box") as blocks:
                assert len(b"".join(blocks)) == 300_000
                stop_answering()
        else:
            opened = sftp.writing if case == "written" else sftp.reading
            with pytest.raises(LookupError), opened(client, str(file), 0, "box"):
                raise stop_answering()
    death.join()
    with pytest.raises(ConnectionLost):
        shell.run("true")
