"""Try a scheduled command in the scheduler's environment, and find the variables that it lacks there.

A scheduler gives a command little of what a login shell has: no AWS_* variables, no ssh agent, no GNUPGHOME. What works
when it is typed may fail every night.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tscm_migrate.errors import OffsiteError, ScheduleTestFailed
from tscm_migrate.util.redact import outside

_SECONDS = 900.0
_OURS = re.compile(
    r"(AWS|AZURE|GOOGLE|TSCM|CLOUDSDK)_\w+|SSH_AUTH_SOCK|GNUPGHOME|GPG_TTY|KRB5CCNAME|SSL_CERT_(FILE|DIR)|"
    r"REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(https?|no|all)_proxy|XDG_(CONFIG|STATE|DATA|CACHE)_HOME|XDG_RUNTIME_DIR|"
    r"DBUS_SESSION_BUS_ADDRESS|PYTHONPATH|PYTHON_KEYRING_BACKEND",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")
_PLACES = {
    "SSH_AUTH_SOCK": "no agent runs there: set identity_file of the host, and keep the key's passphrase in the keyring "
    "(tscm-migrate secret set key:FILE)",
    "DBUS_SESSION_BUS_ADDRESS": "the keyring is closed there: set passphrase_file or a command: source instead",
}


def bare(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that every scheduler sets: the user, the home and the path of programs."""
    kept = {name: environ[name] for name in ("HOME", "USER", "LOGNAME") if environ.get(name)}
    return {**kept, "SHELL": "/bin/sh", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def assignments(lines: Iterable[str]) -> dict[str, str]:
    """Parse `NAME=value` lines of `systemctl show-environment`, an EnvironmentFile or a crontab."""
    found = {}
    for line in lines:
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*", line)
        if match:
            value = match[2]
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[match[1]] = value[1:-1] if quoted else value
    return found


def of_file(path: Path) -> dict[str, str]:
    """Return the variables of a file; none if it does not exist."""
    try:
        return assignments(path.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise OffsiteError(detail=f"{path} cannot be read: {error}", fix=f"chmod 600 {path}") from error


def lacking(environ: Mapping[str, str], there: Mapping[str, str], inventory: Path | None) -> list[str]:
    """Return the shell's variables that may matter and are missing there; those that the inventory names first."""
    try:
        text = inventory.read_text(encoding="utf-8") if inventory else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    named = [name for name in dict.fromkeys(_NAMED.findall(text)) if name not in there]
    others = [name for name in sorted(environ) if _OURS.fullmatch(name) and name not in there and name not in named]
    return [*named, *others]


def run(words: tuple[str, ...], there: Mapping[str, str], lacks: list[str], file: Path) -> list[str]:
    """Run the command in that environment as a dry run.

    Args:
        words: the command.
        there: the scheduler's environment.
        lacks: what `lacking` has found.
        file: where variables can be put for the schedule.

    Returns:
        Notes for the operator: hosts that do not answer now.

    Raises:
        ScheduleTestFailed: it fails, for another reason than a host that does not answer.
    """
    status, printed, complaints = _dry_run(words, there)
    if not status:
        return []
    failed = [one for one in map(_object, printed.splitlines()) if one.get("outcome") == "failed"]
    if failed and all(one.get("retry") == "later" for one in failed):
        return [f"{one['host']} does not answer now: {outside(str(one.get('message')), 200)}" for one in failed]
    why = [str(one.get("message")) for one in failed] or list(filter(str.strip, complaints.splitlines()))[:3]
    raise ScheduleTestFailed(
        detail=outside("; ".join(why), 600) or f"exit status {status}", names=tuple(lacks), file=str(file),
        places=tuple(filter(None, map(_PLACES.get, lacks))),
    )  # fmt: skip


def _dry_run(words: tuple[str, ...], there: Mapping[str, str]) -> tuple[int, str, str]:
    """Return the exit status, standard output and standard error of a dry run in that environment."""
    try:
        done = subprocess.run(
            [*words, "--dry-run", "--json"], env=dict(there), cwd=there.get("HOME") or Path.home(),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False, encoding="utf-8",
            errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, "", f"{type(error).__name__}: {error}"
    return done.returncode, done.stdout, done.stderr


def _object(line: str) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
