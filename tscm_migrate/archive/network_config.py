"""Parses network settings from files of ifupdown, netplan, ifcfg and NetworkManager; unknown settings are left out."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tscm_migrate.appliance.parsers import Interface

_IP = r"\d{1,3}(?:\.\d{1,3}){3}"


@dataclass(frozen=True)
class Saved:
    """Settings for the next boot; `dhcp` None: none were understood."""

    interfaces: tuple[Interface, ...] = ()
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool | None = None


def settings(files: Mapping[str, str]) -> Saved:
    """Parse the files.

    Args:
        files: path → text, the path as it ends on the appliance (…/network/interfaces, …/netplan/x.yaml, …/ifcfg-eth0,
            …/system-connections/eth0.nmconnection).
    """
    found = [_parsed(path, text) for path, text in sorted(files.items())]
    leases = [one.dhcp for one in found if one.dhcp is not None]
    return Saved(
        tuple(dict.fromkeys(interface for one in found for interface in one.interfaces)),
        next((one.gateway for one in found if one.gateway), ""),
        tuple(dict.fromkeys(server for one in found for server in one.dns)),
        any(leases) if leases else None,
    )


def _parsed(path: str, text: str) -> Saved:
    if "ifcfg-" in path:
        return _ifcfg(path.rsplit("ifcfg-", 1)[1], text)
    if path.endswith((".yaml", ".yml")):
        return _netplan(text)
    return _keyfile(text) if "/system-connections/" in path else _ifupdown(text)


def _interface(name: str, address: str, mask: str) -> tuple[Interface, ...]:
    try:
        own = ipaddress.ip_interface(f"{address}/{mask}" if mask else address)
    except ValueError:
        return ()
    return (Interface(name, str(own.ip), own.network.prefixlen),) if name != "lo" else ()


def _ifupdown(text: str) -> Saved:
    interfaces: list[Interface] = []
    gateway, dns, dhcp = "", list[str](), None
    for stanza in re.split(r"^(?=\s*iface\s)", text, flags=re.MULTILINE)[1:]:
        head = stanza.split("\n", 1)[0].split()
        if len(head) < 4 or head[1] == "lo" or head[2] != "inet":
            continue
        values = {
            words[0]: words[1:] for line in stanza.splitlines()[1:] if len(words := line.split("#")[0].split()) > 1
        }
        dhcp = bool(dhcp) or head[3] == "dhcp"
        address, _, length = values.get("address", [""])[0].partition("/")
        interfaces += _interface(head[1], address, length or values.get("netmask", ["24"])[0])
        gateway = gateway or values.get("gateway", [""])[0]
        dns += values.get("dns-nameservers", [])
    return Saved(tuple(interfaces), gateway, tuple(dns), dhcp)


def _netplan(text: str) -> Saved:
    """Parse netplan without a YAML parser: names at the third level, addresses with a length."""
    interfaces: list[Interface] = []
    name, dhcp = "", None
    servers = re.search(r"nameservers:.*?addresses:\s*(\[[^\]]*\]|(?:\s*-\s*\S+)+)", text, re.DOTALL)
    for line in text.splitlines():
        if match := re.match(r"    (?:    )?([\w.@-]+):\s*$", line):
            name = match[1] if match[1] not in {"addresses", "nameservers", "routes"} else name
        for address, length in re.findall(rf"({_IP})/([0-9]{{1,3}})(?![0-9])", line if "to:" not in line else ""):
            interfaces += _interface(name, address, length)
        if match := re.search(r"dhcp4:\s*(\w+)", line):
            dhcp = bool(dhcp) or match[1].lower() in {"true", "yes", "on"}
    gateway = re.search(rf"(?:gateway4|via):\s*['\"]?({_IP})", text)
    dns = re.findall(_IP, servers[1]) if servers else []
    static = False if interfaces and dhcp is None else dhcp
    return Saved(tuple(interfaces), gateway[1] if gateway else "", tuple(dns), static)


def _keyfile(text: str) -> Saved:
    section = re.search(r"^\[ipv4\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    name = re.search(r"^interface-name\s*=\s*(\S+)", text, re.MULTILINE)
    if section is None:
        return Saved()
    values: dict[str, str] = dict(re.findall(r"^(\w[\w-]*)\s*=\s*(\S+)", section[1], re.MULTILINE))
    first, _, gateway = values.get("address1", values.get("addresses1", "")).partition(",")
    address, _, length = first.partition("/")
    return Saved(
        _interface(name[1] if name else "eth0", address, length), gateway or values.get("gateway", ""),
        tuple(server for server in re.split(r"[;,]", values.get("dns", "")) if server), values.get("method") == "auto",
    )  # fmt: skip


def _ifcfg(name: str, text: str) -> Saved:
    values = {
        key.upper(): value.strip("'\"") for key, value in re.findall(r"^\s*(\w+)\s*=\s*(\S+)", text, re.MULTILINE)
    }
    if name == "lo" or not values:
        return Saved()
    own = values.get("DEVICE", name)
    mask = values.get("PREFIX", values.get("PREFIX0", values.get("NETMASK", "24")))
    dns = tuple(value for key, value in sorted(values.items()) if re.fullmatch(r"DNS\d*", key))
    found = _interface(own, values.get("IPADDR", values.get("IPADDR0", "")), mask)
    return Saved(found, values.get("GATEWAY", ""), dns, values.get("BOOTPROTO", "").lower() == "dhcp")
