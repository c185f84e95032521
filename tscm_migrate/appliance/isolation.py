"""Isolation: the old appliance leaves its address and comes back by itself, unless the migration is confirmed.

A small script (`deadman.sh`) runs on the appliance, detached from the session that started it. It takes the addresses
away, counts its time, and gives them back only when duplicate-address detection finds nobody there; so it can never
collide with a healthy new one. Meanwhile the appliance keeps a link-local address, the leash: over it, with the new
appliance as the gateway, it can be told that the migration is confirmed, or to come back at once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.appliance.cron_hold import release_script
from tscm_migrate.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.appliance.appliance import Dial
    from tscm_migrate.events import Emit
    from tscm_migrate.model import Host

_SCRIPT = Path(__file__).with_name("deadman.sh")


@dataclass(frozen=True)
class Leash:
    """Two link-local addresses of one run: the isolated appliance's and the new one's."""

    old: str
    new: str


def leash_of(run: str) -> Leash:
    """The same for the same run, so that a resume finds it; hardly ever the same for two."""
    digest = hashlib.sha256(run.encode()).digest()
    third, fourth = 1 + digest[0] % 253, 2 * (1 + digest[1] % 126)
    return Leash(f"169.254.{third}.{fourth}", f"169.254.{third}.{fourth + 1}")


def _folder(appliance: Appliance) -> str:
    return f"{appliance.paths.hold_dir}/isolation"


def _boot_entry(appliance: Appliance) -> str:
    """The file by which cron begins the timer again after a restart; "" where the folder cannot stand in a line."""
    plain = re.fullmatch(r"[\w./-]+", _folder(appliance))
    return f"{appliance.paths.cron_entry.rpartition('/')[0]}/tscm-migrate-isolation" if plain else ""


def isolate(
    appliance: Appliance, *, interface: str, address: str, leash: Leash, seconds: float, release: Sequence[str]
) -> None:
    """Arm the timer, and only then let the appliance leave its address; the connection is closed.

    Args:
        appliance: the old one.
        interface: that has its address.
        address: which is looked for before it comes back.
        leash: by which it can be reached meanwhile.
        seconds: until it comes back by itself.
        release: cron entries to be put back when it does.

    Raises:
        ApplianceError: the timer could not be armed; nothing was changed.
    """
    folder = quote(_folder(appliance))
    entries = "\n".join(f"( {release_script(appliance, entry)} )" for entry in release)
    words = " ".join(quote(w) for w in (interface, address, f"{leash.old}/16", str(max(1, round(seconds)))))
    again = f"exec sh {folder}/deadman.sh {folder} {words} booted </dev/null >/dev/null 2>&1"
    # setsid where it is; a plain background process that ignores the hang-up otherwise
    script = (
        f"set -eu; umask 077; rm -rf {folder}; mkdir -p {folder}; cd {folder}; cat >deadman.sh; "
        f"printf '%s\\n' {quote(entries)} >release.sh; printf '%s\\n' {quote(_boot_entry(appliance))} >boot-entry; "
        f"printf '%s\\n' {quote(again)} >again.sh; "
        "if command -v setsid >/dev/null 2>&1; then s=setsid; else s=nohup; fi; "
        f"$s sh ./deadman.sh {folder} {words} </dev/null >/dev/null 2>&1 & "
        "n=0; while [ ! -s state ] && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1 2>/dev/null || sleep 1; done; "
        'said=$(cat state 2>/dev/null || echo nothing); [ "$said" = armed ] || { echo "$said" >&2; exit 44; }; : >go'
    )
    result = appliance.run(
        script, sudo=True, stdin=_SCRIPT.read_bytes(), check=False, timeout=30.0,
        display=f"arm the timer ({seconds:.0f} s) and leave {address}",
    )  # fmt: skip
    appliance.close()
    if result.status != 0:
        raise ApplianceError(appliance.name, f"the timer could not be armed: {result.said}")


def hold_the_leash(new: Appliance, leash: Leash, interface: str) -> None:
    """Give the new appliance its end of the leash; it is gone with its next boot."""
    dev, end = quote(interface), quote(leash.new + "/")
    script = f"ip addr show dev {dev} | grep -qF {end} || ip addr add {quote(leash.new)}/16 dev {dev} scope link"
    new.run(script, sudo=True, check=False, timeout=15.0, display="take the leash of the isolated appliance")


def drop_the_leash(new: Appliance, leash: Leash, interface: str) -> None:
    """Take the new appliance's end away."""
    script = f"ip addr del {quote(leash.new)}/16 dev {quote(interface)} 2>/dev/null || :"
    new.run(script, sudo=True, check=False, timeout=15.0, display="let the leash go")


def on_leash(old: Host, new: Host, leash: Leash, dial: Dial, emit: Emit) -> Appliance:
    """The isolated appliance, reached through the new one."""
    return Appliance(replace(old, address=leash.old, gateway=new), dial, emit)


def tell(appliance: Appliance, word: str, value: str = "") -> None:
    """Leave a word for the timer: confirmed, return, or extend with seconds.

    Raises:
        ApplianceError: there is no timer. SshError: it is not reachable.
    """
    folder = quote(_folder(appliance))
    script = f"cd {folder} && [ -s state ] && printf '%s\\n' {quote(value)} >{word}.part && mv {word}.part {word}"
    result = appliance.run(
        script, sudo=True, check=False, timeout=20.0, display=f"tell the timer: {word} {value}".strip()
    )
    if result.status != 0:
        raise ApplianceError(appliance.name, f"there is no timer to be told: {result.said}")


def state(appliance: Appliance) -> str:
    """armed, away, confirmed, or "" where no timer is (any more)."""
    script = f"cat {quote(_folder(appliance))}/state 2>/dev/null || :"
    return appliance.run(script, sudo=True, timeout=20.0, display="is it isolated?").stdout.strip()
