"""The authentication service is requested only once: a strict server disconnects at the second request."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncssh
import pytest

from tests.harness import marks
from tests.harness.sshd import make_key
from tscm_migrate.errors import AuthFailed
from tscm_migrate.model import Host
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[Host, Path]]:
    """An asyncssh server, which accepts one service request; it accepts the key `good`."""
    good, own = make_key(tmp_path / "good"), make_key(tmp_path / "own")
    (tmp_path / "allowed").write_text(good.with_name("good.pub").read_text())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(marks.begin(process.command) + b"x" * 100_000 + marks.end(process.command))
        process.exit(0)  # closes the channel without an EOF

    async def serve() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(own)],
            authorized_client_keys=str(tmp_path / "allowed"),
            process_factory=answer,
            encoding=None,
        )

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    port = server.get_port()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {' '.join(own.with_name('own.pub').read_text().split()[:2])}\n")
    yield Host("strict", "127.0.0.1", user="u", port=port, use_agent=False, known_hosts=known), good
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)


def test_a_key_is_accepted_after_the_query_for_methods(strict: tuple[Host, Path]) -> None:
    host, good = strict
    with connect(replace(host, identity_file=good), credentials=NoSecrets()) as shell:
        assert shell.alive


def test_a_refused_key_is_not_reported_as_a_lost_connection(strict: tuple[Host, Path], tmp_path: Path) -> None:
    host, _ = strict
    with pytest.raises(AuthFailed) as caught:
        connect(replace(host, identity_file=make_key(tmp_path / "bad")), credentials=NoSecrets())
    assert "hung up" not in caught.value.message()
    assert "tried: key bad" in caught.value.message()


def test_a_stream_ends_with_a_status_without_eof(strict: tuple[Host, Path]) -> None:
    host, good = strict
    with connect(replace(host, identity_file=good), credentials=NoSecrets()) as shell, shell.reader("any") as stream:
        assert sum(len(chunk) for chunk in stream) == 100_000
        assert stream.finish(10).status == 0
