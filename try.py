#!/usr/bin/env python3
"""Install a checkout and run it; needs only Python 3.11 or later.

python3 try.py demo     install into .venv, and run a complete migration between two simulated appliances;
                        with --interactive, keep both up in a shell in which you try the commands yourself
python3 try.py test     install into .venv the packages of requirements/dev.txt (and, as root on Debian or Ubuntu, the
                        packages that the namespace lab needs), and run all the tests; further arguments go to pytest
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("TSCM_VENV", ROOT / ".venv"))
LOCKED = (3, 14)  # the newest Python that requirements/dev.txt is known to fit
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# Debian packages that the namespace lab needs, each with a program or file that shows whether it is installed. The
# tests use fish and groff for the completion and the manual page, dropbear and busybox for another kind of appliance,
# and the Perl modules for questions like those of the vendor's program.
DEBIAN = {
    "openssh-server": "/usr/sbin/sshd",
    "openssh-client": "ssh",
    "cron": "/usr/sbin/cron",
    "sudo": "sudo",
    "rsync": "rsync",
    "gnupg": "gpg",
    "iproute2": "ip",
    "iputils-ping": "ping",
    "iputils-arping": "arping",
    "procps": "pgrep",
    "util-linux": "unshare",
    "mount": "mount",
    "zsh": "zsh",
    "fish": "fish",
    "groff-base": "groff",
    "dropbear-bin": "/usr/sbin/dropbear",
    "busybox": "busybox",
    "libterm-prompt-perl": "/var/lib/dpkg/info/libterm-prompt-perl.list",
    "libterm-readkey-perl": "/var/lib/dpkg/info/libterm-readkey-perl.list",
}


def main(argv: list[str]) -> int:
    """Run the command that the first argument names: demo or test."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the one place that an older Python may reach
        return complain("this needs Python 3.11 or later; this one is " + sys.version.split()[0])
    what = argv[0] if argv else ""
    if what not in {"demo", "test"}:
        print(__doc__)
        return 0 if what in {"", "-h", "--help"} else 2
    if what == "test":
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each worker would compile all tests again
        debian_packages()
    install(development=what == "test")
    if what == "demo":
        return run([PYTHON, "-m", "tscm_migrate", "demo", *argv[1:]])
    say("the tests begin")
    parallel = ["-n", str(workers()), "--dist", "worksteal"]
    return run([PYTHON, "-m", "pytest", *parallel, "--durations=25", *argv[1:]])


def workers() -> int:
    """Return how many tests run at once: three for each core, twelve at most, since most wait for appliances."""
    return min(3 * (os.cpu_count() or 1), 12)


def install(*, development: bool) -> None:
    """Make the virtual environment if it is missing, and install the project into it."""
    say(f"installing into {VENV}")
    if not PYTHON.exists():
        if importlib.util.find_spec("ensurepip") is None:
            sys.exit(complain("Python's venv module is not complete here: apt-get install python3-venv"))
        must([sys.executable, "-m", "venv", VENV])
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    if not development:  # a user is waiting: show pip's progress, and leave compiling to the first import
        must([*(part for part in pip if part != "-q"), "--no-compile", "-e", ".[lab]"])
    elif sys.version_info[:2] <= LOCKED:
        install_locked(pip, ROOT / "requirements/dev.txt")
        must([*pip, "--no-deps", "--no-build-isolation", "-e", "."])  # the lock has hatchling
        must([PYTHON, "-m", "pip", "check"])  # nothing else checks whether the lock is complete
    else:
        say(f"requirements/dev.txt is known to fit Python {LOCKED[0]}.{LOCKED[1]} and earlier: taking newest versions")
        must([*pip, "--upgrade", "pip>=25.1"])  # the first version with dependency groups
        must([*pip, "-e", ".", "--group", "dev"])


def install_locked(pip: list[str | Path], lock: Path) -> None:
    """Install the packages of the lock without resolving: pip before 24 would take newer ones (pypa/pip issue 9644)."""
    must([*pip, "--no-deps", "--require-hashes", "-r", lock])


def debian_packages() -> None:
    """Install the Debian packages that the namespace lab needs, or print which ones are missing and what is skipped."""
    if not sys.platform.startswith("linux"):
        say("not Linux: the tests of the namespace lab are skipped")
        return
    wanted = DEBIAN | ({"chromium": "chromium"} if is_debian() else {})
    missing = [package for package, proof in wanted.items() if not present(proof)]
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not missing:
        return
    if not (Path("/etc/debian_version").exists() and shutil.which("apt-get") and os.geteuid() == 0):
        say(f"missing: {' '.join(missing)}; not installed, since this is not root on Debian or Ubuntu")
        say("tests that need them are skipped, with the reason")
        return
    say(f"installing Debian packages: {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:  # the lab starts its own sshd and cron; the machine's own services stay as they are
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        must(["apt-get", "-q", "update"], environment)
        must(["apt-get", "-q", "-y", "--no-install-recommends", "install", *missing], environment)
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def is_debian() -> bool:
    """Return whether this is Debian itself: Ubuntu has chromium as a snap only, so its test is skipped there."""
    release = Path("/etc/os-release")
    return release.is_file() and "ID=debian" in release.read_text(encoding="utf-8").splitlines()


def present(proof: str) -> bool:
    """Return whether a file (an absolute path) or a program (a name) is there."""
    return Path(proof).is_file() if proof.startswith("/") else shutil.which(proof, path=search_path()) is not None


def search_path() -> str:
    """Return PATH with the system's folders, which a user's PATH may lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def run(command: list[str | Path], environment: dict[str, str] | None = None) -> int:
    """Run a command in the checkout, and return its exit status."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, check=False).returncode


def must(command: list[str | Path], environment: dict[str, str] | None = None) -> None:
    """Run a command in the checkout, and exit if it fails."""
    status = run(command, environment)
    if status:
        sys.exit(complain(f"failed with {status}: {' '.join(map(str, command))}"))


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"try.py: {text}", flush=True)


def complain(text: str) -> int:
    """Print an error, and return the exit status 1."""
    print(f"try.py: {text}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
