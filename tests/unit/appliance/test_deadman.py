"""The timer of an isolated appliance uses the programs that its caller's PATH names first."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tscm_migrate.appliance import isolation

SCRIPT = Path(isolation.__file__).with_name("deadman.sh")


@pytest.mark.skipif(os.name == "nt", reason="the timer is a POSIX script")
def test_the_embedded_appliances_own_programs_come_before_the_machines(tmp_path: Path) -> None:
    """Else an embedded appliance that is isolated would take the workstation itself off its network."""
    programs, folder = tmp_path / "programs", tmp_path / "folder"
    programs.mkdir()
    folder.mkdir()
    # It shows no address, so that the timer cannot be armed; the interface does not exist on any machine.
    stub = programs / "ip"
    stub.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\n')
    stub.chmod(0o755)
    words = ["sh", str(SCRIPT), str(folder), "nosuchdev0", "192.0.2.99", "169.254.9.9/16", "1"]
    subprocess.run(
        words, env={"PATH": f"{programs}:/usr/bin:/bin"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )  # fmt: skip
    assert "nosuchdev0" in (tmp_path / "called").read_text()
    assert (folder / "state").read_text() != "away\n"
