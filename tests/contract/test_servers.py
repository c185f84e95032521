"""The test servers of tests/support/servers.py end with the test run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tscm_migrate.demo.base import free_port

SERVES = """
import sys
from pathlib import Path
from tests.support.servers import running
port = int(sys.argv[2])
argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
with running(argv, Path(sys.argv[1]), port) as server:
    print(server.process.pid, flush=True)
    sys.stdin.read()
"""


def runs(pid: int) -> bool:
    """Return whether a process still runs; False for a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_server_ends_when_its_test_run_is_killed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SERVES, str(tmp_path), str(free_port())]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert runs(pid)
        run.kill()
    end = time.monotonic() + 60
    while runs(pid):
        assert time.monotonic() < end
        time.sleep(0.05)
