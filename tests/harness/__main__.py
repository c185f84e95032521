"""`python -m tests.harness up [FOLDER]`: start a namespace lab for manual use; it ends with its shell.

Needs root, or sudo without a password.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Start the lab; on a terminal open a shell on the workstation, otherwise wait for the end of the input."""
    if arguments[:1] != ["up"] or len(arguments) > 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if sys.platform.startswith("linux") and os.geteuid() != 0:
        os.execvp("sudo", ["sudo", "-n", "-E", sys.executable, "-m", "tests.harness", *arguments])  # noqa: S606
    from tests.harness.namespaces import NamespaceLab, available
    from tests.harness.profile import new_profile, old_profile

    if reason := available():
        sys.stderr.write(f"no namespace lab: {reason}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="tscm-lab-") as temporary:
        folder = Path(arguments[1]) if len(arguments) == 2 else Path(temporary)
        with NamespaceLab(folder, old_profile(), new_profile()) as lab:
            ours = {name: value for name, value in lab.env().items() if os.environ.get(name) != value}
            enter = lab.workstation.inside("env", *(f"{name}={value}" for name, value in ours.items()), "bash")
            sys.stdout.write(
                f"tscm-old {lab.old.address} and tscm-new {lab.new.address} are up; logs in {lab.folder}\n"
                f"a shell on the workstation: {shlex.join(enter)}\n"
                f"try there: {shlex.join([sys.executable, '-m', 'tscm_migrate', '--help'])}\n"
            )
            sys.stdout.flush()
            if sys.stdin.isatty():
                subprocess.run(enter, check=False)
            else:
                sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
