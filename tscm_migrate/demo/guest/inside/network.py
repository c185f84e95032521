"""/etc/network/interfaces of an appliance: written for the next boot, and read by the lab then."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Machine


def apply(machine: Machine, net: Net, own: str) -> None:
    """Save the settings; the present address stays until the next boot."""
    path = machine.path("interfaces")
    machine.write("[Backing up current configuration]\n")
    path.with_name("interfaces.bak").write_bytes(path.read_bytes())
    machine.write(f"using {'DHCP' if net.dhcp else 'STATIC'} template\n")
    machine.write("applying permanent config to /etc/network/interfaces\n")
    machine.write("[ ok ] Restarting networking (via systemctl): networking.service.\n")
    part = path.with_name("interfaces.part")
    part.write_text(net_text(net), "utf-8")
    part.replace(path)
    machine.note("network-saved", address=net.address, dhcp=net.dhcp)
    machine.write(f"The IP address: {own} will disappear on next reboot\nYour current IP: {own}\n")
    machine.write("Success: Network setup complete.\n")


@dataclass(frozen=True)
class Net:
    """Settings of an interface for the next boot; `address` is "" with DHCP."""

    interface: str
    address: str = ""
    prefix: int = 24
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool = False


def net_text(net: Net) -> str:
    """Return the text of the file."""
    head = "# written by tsadmin network\nauto lo\niface lo inet loopback\n\n"
    head += f"auto {net.interface}\niface {net.interface} inet {'dhcp' if net.dhcp else 'static'}\n"
    if net.dhcp:
        return head
    mask = IPv4Interface(f"{net.address}/{net.prefix}").netmask
    body = f"    address {net.address}\n    netmask {mask}\n"
    if net.gateway:
        body += f"    gateway {net.gateway}\n"
    if net.dns:
        body += f"    dns-nameservers {' '.join(net.dns)}\n"
    return head + body


def parse_net(text: str) -> Net | None:
    """Return the first interface that is not loopback; None if the text has no such interface, or is not valid."""
    name, method, values = "", "", {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 4 and words[0] == "iface":
            if name:
                break
            if words[1] != "lo":
                name, method = words[1], words[3]
        elif len(words) >= 2 and name:
            values[words[0]] = words[1:]
    if not name:
        return None
    if method == "dhcp":
        return Net(name, dhcp=True)
    try:
        address, _, length = values["address"][0].partition("/")
        mask = length or values.get("netmask", ["255.255.255.0"])[0]
        own = IPv4Interface(f"{address}/{mask}")
    except (KeyError, ValueError):
        return None
    gateway = values.get("gateway", [""])[0]
    return Net(name, str(own.ip), own.network.prefixlen, gateway, tuple(values.get("dns-nameservers", ())))
