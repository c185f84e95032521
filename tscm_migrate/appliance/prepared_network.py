"""Stage network settings beside an appliance's live files, check them, and move them into place.

A staged file has a name that no network service reads (a leading dot), so it has no effect until it is moved. The live
file is replaced by a rename and synced; nothing else is run, and the settings apply at the next start.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from tscm_migrate.appliance import network
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.archive.network_config import NotRewritable, WantedNetwork, kind_of, rewritten
from tscm_migrate.errors import ApplianceError

_FIX = "use --network restore, which lets tsadmin restore the network settings"


@dataclass(frozen=True)
class PreparedNetwork:
    """A staged file: the live file that it replaces, its own path, its SHA-256, and what checked it ("": nothing)."""

    live: str
    staged: str
    sha256: str
    checked: str


def stage(
    appliance: Appliance, interface: str, wanted: WantedNetwork, announce: Callable[[PreparedNetwork], None]
) -> PreparedNetwork:
    """Write the settings beside the live file of an interface, in the format found there, and check them.

    Args:
        appliance: the new appliance.
        interface: its name there.
        wanted: the settings.
        announce: called before the file is written.

    Raises:
        ApplianceError: they cannot be written for certain, or the system's own checker refuses them; nothing stays.
    """
    if not appliance.paths.os_release.startswith("/etc/"):  # a demo appliance: /etc is that of its machine
        raise ApplianceError(appliance.name, f"it has no network files of its own; {_FIX}")
    try:
        live, text = rewritten(network.saved_files(appliance), interface, wanted)
    except NotRewritable as why:
        raise ApplianceError(appliance.name, f"its network settings cannot be prepared: {why}; {_FIX}") from why
    folder, _, name = live.rpartition("/")
    made = PreparedNetwork(live, f"{folder}/.tscm-migrate.{name}.staged", _hash(text), CHECKERS[kind_of(live)])
    announce(made)
    script = f"set -eu; umask 077; cp -p {quote(live)} {quote(made.staged)}; cat > {quote(made.staged)}"
    appliance.run(script, sudo=True, stdin=text.encode(), display=f"write {made.staged}")
    checked = appliance.run(check_script(made, interface), sudo=True, check=False, display=f"check {made.staged}")
    if checked.status == _NO_CHECKER:
        return replace(made, checked="")
    if checked.status != 0:
        unstage(appliance, made)
        raise ApplianceError(
            appliance.name, f"{made.checked} refuses the prepared settings: {checked.error_output}; {_FIX}"
        )
    return made


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_NO_CHECKER = 75
_NETPLAN, _IFUP, _SH, _NMCLI = "netplan generate", "ifup --no-act", "sh -n", "nmcli --offline"
CHECKERS = {"netplan": _NETPLAN, "ifupdown": _IFUP, "ifcfg": _SH, "keyfile": _NMCLI}


def check_script(made: PreparedNetwork, interface: str) -> str:
    """Return shell source that runs the system's own checker on the staged file.

    Its exit status is 0 if the file is valid, and 75 if the system has no such checker.
    """
    staged, name = quote(made.staged), quote(made.live.rsplit("/", 1)[-1])
    needed = f"command -v {made.checked.split()[0]} >/dev/null 2>&1 || exit {_NO_CHECKER}; "
    match made.checked:
        case "netplan generate":
            return needed + (
                "d=$(mktemp -d) || exit 1; mkdir -p $d/etc/netplan; "
                f"cp /etc/netplan/*.yaml $d/etc/netplan/ 2>/dev/null; cp {staged} $d/etc/netplan/{name}; "
                "netplan generate --root-dir $d; r=$?; rm -rf $d; exit $r"
            )
        case "ifup --no-act":
            return needed + f"ifup --no-act --force --interfaces={staged} {quote(interface)}"
        case "nmcli --offline":  # since version 1.38; prints the connection as it was understood
            tried = f"nmcli --offline connection add type dummy ifname d0 >/dev/null 2>&1 || exit {_NO_CHECKER}; "
            return f"{needed}{tried}nmcli --offline connection modify connection.autoconnect yes < {staged} >/dev/null"
    return f"sh -n {staged}"


def move(appliance: Appliance, made: PreparedNetwork) -> None:
    """Move the staged file over the live one and sync; again with the same result.

    Raises:
        ApplianceError: the live file is not what was prepared afterwards.
    """
    live, staged = quote(made.live), quote(made.staged)
    script = (
        f"set -eu; if [ -e {staged} ]; then mv -f {staged} {live}; fi; sync; "
        f"if command -v restorecon >/dev/null 2>&1; then restorecon {live} || :; fi; sha256sum {live}"
    )
    moved = appliance.run(script, sudo=True, display=f"move {made.staged} to {made.live}").stdout.split()
    if moved[:1] != [made.sha256]:
        raise ApplianceError(appliance.name, f"{made.live} is not what was prepared")


def unstage(appliance: Appliance, made: PreparedNetwork) -> None:
    """Remove the staged file, if it is there."""
    appliance.run(f"rm -f {quote(made.staged)}", sudo=True, display=f"remove {made.staged}")
