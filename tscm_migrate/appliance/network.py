"""Powers an appliance off, proves that it is unreachable, reboots it, and waits until it reappears."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import time
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tscm_migrate import errors
from tscm_migrate.appliance.appliance import Appliance, TimedDial, quote
from tscm_migrate.appliance.facts import boot_script
from tscm_migrate.events import Emit, Message, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

GONE_WITHIN = 180.0  # seconds that a shutdown may take
_PAUSE = 0.2  # seconds between two looks
_FIRST_CONNECT = 0.3  # seconds for a TCP connection at first, and at most
_LONGEST_CONNECT = 15.0
_REFUSED_PAUSE = 5.0  # longest time in seconds between two refused logins
_QUIET_LOOKS = 2  # looks in a row at which no host may answer
_SAME_BOOT_AFTER = 20.0  # seconds at the planned address with the old boot identity
GOES_DOWN = 30.0  # seconds in which a restart or shutdown must end the connection


def power_off(appliance: Appliance) -> None:
    """Power the appliance off; a lost connection counts as success, verify it with `prove_gone`.

    Raises:
        CommandFailed: none of the commands worked.
    """
    _tell(appliance, appliance.host.commands.poweroff)
    appliance.close()


def _tell(appliance: Appliance, command: str) -> None:
    with contextlib.suppress(errors.ConnectionLost, errors.CommandTimeout):
        result = appliance.run(command, sudo=True, timeout=30.0, check=False, display=command)
        # A shell that is killed by the shutdown has no exit status, or that of a signal.
        if 0 < result.status < 128:
            raise errors.CommandFailed(appliance.name, "", command, result.status, result.stderr or result.stdout)


def goes_down(appliance: Appliance, *, was: str, within: float = GOES_DOWN) -> bool:
    """Wait for a restart or shutdown that is expected; return whether it has begun. A slow command proves nothing.

    Args:
        appliance: which.
        was: its boot identity before.
        within: seconds.
    """
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if boot_of(appliance.shell) != was:
                return True
        except errors.CommandTimeout:
            continue
        except errors.SshError:
            return True
        time.sleep(0.5)
    return False


def reboot(appliance: Appliance) -> str:
    """Send the command that restarts the appliance.

    Returns:
        "by our command", or "by itself" if it is already restarting.
    """
    try:
        _tell(appliance, appliance.host.commands.reboot)
    except (errors.ConnectionLost, errors.Unreachable):
        return "by itself"
    finally:
        appliance.close()
    return "by our command"


def boot_of(shell: Shell) -> str:
    """Return the boot identity, which changes with every boot; see `facts.boot_script`."""
    text = shell.run(boot_script(shell.host.paths), check=False, timeout=15.0, display="read the boot identity").stdout
    return " ".join(text.split())


def saved_settings(appliance: Appliance) -> str:
    """Return a hash of the network settings for the next boot, for all known network managers."""
    script = (
        "find /etc/network /etc/netplan /etc/sysconfig/network /etc/sysconfig/network-scripts /etc/systemd/network "
        "/etc/NetworkManager/system-connections /etc/dhcpcd.conf -type f -exec sha256sum {} + 2>/dev/null | "
        "sort | sha256sum"
    )
    return appliance.run(script, sudo=True, check=False, display="hash the saved network settings").stdout.strip()


def saved_files(appliance: Appliance) -> dict[str, str]:
    """Return the files with the network settings for the next boot, without backup copies."""
    script = (
        "for f in /etc/network/interfaces /etc/network/interfaces.d/* /etc/netplan/*.yaml /etc/netplan/*.yml "
        "/etc/sysconfig/network-scripts/ifcfg-* /etc/NetworkManager/system-connections/*.nmconnection; do "
        'case $f in *.bak|*.orig|*.old|*~) continue;; esac; [ -f "$f" ] || continue; '
        'echo "$f" "$(head -c 65536 "$f" | base64 | tr -d "\\n")"; done'
    )
    text = appliance.run(script, sudo=True, display="read its saved network settings").stdout
    rows = (line.split(" ") for line in text.splitlines())
    return {row[0]: base64.b64decode(row[1]).decode("utf-8", "replace") for row in rows if len(row) == 2}


def who_answers(observer: Appliance, address: str, port: int, interface: str = "", *, asks: int = 1) -> tuple[str, ...]:
    """Probe from `observer` by ARP (with arping, else the kernel's), ping and TCP whether a host has `address`.

    Takes `asks` seconds if no host answers.

    Returns:
        The probes that were answered: "arp", "ping", "port 22"; empty if none was.

    Raises:
        ProcessesHidden: neither arping nor ping works, so that silence proves nothing.
    """
    at = quote(address)
    device = f"-I {quote(interface)}" if interface else ""
    no_arping = "" if ":" in address else "command -v arping >/dev/null 2>&1 ||"  # ARP is IPv4's
    # Both exit with 0 for an answer and 1 for no answer; another status is an error.
    script = (
        f'(o=$(arping -c {asks} -w {asks} {device} {at} 2>/dev/null); [ $? -gt 1 ] || echo "asked arp"; '
        "case $o in *[Rr]eply\\ from*|*bytes\\ from*) echo arp;; esac) & "
        f'(n() {{ {no_arping} ip neigh "$@" 2>/dev/null; }}; n flush to {at}; '
        # without arping, ask the kernel: a host that blocks ping still answers ARP
        f'ping -c 1 -W 1 {at} >/dev/null 2>&1; r=$?; [ $r -gt 1 ] || echo "asked ping"; [ $r != 0 ] || echo ping; '
        f"n show to {at} | grep -q lladdr && echo arp) & "
        f"(if command -v nc >/dev/null 2>&1; then nc -z -w {asks} {at} {port}; "
        f'else timeout {asks} bash -c "exec 3<>/dev/tcp/{address}/{port}"; fi >/dev/null 2>&1 '
        f'&& echo "port {port}") & wait'
    )
    # as root: arping needs a raw socket
    done = observer.run(script, sudo=True, check=False, timeout=20.0, display=f"probe {address}")
    lines = {line.strip() for line in done.stdout.splitlines() if line.strip()}
    answers = {line for line in lines if not line.startswith("asked ")}
    if not lines:
        raise errors.ProcessesHidden(
            observer.name, f"whether a host is at {address}: neither arping nor ping works there"
        )
    return tuple(sorted(answers))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def refuses_here(host: Host, timeout: float = 3.0) -> bool:
    """Return whether a host at the address accepts or rejects a connection from this workstation.

    Silence proves nothing. Behind a jump host, nothing is probed. A loopback address is this workstation's own: its
    kernel rejects the connection, not an appliance.
    """
    if host.gateway is not None or _is_loopback(host.address):
        return False
    try:
        socket.create_connection((host.address, host.port), timeout).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def prove_gone(
    observer: Appliance,
    host: Host,
    *,
    interface: str = "",
    timeout: float = GONE_WITHIN,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until no host answers at the address of `host`, seen from `observer`, at several looks in a row.

    Raises:
        StillOnline: a host still answered when the time was over.
    """
    began, quiet = time.monotonic(), 0
    while True:
        answers = who_answers(observer, host.address, host.port, interface)
        quiet = 0 if answers else quiet + 1
        waited = time.monotonic() - began
        if quiet >= _QUIET_LOOKS:
            return
        if answers and waited > timeout:
            raise errors.StillOnline(
                host.name, f"{', '.join(answers)} answers at {host.address} {waited:.0f} s after its shutdown"
            )
        if answers:
            observer.emit(Waiting(f"until no host answers at {host.address}", waited, timeout, host.name))
            sleep(0.2)


@dataclass(frozen=True)
class Reappeared:
    """Where an appliance reappeared, and the connection to it."""

    host: Host
    shell: Shell


def places(new: Host, old: Host, *, was_at: str) -> tuple[Host, ...]:
    """Return where the new appliance may reappear: at the address of the old appliance as planned, or at its own."""
    at_old = replace(new, address=old.address, port=old.port, gateway=old.gateway or new.gateway)
    return (at_old, replace(new, address=was_at))


def wait_for(
    dial: TimedDial,
    *,
    places: Sequence[Host],
    expect: Sequence[str],
    old_boot: str,
    timeout: float,
    emit: Emit,
    again: Callable[[], object] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Reappeared:
    """Wait until the appliance answers with an expected key and another boot identity than before.

    A refused login, a closed connection or a command that does not run means "not yet"; after the timeout, the last
    reason is in the error.

    Args:
        dial: opens a new connection each time.
        places: where to look, the planned place first.
        expect: fingerprints of its host keys.
        old_boot: its boot identity before the reboot.
        timeout: seconds by the wall clock.
        emit: gets progress messages.
        again: called once if it still runs with the old boot identity after 30 seconds: the command that restarts it
            may have been lost with the connection.
        sleep: between the looks; tests replace it.

    Returns:
        The first place where it is; another place than the first counts only after some time.

    Raises:
        HostKeyError: the planned place has another host key.
        NotReachableAgain: the timeout expired.
    """
    began = time.monotonic()
    reasons: dict[str, errors.SshError] = {}
    pause = _PAUSE
    while (waited := time.monotonic() - began) < timeout:
        now: dict[str, errors.SshError] = {}
        # The other places count after some time only.
        seen = places if waited >= min(30.0, timeout / 2) else places[:1]
        moved = places[0].address != places[-1].address and waited > _SAME_BOOT_AFTER
        found = _look(dial, seen, expect, old_boot, now, waited=waited, moved=moved)
        if isinstance(found, Reappeared):
            return found
        reasons |= now
        if found is not None and again is not None and waited >= min(GOES_DOWN, timeout / 2):
            emit(Message(f"{found.name} has not restarted; the command is sent again", "warning"))
            with contextlib.suppress(errors.SshError):
                again()
            again = None
        if any(isinstance(error, errors.AuthFailed) for error in now.values()):
            pause = min(2 * pause, _REFUSED_PAUSE)  # each refused login may count towards an account lock
        emit(Waiting(f"for the appliance to reappear at {places[0].address}", waited, timeout, places[0].name))
        sleep(min(pause, max(_PAUSE, timeout - waited)))
    if (late := _elsewhere(dial, places[1:], expect, old_boot)) is not None:
        return late
    detail = "; ".join([f"not seen at {' and '.join(p.address for p in places)} within {timeout:.0f} s",
                        *map(str, reasons.values())])  # fmt: skip
    raise errors.NotReachableAgain(places[0].name, detail)


def _look(
    dial: TimedDial, places: Sequence[Host], expect: Sequence[str], old_boot: str, reasons: dict[str, errors.SshError],
    *, waited: float, moved: bool,
) -> Reappeared | Host | None:  # fmt: skip
    """Look once at each place; store in `reasons` why the appliance was not found at an address.

    Returns:
        Where it has reappeared; a host if it still runs there with the old boot identity; None if it was not seen.

    `moved`: its own key at the first place with the old boot identity is a change of its network without a restart, and
    counts as reappeared.

    Raises:
        HostKeyError: the first place has another host key.
    """
    same: Host | None = None
    for index, place in enumerate(places):
        try:
            found = _try(dial, place, expect, "" if moved and index == 0 else old_boot, connect_timeout(waited))
        except errors.SshError as error:
            if isinstance(error, errors.HostKeyError) and index == 0:
                raise
            reasons[place.address] = error
        else:
            if isinstance(found, Reappeared):
                return found
            same = found or same
    return same


def _elsewhere(dial: TimedDial, places: Sequence[Host], expect: Sequence[str], old_boot: str) -> Reappeared | None:
    """Look once at the other places, with time that the first place cannot use up."""
    for place in places:
        with contextlib.suppress(errors.SshError):
            if isinstance(found := _try(dial, place, expect, old_boot), Reappeared):
                return found
    return None


def connect_timeout(waited: float) -> float:
    """Return the seconds for a TCP connection to an appliance that is awaited for `waited` seconds. Pure.

    A host that is off does not answer the first packet, and the kernel sends the next ones after 1, 3 and 7 seconds, so
    that a connection begun too early completes late. Short attempts find the host sooner; a quarter of the time that
    has passed is enough for a slow line as well.
    """
    return min(max(_FIRST_CONNECT, waited / 4), _LONGEST_CONNECT)


def _try(
    dial: TimedDial, place: Host, expect: Sequence[str], old_boot: str, within: float | None = None
) -> Reappeared | Host | None:
    """Return where it has reappeared, the host if its boot identity is still `old_boot`, None if that is unknown."""
    shell = dial(place, expect, within=within)
    try:
        boot = boot_of(shell)
        if boot != old_boot and (boot or not old_boot):
            return Reappeared(place, shell)
    except BaseException:
        shell.close()
        raise
    shell.close()  # it has not shut down yet
    return place if boot else None


def answering(observer: Appliance, address: str, interface: str = "") -> tuple[str, ...]:
    """Return the hardware addresses that answer for an IP address, seen from `observer`; empty without arping."""
    device = f"-I {quote(interface)}" if interface else ""
    text = observer.run(
        f"arping -c 2 -w 2 {device} {quote(address)} 2>/dev/null || :", sudo=True, check=False, timeout=20.0,
        display=f"count the hosts that answer at {address}",
    ).stdout  # fmt: skip
    return tuple(sorted({mac.lower() for mac in re.findall(r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b", text)}))


_OF_AN_INTERFACE = re.compile(
    r"(?:^|link/ether |\bether |HWaddr )((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\b", re.IGNORECASE | re.MULTILINE
)


def hardware_addresses(shell: Shell) -> tuple[str, ...]:
    """Read the MAC addresses of a host's interfaces; they distinguish hosts with the same keys and address.

    Returns:
        Lower case, sorted; empty if /sys, ip and ifconfig do not show them.
    """
    script = "cat /sys/class/net/*/address 2>/dev/null; ip -o link 2>/dev/null || ifconfig -a 2>/dev/null || :"
    text = shell.run(script, check=False, timeout=15.0, display="read its MACs").stdout
    found = {mac.lower() for mac in _OF_AN_INTERFACE.findall(text)}
    return tuple(sorted(found - {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"}))
