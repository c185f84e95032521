"""The lock that a run puts on an appliance: one file, made atomically, that says who has it since when and for what."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import PRESENT, quote
from tscm_migrate.errors import ApplianceError, CannotLook

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.model import Paths
    from tscm_migrate.ssh.shell import Shell

_TRIES = 3
_LONGEST = 4096  # bytes; the file is root's, but what an appliance says is never trusted


@dataclass(frozen=True)
class ApplianceLock:
    """Who has an appliance.

    `role`: "old" or "new", what the appliance is in that run. `workstation`: an id of the workstation's state folder,
    "" where the file could not be understood. `since`: UTC, ISO 8601.
    """

    run: str = "?"
    role: str = ""
    owner: str = "somebody"  # "user@host"
    workstation: str = ""
    pid: int = 0
    since: str = "?"

    def text(self) -> str:
        """The file's one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> ApplianceLock:
        """Read the file; what is not understood becomes a mark of nobody known."""
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
    """Read the lock file; None if there is none.

    Raises:
        CannotLook: neither its content nor its absence can be seen.
    """
    return read_over(appliance.shell)


def read_over(shell: Shell) -> ApplianceLock | None:
    """Read the lock file of the host at the other end of a connection; as `read`."""
    script = f'{_names(shell.host.paths)}{PRESENT}if present "$d/lock"; then echo there; head -c {_LONGEST} "$d/lock"; '
    script += "else echo none; fi"
    done = shell.run(script, sudo=True, check=False, display="who has it locked?")
    word, _, text = done.stdout.partition("\n")
    if done.status != 0 or word not in {"there", "none"}:
        raise CannotLook(shell.host.name, f"the lock in {shell.host.paths.hold_dir}: {done.stderr.strip()[-200:]}")
    return ApplianceLock.parse(text) if word == "there" else None


def take(appliance: Appliance, mark: ApplianceLock, *, instead_of: ApplianceLock | None = None) -> ApplianceLock | None:
    """Put the lock there, in one step that only one of two can win.

    Args:
        appliance: where.
        mark: what it is to say.
        instead_of: a lock that is known to be dead; it is replaced if it still says the same.

    Returns:
        None when it is ours now, else the lock that is there.

    Raises:
        CommandFailed: the folder cannot be written. ApplianceError: it comes and goes.
    """
    script = _names(appliance.paths) + (
        'umask 077; mkdir -p "$d" && chmod 700 "$d" && f=$(mktemp "$d/.lock.XXXXXXXX") || exit 1; '
        "trap 'rm -f \"$f\"' EXIT; "
        f'printf "%s\\n" {quote(mark.text())} >"$f" && {{ sync "$f" 2>/dev/null || sync; }} || exit 1; '
        # ln fails where the name is taken: the look and the making are one step
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
    raise ApplianceError(appliance.name, f"the lock in {appliance.paths.hold_dir} comes and goes")


def drop(appliance: Appliance, run: str = "") -> bool:
    """Remove the lock, of one run or (with "") whoever has it; nothing else of ours stays behind where it was the last.

    Returns:
        Whether there was one to remove.
    """
    ours = f'grep -q {quote(json.dumps(run))} "$d/lock"' if run else ":"
    script = _names(appliance.paths) + (
        f'{PRESENT}if present "$d/lock" && {ours}; then rm -f "$d/lock" && echo dropped; fi; '
        'rm -f "$d"/.lock.????????; rmdir "$d" 2>/dev/null || :'
    )
    return appliance.run(script, sudo=True, display="unlock it").stdout.strip() == "dropped"
