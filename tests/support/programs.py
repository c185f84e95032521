"""Install other simulated tsadmin programs, with their own questions, on the hosts of a namespace lab."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.harness.namespaces import NamespaceLab

PROGRAMS = Path(__file__).parent.parent / "lab" / "programs"


def install_program(lab: NamespaceLab, program: str, *, sudo_password: bool = False, **settings: str) -> None:
    """Replace the simulated TSCM on both appliances of a running lab by another program.

    Args:
        lab: a running lab.
        program: a folder of `tests/lab/programs`.
        sudo_password: sudo asks for the password of the lab's profile.
        settings: written to /etc/program, which the program reads.
    """
    for name in ("old", "new"):
        root = lab.root_of(name)
        lab.on(
            name,
            "rm -rf /opt/threatstop/* /etc/cron.d/* /usr/local/lib/tscm-lab /home/threatstop/threatstop_* "
            "/var/log/threatstop/*; mkdir -p /usr/local/lib/program /opt/threatstop/backup /opt/threatstop/etc",
        )
        helper = root / "usr/local/lib/program/root"
        helper.write_text('#!/bin/sh\nexec "$@"\n')
        helper.chmod(0o755)
        lines = "".join(f"{key}='{value}'\n" for key, value in settings.items())
        (root / "etc/program").write_text(lines)
        for file in (PROGRAMS / program).iterdir():
            place = root / ("tmp-setup" if file.name == "setup" else f"usr/local/bin/{file.name}")
            place.unlink(missing_ok=True)
            shutil.copyfile(file, place)
            place.chmod(0o755)
        (root / "usr/local/bin/ts-backup").write_text('#!/bin/sh\nexec tsadmin backup "$@"\n')
        rules = "threatstop ALL=(ALL:ALL) " + ("ALL\n" if sudo_password else "NOPASSWD: ALL\n")
        rules += "threatstop ALL=(root) NOPASSWD: /usr/local/lib/program/root\n"
        sudoers = root / "etc/sudoers.d/threatstop"
        sudoers.unlink()
        sudoers.write_text(rules)
        sudoers.chmod(0o440)
        done = lab.on(name, f"sh /tmp-setup {name}; s=$?; rm /tmp-setup; chown -R threatstop: /opt/threatstop; exit $s")
        assert done.returncode == 0, done.stderr
