"""Takes the old appliance off its address; it returns by itself unless the migration is confirmed.

A script (`deadman.sh`) runs on the appliance, independent of the session that started it. It removes the addresses,
counts the time, and restores them only if duplicate-address detection finds no host there, so it never collides with a
new appliance that works. Meanwhile the appliance keeps a link-local address, the rescue channel: through the new
appliance as a gateway, the script can be ordered to stay away or to return at once.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tscm_migrate.appliance.appliance import Appliance, Dial, quote
from tscm_migrate.appliance.cron_hold import release_script
from tscm_migrate.errors import ApplianceError, CommandTimeout, ConnectionLost
from tscm_migrate.events import Emit
from tscm_migrate.model import Host
from tscm_migrate.util.text import duration_text

_SCRIPT = Path(__file__).with_name("deadman.sh")


@dataclass(frozen=True)
class RescueChannel:
    """Two link-local addresses of one run: of the isolated and of the new appliance."""

    old: str
    new: str


def rescue_channel(run: str) -> RescueChannel:
    """Return the addresses for a run: the same for the same run, so that a resume finds them."""
    digest = hashlib.sha256(run.encode()).digest()
    third, fourth = 1 + digest[0] % 253, 2 * (1 + digest[1] % 126)
    return RescueChannel(f"169.254.{third}.{fourth}", f"169.254.{third}.{fourth + 1}")


def _folder(appliance: Appliance) -> str:
    return f"{appliance.paths.hold_dir}/isolation"


def _boot_entry(appliance: Appliance) -> str:
    """Return a cron file that starts the timer again after a restart; "" if the path cannot be in such a file."""
    plain = re.fullmatch(r"[\w./-]+", _folder(appliance))
    return f"{appliance.paths.cron_entry.rpartition('/')[0]}/tscm-migrate-isolation" if plain else ""


def isolate(
    appliance: Appliance,
    *,
    interface: str,
    address: str,
    channel: RescueChannel,
    seconds: float,
    release: Sequence[str],
) -> None:
    """Start the timer, then let the appliance leave its address; the connection is closed.

    A lost connection counts as success, verify it with `network.prove_gone`.

    Args:
        appliance: the old appliance.
        interface: that has its address.
        address: that is probed before the appliance returns to it.
        channel: by which it can be reached meanwhile.
        seconds: until it returns by itself.
        release: cron entries that are restored then.

    Raises:
        ApplianceError: the timer could not be started; nothing was changed.
    """
    folder = quote(_folder(appliance))
    entries = "\n".join(f"( {release_script(appliance, entry)} )" for entry in release)
    words = " ".join(quote(w) for w in (interface, address, f"{channel.old}/16", str(max(1, round(seconds)))))
    again = f"exec sh {folder}/deadman.sh {folder} {words} booted </dev/null >/dev/null 2>&1"
    # without setsid, a background process that ignores SIGHUP
    script = (
        f"set -eu; umask 077; rm -rf {folder}; mkdir -p {folder}; cd {folder}; cat >deadman.sh; "
        f"printf '%s\\n' {quote(entries)} >release.sh; printf '%s\\n' {quote(_boot_entry(appliance))} >boot-entry; "
        f"printf '%s\\n' {quote(again)} >again.sh; "
        "if command -v setsid >/dev/null 2>&1; then s=setsid; else s=nohup; fi; "
        f"$s sh ./deadman.sh {folder} {words} </dev/null >/dev/null 2>&1 & "
        "n=0; while [ ! -s state ] && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1 2>/dev/null || sleep 1; done; "
        'seen=$(cat state 2>/dev/null || echo nothing); [ "$seen" = armed ] || { echo "$seen" >&2; exit 44; }; : >go'
    )
    try:
        result = appliance.run(
            script, sudo=True, stdin=_SCRIPT.read_bytes(), check=False, timeout=30.0,
            display=f"start the timer ({duration_text(seconds)}) and leave {address}",
        )  # fmt: skip
    except (ConnectionLost, CommandTimeout):  # a slow appliance may leave its address before the session has ended
        return
    finally:
        appliance.close()
    if result.status != 0:
        raise ApplianceError(appliance.name, f"the timer could not be started: {result.error_output}")


def add_rescue_address(new: Appliance, channel: RescueChannel, interface: str) -> None:
    """Add the new appliance's address of the rescue channel; it disappears at the next boot."""
    dev, end = quote(interface), quote(channel.new + "/")
    script = f"ip addr show dev {dev} | grep -qF {end} || ip addr add {quote(channel.new)}/16 dev {dev} scope link"
    new.run(script, sudo=True, check=False, timeout=15.0, display="take the channel of the isolated appliance")


def remove_rescue_address(new: Appliance, channel: RescueChannel, interface: str) -> None:
    """Remove the new appliance's address of the rescue channel."""
    script = f"ip addr del {quote(channel.new)}/16 dev {quote(interface)} 2>/dev/null || :"
    new.run(script, sudo=True, check=False, timeout=15.0, display="let the channel go")


def over_rescue_channel(old: Host, new: Host, channel: RescueChannel, dial: Dial, emit: Emit) -> Appliance:
    """Return the host entry of the isolated appliance, reached through the new appliance."""
    return Appliance(replace(old, address=channel.old, gateway=new), dial, emit)


def tell(appliance: Appliance, word: str, value: str = "") -> None:
    """Send a command to the timer: confirmed, return, or extend SECONDS.

    Raises:
        ApplianceError: no timer is running. SshError: the appliance cannot be reached.
    """
    folder = quote(_folder(appliance))
    script = f"cd {folder} && [ -s state ] && printf '%s\\n' {quote(value)} >{word}.part && mv {word}.part {word}"
    result = appliance.run(
        script, sudo=True, check=False, timeout=20.0, display=f"command for the timer: {word} {value}".strip()
    )
    if result.status != 0:
        raise ApplianceError(appliance.name, f"no timer is running: {result.error_output}")


def state(appliance: Appliance) -> str:
    """Return the state of the timer: armed, away or confirmed; "" if none is running."""
    script = f"cat {quote(_folder(appliance))}/state 2>/dev/null || :"
    return appliance.run(script, sudo=True, timeout=20.0, display="is it isolated?").stdout.strip()
