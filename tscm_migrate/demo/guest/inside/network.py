"""`tsadmin network`, its dialogue, and /etc/network/interfaces: written for the next boot, and read by the lab then."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from . import ask
from .base import address_of

if TYPE_CHECKING:
    from .base import Machine, Options


def run(machine: Machine, options: Options) -> int:
    """`tsadmin network`."""
    machine.want_root()
    own, _ = address_of(machine, options.interface)
    dialogue(machine, options.interface, own)
    return int(machine.profile["exit_ok"])


def dialogue(machine: Machine, interface: str, own: str) -> None:
    """Ask for the settings one by one, show them, and apply them after confirmation."""
    if ask.yes(machine, "dhcp"):
        machine.write("Applying DHCP settings...\n")
        net = Net(interface, dhcp=True)
        shown = "\tInterface Address Method: DHCP\n"
    else:
        address = _address(machine, "ip", "IP Address")
        mask = _address(machine, "mask", "Subnet Mask")
        gateway = _address(machine, "gateway", "Gateway")
        servers = _servers(machine)
        prefix = IPv4Network(f"0.0.0.0/{mask}").prefixlen
        net = Net(interface, False, address, prefix, gateway, tuple(servers))  # noqa: FBT003
        shown = f"\tInterface Address Method: STATIC\n\tIP Address: {address}\n\tSubnet Mask: {mask}\n"
        shown += f"\tGateway: {gateway}\n" + "".join(f"\tDNS Server: {server}\n" for server in servers)
    machine.write("\t*** Verify IP settings ***\n" + shown)
    if not ask.yes(machine, "apply"):
        machine.fail("Network setup cancelled")
    apply(machine, net, own)


def _servers(machine: Machine) -> list[str]:
    servers = [_address(machine, "dns", "DNS Server")]
    if machine.wording.asks_dns_until_empty:
        while server := _address(machine, "dns", "DNS Server", empty=True):
            servers.append(server)
    else:
        while ask.yes(machine, "more_dns"):
            servers.append(_address(machine, "dns", "DNS Server"))
    return servers


def _address(machine: Machine, question: str, label: str, *, empty: bool = False) -> str:
    for _ in range(ask.TRIES):
        answer = (ask.line_or_nothing if empty else ask.line)(machine, question).strip()
        if empty and not answer:
            return ""
        try:
            IPv4Address(answer)
        except AddressValueError:
            machine.warn(f"Not an address: {answer!r}")
            continue
        machine.write(f"Adding: {label} '{answer}'\n")
        return answer
    machine.fail("No valid address, giving up.")


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
    dhcp: bool
    address: str = ""
    prefix: int = 24
    gateway: str = ""
    dns: tuple[str, ...] = ()


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
    return Net(name, False, str(own.ip), own.network.prefixlen, gateway, tuple(values.get("dns-nameservers", ())))  # noqa: FBT003
