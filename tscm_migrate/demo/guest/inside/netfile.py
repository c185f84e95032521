"""The saved network settings in /etc/network/interfaces: written by restore, read by the lab at a boot."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface


@dataclass(frozen=True)
class Net:
    """Settings of an interface for the next boot; `address` is "" with DHCP."""

    interface: str
    dhcp: bool
    address: str = ""
    prefix: int = 24
    gateway: str = ""
    dns: tuple[str, ...] = ()


def write(net: Net) -> str:
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


def read(text: str) -> Net | None:
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
    return Net(name, False, str(own.ip), own.network.prefixlen, gateway, tuple(values.get("dns-nameservers", ())))  # noqa: FBT003
