"""The devices of an appliance: their updates, and the hashes of their files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.tsadmin import output
from tscm_migrate.tsadmin.backup import sudo_answer
from tscm_migrate.tsadmin.intent import Intent
from tscm_migrate.tsadmin.reader import QuestionReader, dialects
from tscm_migrate.tsadmin.session import Limits, NoOperator, converse

_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
_BUSY = re.compile(
    r"\bbusy\b|\btry\s+(?:it\s+)?again\b|\balready\s+(?:\w+\s+){0,2}(?:running|updat\w+|in\s+progress)\b|\blocked\s+by\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Updated:
    """Result of `tsadmin update`.

    Attributes:
        ok: the device was updated.
        gist: the line that describes the result best.
        busy: another process uses the device; it can be tried again.
        notices: other lines to show.
    """

    ok: bool
    gist: str
    busy: bool = False
    notices: tuple[str, ...] = ()


def judge(status: int | None, text: str, name: str = "") -> Updated:
    """Judge the result of an update; neither the words nor the exit statuses are documented.

    Args:
        status: exit status, or None.
        text: output.
        name: of the device.
    """
    printed = output.read(text, names=(name,) if name else ())
    wrong = printed.troubles[-1:] or (output.leaves_out(printed, name),)
    gist = wrong[-1] if wrong[-1] and status == 0 else printed.last
    busy = status == _TRY_AGAIN or (status != 0 and _BUSY.search(text) is not None)
    ok = status == 0 and not wrong[-1]
    return Updated(ok, gist, busy, tuple(line for line in printed.lines if ok or line != gist))


def update(appliance: Appliance, name: str, *, timeout: float) -> Updated:
    """Run `tsadmin update NAME`.

    Args:
        appliance: where.
        name: of the device.
        timeout: seconds.

    Raises:
        UnknownPrompt: it asked a question; a person must update this device.
        DialogueSilent: a timeout. SshError: the connection failed.
    """
    intent = Intent(address=appliance.host.address, here=appliance.host.address, sudo=sudo_answer(appliance))
    # The first login of a device needs a person; the checklist names it.
    talked = converse(
        appliance,
        f"exec {appliance.paths.tsadmin} update {quote(name)}",
        QuestionReader(intent, dialects(appliance.host.dialect), "update"),
        NoOperator(),
        display=f"tsadmin update {name}",
        limits=Limits(timeout, timeout),
    )
    return judge(None if talked.lost else talked.status, talked.text, name)


def file_hashes(appliance: Appliance, *, most: int = 20000) -> dict[str, str]:
    """Return the SHA-256 of the regular files that match the device pattern or are below it.

    If nothing matches, the layout is unknown: then of all files in the etc folder, except hidden files and those that
    may contain a secret, because the hash of a short secret reveals it.

    Returns:
        Path below the etc folder → 64 hex digits; empty if no file is found. Names with control characters are left
            out.
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
