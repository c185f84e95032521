"""The lock file of a run on an appliance: created atomically, with the owner, the time and the purpose."""

import json
from dataclasses import asdict, dataclass

from tscm_migrate.appliance.appliance import PRESENT, Appliance, quote
from tscm_migrate.errors import ApplianceError, ProcessesHidden
from tscm_migrate.model import Paths
from tscm_migrate.ssh.shell import Shell

_TRIES = 3
_LONGEST = 4096  # bytes; the content comes from an appliance, so its size is limited


@dataclass(frozen=True)
class ApplianceLock:
    """Content of the lock file.

    Attributes:
        run: id of the run.
        role: of the appliance in that run: "old" or "new".
        workstation: id of the workstation's state folder; "" if the file could not be parsed.
        since: UTC, ISO 8601.
    """

    run: str = "?"
    role: str = ""
    owner: str = "an unknown user"  # "user@host"
    workstation: str = ""
    pid: int = 0
    since: str = "?"

    def text(self) -> str:
        """Return the content of the file: one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> "ApplianceLock":
        """Parse the file; if it is not valid, the owner is unknown."""
        try:
            item = json.loads(text)
            texts = {key: str(item[key])[:200] for key in _TEXTS}
            return cls(**texts, pid=int(item["pid"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return cls()


_TEXTS = ("run", "role", "owner", "workstation", "since")


def _names(paths: Paths) -> str:
    return f"d={quote(paths.hold_dir)}; "


def read(appliance: Appliance) -> ApplianceLock | None:
    """Read the lock file; None if it does not exist.

    Raises:
        ProcessesHidden: it cannot be seen whether it exists, or it cannot be read.
    """
    return read_over(appliance.shell)


def read_over(shell: Shell) -> ApplianceLock | None:
    """Read the lock file over a connection; see `read`."""
    script = f'{_names(shell.host.paths)}{PRESENT}if present "$d/lock"; then echo there; head -c {_LONGEST} "$d/lock"; '
    script += "else echo none; fi"
    done = shell.run(script, sudo=True, check=False, display="read the lock file")
    word, _, text = done.stdout.partition("\n")
    if done.status != 0 or word not in {"there", "none"}:
        raise ProcessesHidden(shell.host.name, f"the lock in {shell.host.paths.hold_dir}: {done.stderr.strip()[-200:]}")
    return ApplianceLock.parse(text) if word == "there" else None


def take(appliance: Appliance, mark: ApplianceLock, *, instead_of: ApplianceLock | None = None) -> ApplianceLock | None:
    """Create the lock file, atomically: of two runs only one succeeds.

    Args:
        appliance: where.
        mark: content of the file.
        instead_of: a lock whose run has ended; it is replaced if it is unchanged.

    Returns:
        None if the lock is ours now, else the existing lock.

    Raises:
        CommandFailed: the folder is not writable.
        ApplianceError: the file keeps appearing and disappearing.
    """
    script = _names(appliance.paths) + (
        'umask 077; mkdir -p "$d" && chmod 700 "$d" && f=$(mktemp "$d/.lock.XXXXXXXX") || exit 1; '
        "trap 'rm -f \"$f\"' EXIT; "
        f'printf "%s\\n" {quote(mark.text())} >"$f" && {{ sync "$f" 2>/dev/null || sync; }} || exit 1; '
        # ln fails if the name exists: the check and the creation are one step
        'if ln -T "$f" "$d/lock" 2>/dev/null; then echo taken; '
        f'elif [ "$(cat "$d/lock" 2>/dev/null)" = {quote(instead_of.text() if instead_of else "none")} ]; then '
        'mv -T "$f" "$d/lock" && echo taken; '
        f'else echo there; head -c {_LONGEST} "$d/lock"; fi'
    )
    for _ in range(_TRIES):
        word, _, text = appliance.run(script, sudo=True, display=f"lock it for run {mark.run}").stdout.partition("\n")
        if word == "taken":
            return None
        if text.strip():
            return ApplianceLock.parse(text)
    raise ApplianceError(
        appliance.name,
        f"the lock in {appliance.paths.hold_dir} keeps appearing and disappearing: another process uses it",
    )


def drop(appliance: Appliance, run: str = "") -> bool:
    """Remove the lock of a run, or any lock (""); the folder is removed if it is empty.

    Returns:
        Whether there was a lock to remove.
    """
    ours = f'grep -q {quote(json.dumps(run))} "$d/lock"' if run else ":"
    script = _names(appliance.paths) + (
        f'{PRESENT}if present "$d/lock" && {ours}; then rm -f "$d/lock" && echo dropped; fi; '
        'rm -f "$d"/.lock.????????; rmdir "$d" 2>/dev/null || :'
    )
    return appliance.run(script, sudo=True, display="unlock it").stdout.strip() == "dropped"
