"""`tsadmin network`, and its dialogue."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from tscm_migrate.demo.guest.inside.base import TRIES, Net, address_of, apply_network

if TYPE_CHECKING:
    from tests.harness.guest.machine import VariedMachine
    from tscm_migrate.demo.guest.inside.base import Options


def run(machine: VariedMachine, options: Options) -> int:
    """`tsadmin network`."""
    machine.want_root()
    own, _ = address_of(machine, options.interface)
    dialogue(machine, options.interface, own)
    return 0


def dialogue(machine: VariedMachine, interface: str, own: str) -> None:
    """Ask for the settings one by one, show them, and apply them after confirmation."""
    if machine.ask_yes("dhcp"):
        machine.write("Applying DHCP settings...\n")
        net = Net(interface, dhcp=True)
        shown = "\tInterface Address Method: DHCP\n"
    else:
        address = _address(machine, "ip", "IP Address")
        mask = _address(machine, "mask", "Subnet Mask")
        gateway = _address(machine, "gateway", "Gateway")
        servers = _servers(machine)
        prefix = IPv4Network(f"0.0.0.0/{mask}").prefixlen
        net = Net(interface, address, prefix, gateway, tuple(servers))
        shown = f"\tInterface Address Method: STATIC\n\tIP Address: {address}\n\tSubnet Mask: {mask}\n"
        shown += f"\tGateway: {gateway}\n" + "".join(f"\tDNS Server: {server}\n" for server in servers)
    machine.write("\t*** Verify IP settings ***\n" + shown)
    if not machine.ask_yes("apply"):
        machine.fail("Network setup cancelled")
    apply_network(machine, net, own)


def _servers(machine: VariedMachine) -> list[str]:
    servers = [_address(machine, "dns", "DNS Server")]
    if machine.wording.asks_dns_until_empty:
        while server := _address(machine, "dns", "DNS Server", empty=True):
            servers.append(server)
    else:
        while machine.ask_yes("more_dns"):
            servers.append(_address(machine, "dns", "DNS Server"))
    return servers


def _address(machine: VariedMachine, question: str, label: str, *, empty: bool = False) -> str:
    for _ in range(TRIES):
        answer = (machine.ask_line_or_nothing if empty else machine.ask_line)(question).strip()
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
