"""Down, gone, and back: taking an appliance off the network, proving it, rebooting, and finding it again."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import time
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.appliance.facts import boot_script
from tscm_migrate.errors import (
    AuthFailed,
    CannotLook,
    CommandFailed,
    CommandTimeout,
    ConnectionLost,
    HostKeyError,
    NotComeBack,
    SshError,
    StillOnline,
    Unreachable,
)
from tscm_migrate.events import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tscm_migrate.appliance.appliance import Appliance, Dial
    from tscm_migrate.events import Emit
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

GONE_WITHIN = 180.0  # seconds that a shutdown may take
_PAUSE = 0.2  # seconds between two looks
_REFUSED_PAUSE = 5.0  # seconds between logins that are refused, at most
_QUIET_LOOKS = 2  # looks in a row at which nobody may answer
_SAME_BOOT_AFTER = 20.0  # seconds at the foreseen address without another boot identity
_GOES_DOWN = 30.0  # seconds after which a reboot that was asked for must have taken the connection


def power_off(appliance: Appliance) -> None:
    """Tell it to power off; losing the connection is success, and proof is another matter (`prove_gone`).

    Raises:
        CommandFailed: none of the commands worked.
    """
    _tell(appliance, appliance.host.commands.poweroff)
    appliance.close()


def _tell(appliance: Appliance, command: str) -> None:
    with contextlib.suppress(ConnectionLost, CommandTimeout):
        result = appliance.run(command, sudo=True, timeout=30.0, check=False, display=command)
        # A shell that is killed by the shutdown that it called has no status, or that of a signal.
        if 0 < result.status < 128:
            raise CommandFailed(appliance.name, "", command, result.status, result.stderr or result.stdout)


def reboot(appliance: Appliance, *, was: str, soon: bool) -> str:
    """Make sure that it restarts.

    Args:
        appliance: where.
        was: its boot identity before; another one now means that it has restarted already.
        soon: it has said that it will by itself; it gets some seconds before it is told.

    Returns:
        "by itself" or "by our command".
    """
    deadline = time.monotonic() + (_GOES_DOWN if soon else 0.0)
    while time.monotonic() < deadline:
        try:
            if boot_of(appliance.shell) != was:
                return "by itself"
        except SshError:
            return "by itself"
        time.sleep(0.5)
    try:
        _tell(appliance, appliance.host.commands.reboot)
    except (ConnectionLost, Unreachable):
        return "by itself"
    finally:
        appliance.close()
    return "by our command"


def boot_of(shell: Shell) -> str:
    """What changes with every boot; see `facts.boot_script`."""
    text = shell.run(boot_script(shell.host.paths), check=False, timeout=15.0, display="which boot is it?").stdout
    return " ".join(text.split())


def saved_settings(appliance: Appliance) -> str:
    """A hash of what is configured for the next boot, whoever manages the network there."""
    script = (
        "find /etc/network /etc/netplan /etc/sysconfig/network /etc/sysconfig/network-scripts /etc/systemd/network "
        "/etc/NetworkManager/system-connections /etc/dhcpcd.conf -type f -exec sha256sum {} + 2>/dev/null | "
        "sort | sha256sum"
    )
    return appliance.run(script, sudo=True, check=False, display="which network settings are saved?").stdout.strip()


def saved_files(appliance: Appliance) -> dict[str, str]:
    """The files from which the network is set at the next boot, without copies that a program has laid beside them."""
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
    """Ask, from `observer`, by ARP (with arping, else the kernel's own), ping and TCP whether a host is at `address`.

    Takes `asks` seconds where no host answers.

    Returns:
        What answered: "arp", "ping", "port 22"; empty if nothing did.

    Raises:
        CannotLook: neither arping nor ping could ask, so that silence proves nothing.
    """
    at = quote(address)
    device = f"-I {quote(interface)}" if interface else ""
    no_arping = "" if ":" in address else "command -v arping >/dev/null 2>&1 ||"  # ARP is IPv4's
    # Both end with 0 for an answer and 1 for none; with anything else they have not asked.
    script = (
        f'(o=$(arping -c {asks} -w {asks} {device} {at} 2>/dev/null); [ $? -gt 1 ] || echo "asked arp"; '
        "case $o in *[Rr]eply\\ from*|*bytes\\ from*) echo arp;; esac) & "
        f'(n() {{ {no_arping} ip neigh "$@" 2>/dev/null; }}; n flush to {at}; '
        # without arping, the kernel's own question tells: whoever blocks a ping still has a hardware address
        f'ping -c 1 -W 1 {at} >/dev/null 2>&1; r=$?; [ $r -gt 1 ] || echo "asked ping"; [ $r != 0 ] || echo ping; '
        f"n show to {at} | grep -q lladdr && echo arp) & "
        f"(if command -v nc >/dev/null 2>&1; then nc -z -w {asks} {at} {port}; "
        f'else timeout {asks} bash -c "exec 3<>/dev/tcp/{address}/{port}"; fi >/dev/null 2>&1 '
        f'&& echo "port {port}") & wait'
    )
    # root: arping wants a raw socket
    done = observer.run(script, sudo=True, check=False, timeout=20.0, display=f"does anybody answer at {address}?")
    lines = {line.strip() for line in done.stdout.splitlines() if line.strip()}
    answers = {line for line in lines if not line.startswith("asked ")}
    if not lines:
        raise CannotLook(observer.name, f"whether a host is at {address}: neither arping nor ping can ask there")
    return tuple(sorted(answers))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def refuses_here(host: Host, timeout: float = 3.0) -> bool:
    """Whether somebody is at the address who takes or turns down a connection from this workstation.

    Silence proves nothing; behind a jump host it is not asked. A loopback address is this workstation's own: there its
    own kernel turns the connection down, and no appliance.
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
    """Wait until nobody answers at the address of `host`, seen from `observer`, at several looks in a row.

    Raises:
        StillOnline: somebody still did when the time was over.
    """
    began, quiet = time.monotonic(), 0
    while True:
        answers = who_answers(observer, host.address, host.port, interface)
        quiet = 0 if answers else quiet + 1
        waited = time.monotonic() - began
        if quiet >= _QUIET_LOOKS:
            return
        if waited > timeout:
            raise StillOnline(
                host.name, f"{', '.join(answers)} answers at {host.address} {waited:.0f} s after it was told to go"
            )
        if answers:
            observer.emit(Waiting(f"until nobody answers at {host.address}", waited, timeout, host.name))
            sleep(0.2)


@dataclass(frozen=True)
class Reappeared:
    """Where an appliance came back, and the connection to it."""

    host: Host
    shell: Shell


def places(new: Host, old: Host, *, was_at: str) -> tuple[Host, ...]:
    """Where the new appliance may come back: at the old one's address as foreseen, or at its own."""
    at_old = replace(new, address=old.address, port=old.port, gateway=old.gateway or new.gateway)
    return (at_old, replace(new, address=was_at))


def wait_for(
    dial: Dial,
    *,
    places: Sequence[Host],
    expect: Sequence[str],
    old_boot: str,
    timeout: float,
    emit: Emit,
    sleep: Callable[[float], None] = time.sleep,
) -> Reappeared:
    """Wait until the appliance answers with a foreseen key and another boot than before.

    Whatever else happens while it starts (a refused login, a connection that is closed, a command that does not run)
    means "not yet" until the time is over; then the last reason is in the error.

    Args:
        dial: makes a new connection each time.
        places: where to look, the foreseen place first.
        expect: fingerprints of its own host keys.
        old_boot: its boot identity before the reboot.
        timeout: seconds by the wall clock.
        emit: sees the waiting.
        sleep: between the looks.

    Returns:
        The first place where it is. At any but the first it is only believed after the first had its time.

    Raises:
        HostKeyError: the foreseen place shows another key than the foreseen ones.
        NotComeBack: the time was over.
    """
    began = time.monotonic()
    reasons: dict[str, SshError] = {}
    pause = _PAUSE
    moves = places[0].address != places[-1].address
    while (waited := time.monotonic() - began) < timeout:
        for index, place in enumerate(places):
            if index and waited < min(30.0, timeout / 2):
                continue
            # Its own key at another address than before is a change of its network, if not a restart: after a while
            # that is believed of an appliance whose boot identity does not change.
            any_boot = index == 0 and moves and waited > _SAME_BOOT_AFTER
            try:
                found = _try(dial, place, expect, "" if any_boot else old_boot)
            except SshError as error:
                if isinstance(error, HostKeyError) and index == 0:
                    raise
                reasons[place.address] = error
                if isinstance(error, AuthFailed):  # each may count towards a lock of the account
                    pause = min(2 * pause, _REFUSED_PAUSE)
            else:
                if found is not None:
                    return found
        emit(Waiting(f"for the appliance to come back at {places[0].address}", waited, timeout, places[0].name))
        sleep(min(pause, max(_PAUSE, timeout - waited)))
    if (found := _elsewhere(dial, places[1:], expect, old_boot)) is not None:
        return found
    told = "; ".join([f"not seen at {' and '.join(p.address for p in places)} within {timeout:.0f} s",
                      *map(str, reasons.values())])  # fmt: skip
    raise NotComeBack(places[0].name, told)


def _elsewhere(dial: Dial, places: Sequence[Host], expect: Sequence[str], old_boot: str) -> Reappeared | None:
    """Whatever the first place has cost: a last look where it may be instead."""
    for place in places:
        with contextlib.suppress(SshError):
            if (found := _try(dial, place, expect, old_boot)) is not None:
                return found
    return None


def _try(dial: Dial, place: Host, expect: Sequence[str], old_boot: str) -> Reappeared | None:
    shell = dial(place, expect)
    try:
        boot = boot_of(shell)
        if boot != old_boot and (boot or not old_boot):
            return Reappeared(place, shell)
    except BaseException:
        shell.close()
        raise
    shell.close()  # it has not gone down yet
    return None


def answering(observer: Appliance, address: str, interface: str = "") -> tuple[str, ...]:
    """The hardware addresses that answer for an IP address, seen from `observer`; empty where arping is not there."""
    device = f"-I {quote(interface)}" if interface else ""
    text = observer.run(
        f"arping -c 2 -w 2 {device} {quote(address)} 2>/dev/null || :", sudo=True, check=False, timeout=20.0,
        display=f"how many hosts answer at {address}?",
    ).stdout  # fmt: skip
    return tuple(sorted({mac.lower() for mac in re.findall(r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b", text)}))


_OF_AN_INTERFACE = re.compile(
    r"(?:^|link/ether |\bether |HWaddr )((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\b", re.IGNORECASE | re.MULTILINE
)


def hardware_addresses(shell: Shell) -> tuple[str, ...]:
    """Read the MAC addresses of a host's interfaces: they tell it from another host with the same keys and address.

    Returns:
        Lower case, sorted; empty where neither /sys nor ip nor ifconfig tells them.
    """
    script = "cat /sys/class/net/*/address 2>/dev/null; ip -o link 2>/dev/null || ifconfig -a 2>/dev/null || :"
    text = shell.run(script, check=False, timeout=15.0, display="read its MACs").stdout
    found = {mac.lower() for mac in _OF_AN_INTERFACE.findall(text)}
    return tuple(sorted(found - {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"}))
