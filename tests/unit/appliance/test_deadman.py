"""The timer of an isolated appliance uses the programs that come first in the PATH of its caller."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tscm_migrate.appliance import isolation

SCRIPT = Path(isolation.__file__).with_name("deadman.sh")


@pytest.mark.skipif(os.name == "nt", reason="the timer is a POSIX script")
def test_timer_uses_programs_of_the_embedded_appliance_first(tmp_path: Path) -> None:
    """Otherwise, isolating an embedded appliance would take the workstation off its network."""
    programs, folder = tmp_path / "programs", tmp_path / "folder"
    programs.mkdir()
    folder.mkdir()
    # The stub shows no address, so that the timer does not start; the interface exists on no machine.
    stub = programs / "ip"
    stub.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\n')
    stub.chmod(0o755)
    words = ["sh", str(SCRIPT), str(folder), "nosuchdev0", "192.0.2.99", "169.254.9.9/16", "1"]
    subprocess.run(
        words, env={"PATH": f"{programs}:/usr/bin:/bin"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )  # fmt: skip
    assert "nosuchdev0" in (tmp_path / "called").read_text()
    assert (folder / "state").read_text() != "away\n"
