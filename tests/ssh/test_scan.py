from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd
from tscm_migrate.demo.base import free_port
from tscm_migrate.errors import Unreachable
from tscm_migrate.ssh import known_hosts, pinning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell


def test_a_scan_finds_all_host_keys(sshd: Sshd) -> None:
    keys = pinning.scan("127.0.0.1", sshd.port, 5)
    known = {entry.type: entry.blob for entry in known_hosts.load(sshd.known_hosts).entries}
    assert {kind: key.asbytes() for kind, key in keys.items()} == known


def test_a_scan_goes_through_a_gateway(shell: Shell, tmp_path: Path) -> None:
    with Sshd(tmp_path / "inner") as inner:
        assert len(pinning.scan("127.0.0.1", inner.port, 5, via=shell)) == 3


def test_a_scan_of_a_closed_port_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        pinning.scan("127.0.0.1", free_port(), 2)


def test_a_scan_of_a_silent_listener_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unreachable):
        pinning.scan("127.0.0.1", listener.getsockname()[1], 1)


def test_scanned_keys_can_be_pinned_and_used(sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    for key in pinning.scan("127.0.0.1", sshd.port, 5).values():
        known_hosts.pin(known, [sshd.name], key)
    assert open_shell(sshd.host(known_hosts=known)).run("echo in").stdout == "in\n"
