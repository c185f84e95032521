"""The devices that an appliance serves: their updates and the hashes of their files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.tsadmin import output
from tscm_migrate.tsadmin.backup import sudo_answer
from tscm_migrate.tsadmin.intent import Intent
from tscm_migrate.tsadmin.reader import QuestionReader, dialects
from tscm_migrate.tsadmin.session import Limits, Nobody, converse

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance


_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
_BUSY = re.compile(
    r"\bbusy\b|\btry\s+(?:it\s+)?again\b|\balready\s+(?:\w+\s+){0,2}(?:running|updat\w+|in\s+progress)\b|\blocked\s+by\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Updated:
    """How `tsadmin update` ended.

    Attributes:
        ok: the device was updated.
        said: the line that tells it best.
        busy: another process uses the device; try again.
        notices: the other lines that have to be shown.
    """

    ok: bool
    said: str
    busy: bool = False
    notices: tuple[str, ...] = ()


def judge(status: int | None, text: str, name: str = "") -> Updated:
    """Judge how an update ended: neither its words nor its statuses are documented, so each may tell of a failure.

    Args:
        status: its exit status; None where none came.
        text: what it printed.
        name: of the device.
    """
    printed = output.read(text, names=(name,) if name else ())
    wrong = printed.troubles[-1:] or (output.leaves_out(printed, name),)
    said = wrong[-1] if wrong[-1] and status == 0 else printed.last
    busy = status == _TRY_AGAIN or (status != 0 and _BUSY.search(text) is not None)
    ok = status == 0 and not wrong[-1]
    return Updated(ok, said, busy, tuple(line for line in printed.lines if ok or line != said))


def update(appliance: Appliance, name: str, *, timeout: float) -> Updated:
    """Run `tsadmin update NAME`.

    Args:
        appliance: where.
        name: of the device.
        timeout: seconds.

    Raises:
        UnknownPrompt: it asks something; a person must do this one. DialogueSilent, SshError: see there.
    """
    intent = Intent(address=appliance.host.address, here=appliance.host.address, sudo=sudo_answer(appliance))
    # A device's first login is for a person, later, by hand: the checklist names it.
    talked = converse(
        appliance,
        f"exec {appliance.paths.tsadmin} update {quote(name)}",
        QuestionReader(intent, dialects(appliance.host.dialect), "update"),
        Nobody(),
        display=f"tsadmin update {name}",
        limits=Limits(timeout, timeout),
    )
    return judge(None if talked.lost else talked.status, talked.text, name)


def file_hashes(appliance: Appliance, *, most: int = 20000) -> dict[str, str]:
    """SHA-256 of every regular file that matches the device pattern, or lies below what matches it.

    Where nothing matches, the layout is another one: then of the whole etc folder, but for hidden files and those that
    may hold a secret by itself, whose hash is none that should be written down.

    Returns:
        Path below the etc folder → 64 hex digits; empty where there are none. Names with control characters are
        left out.
    """
    etc, pattern = quote(appliance.paths.etc_dir), appliance.paths.device_glob
    hashed = f"-exec sha256sum {{}} + 2>/dev/null | head -n {most}"
    unless = " ".join(f"! -iname '{one}'" for one in ("*pass*", "*secret*", "*gpg*", "*.key"))
    script = (
        f'cd {etc} 2>/dev/null || exit 0; for any in {pattern}; do [ ! -e "$any" ] || break; done; '
        f'if [ -e "$any" ]; then find {pattern} -type f {hashed}; '
        f"else find . -type f ! -path '*/.*' {unless} {hashed}; fi"
    )
    text = appliance.run(script, sudo=True, check=False, timeout=300.0, display="hash the device files").stdout
    rows = (re.fullmatch(r"([0-9a-f]{64})  (?:\./)?([^\x00-\x1f]+)", line) for line in text.splitlines())
    return {row[2]: row[1] for row in rows if row}
