"""`tsadmin network`: the dialogue, and saving settings that take effect at the next boot."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from . import ask, netfile
from .machine import address_of

if TYPE_CHECKING:
    from .base import Machine
    from .options import Options


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
        net = netfile.Net(interface, dhcp=True)
        shown = "\tInterface Address Method: DHCP\n"
    else:
        address = _address(machine, "ip", "IP Address")
        mask = _address(machine, "mask", "Subnet Mask")
        gateway = _address(machine, "gateway", "Gateway")
        servers = _servers(machine)
        prefix = IPv4Network(f"0.0.0.0/{mask}").prefixlen
        net = netfile.Net(interface, False, address, prefix, gateway, tuple(servers))  # noqa: FBT003
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


def apply(machine: Machine, net: netfile.Net, own: str) -> None:
    """Save the settings; the present address stays until the next boot."""
    path = machine.path("interfaces")
    machine.write("[Backing up current configuration]\n")
    path.with_name("interfaces.bak").write_bytes(path.read_bytes())
    machine.write(f"using {'DHCP' if net.dhcp else 'STATIC'} template\n")
    machine.write("applying permanent config to /etc/network/interfaces\n")
    machine.write("[ ok ] Restarting networking (via systemctl): networking.service.\n")
    part = path.with_name("interfaces.part")
    part.write_text(netfile.write(net), "utf-8")
    part.replace(path)
    machine.note("network-saved", address=net.address, dhcp=net.dhcp)
    machine.write(f"The IP address: {own} will disappear on next reboot\nYour current IP: {own}\n")
    machine.write("Success: Network setup complete.\n")
