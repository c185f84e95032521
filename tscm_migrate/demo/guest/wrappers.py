"""Writes the small scripts that start the simulated programs, and older archives."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tscm_migrate.demo.guest.handle import Guest
    from tscm_migrate.demo.profile import Profile

RUN = """import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {lib!r})
from tscm_guest.main import main
raise SystemExit(main({config!r}, sys.argv[1], sys.argv[2:]))
"""


def _script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def write(guest: Guest, profile: Profile, python: str) -> None:
    """Write tsadmin, ts-backup, ts-update and the helper for sudo."""
    lib, folder = guest.lib, guest.path("bin")
    run = f"{lib}/run.py"
    guest.host(run).write_text(RUN.format(lib=lib, config=f"{lib}/config.json"), "utf-8")
    call = f"{shlex.quote(python)} -I -S {shlex.quote(run)}"
    for program in ("tsadmin", "ts-backup"):
        _script(folder / program, f'#!/bin/sh\nexec {call} {program} "$@"\n')
    for program in ("apt-get",) if profile.os_id in ("ubuntu", "debian") else ("dnf", "yum"):
        _script(folder / program, f'#!/bin/sh\nexec {call} {program} "$@"\n')
    _script(guest.host(f"{lib}/as-root"), f'#!/bin/sh\nTSCM_LAB_ROOT=1 exec {call} "$@"\n')
    _script(folder / "ts-update", _ts_update(profile.ts_update_style, python, run, call))


def _ts_update(style: str, python: str, run: str, call: str) -> str:
    """Return a script that stays in the process list under its own path while it works."""
    perl = shutil.which("perl")
    if style == "perl" and perl:
        return f"#!{perl}\nexit(system({python!r}, '-I', '-S', {run!r}, 'ts-update-work', @ARGV) >> 8);\n"
    if style == "python":
        command = f"[{python!r}, '-I', '-S', {run!r}, 'ts-update-work', *sys.argv[1:]]"
        return f"#!{python} -IS\nimport subprocess, sys\nraise SystemExit(subprocess.call({command}))\n"
    return f'#!/bin/sh\n# ThreatSTOP updates\n{call} ts-update-work "$@"\nexit $?\n'


def plain_archive(path: Path, profile: Profile, taken: datetime) -> None:
    """Write an older archive without devices, for a list with several archives."""
    network = {"interface": profile.interface, "address": profile.address, "prefix": profile.prefix}
    manifest = {"format": 1, "hostname": profile.hostname, "created": taken.isoformat(), "network": network}
    data = json.dumps(manifest).encode()
    with tarfile.open(path, "w:gz") as tar:
        head = tarfile.TarInfo("manifest.json")
        head.size, head.mtime = len(data), int(taken.timestamp())
        tar.addfile(head, io.BytesIO(data))
