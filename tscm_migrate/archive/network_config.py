"""Parse the network settings in files of ifupdown, netplan, ifcfg and NetworkManager, and write one interface's. Pure.

Unknown settings are left out. `rewritten` changes only what has to change: comments, other interfaces, IPv6 and options
that are not about the address stay. A file that says something that cannot be kept for certain is refused with
`NotRewritable`.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
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


_IFUPDOWN_ENDS = re.compile(r"(iface|auto|allow-\S+|mapping|source|source-directory|no-auto-down|rename)\b")
_IFUPDOWN_GONE = {
    "address",
    "netmask",
    "network",
    "broadcast",
    "gateway",
    "dns-nameservers",
    "dns-nameserver",
    "metric",
}
_IFCFG_GONE = re.compile(r"(BOOTPROTO|IPADDR\d*|PREFIX\d*|NETMASK\d*|NETWORK\d*|BROADCAST\d*|GATEWAY\d*|DNS\d+)\Z")
_KEYFILE_GONE = re.compile(r"(method|address(es)?\d*|gateway|dns)\Z")
_SEARCH = re.compile(r"\s*search:.*\[")
_NETPLAN_GONE = {"dhcp4", "addresses", "gateway4", "routes", "nameservers", "dhcp4-overrides"}


class NotRewritable(ValueError):
    """The files are written in a form that cannot be rewritten for certain; the text says what it is."""


@dataclass(frozen=True)
class WantedNetwork:
    """Static IPv4 settings: an address with its prefix length, "" for no gateway, DNS servers in order."""

    address: str
    prefix: int
    gateway: str = ""
    dns: tuple[str, ...] = ()

    @property
    def netmask(self) -> str:
        """The prefix as a netmask."""
        return str(ipaddress.IPv4Network(f"0.0.0.0/{self.prefix}").netmask)

    @property
    def cidr(self) -> str:
        """Address and prefix."""
        return f"{self.address}/{self.prefix}"


def rewritten(files: Mapping[str, str], interface: str, wanted: WantedNetwork) -> tuple[str, str]:
    """Return the path of the one file that configures an interface, and its new text.

    Args:
        files: path → text, of all files that configure the network (see `network_config.settings`).
        interface: its name.
        wanted: what it gets.

    Raises:
        NotRewritable: no file or several files configure the interface, or the file cannot be rewritten for certain.
    """
    found = {path: text for path, text in files.items() if _configures(path, text, interface)}
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise NotRewritable(f"files that configure {interface}: {names}; exactly one is needed")
    path, text = next(iter(found.items()))
    made = _writer(path)(text, interface, wanted)
    _check(path, made, interface, wanted)
    return path, made


def kind_of(path: str) -> str:
    """Return the format of a file by its path: ifcfg, netplan, keyfile or ifupdown."""
    if "ifcfg-" in path:
        return "ifcfg"
    if path.endswith((".yaml", ".yml")):
        return "netplan"
    return "keyfile" if "/system-connections/" in path else "ifupdown"


def _writer(path: str) -> Callable[[str, str, WantedNetwork], str]:
    return {"ifcfg": _in_ifcfg, "netplan": _in_netplan, "keyfile": _in_keyfile, "ifupdown": _in_ifupdown}[kind_of(path)]


def _configures(path: str, text: str, interface: str) -> bool:
    name = re.escape(interface)
    match kind_of(path):
        case "ifcfg":
            device = re.search(r"^\s*DEVICE\s*=\s*['\"]?([^\s'\"]+)", text, re.MULTILINE)
            return (device[1] if device else path.rsplit("ifcfg-", 1)[1]) == interface
        case "netplan":
            return re.search(rf"^\s+['\"]?{name}['\"]?:\s*(#.*)?$", text, re.MULTILINE) is not None
        case "keyfile":
            return re.search(rf"^interface-name\s*=\s*{name}\s*$", text, re.MULTILINE) is not None
    return re.search(rf"^\s*iface\s+{name}\s+inet\s", text, re.MULTILINE) is not None


def _check(path: str, text: str, interface: str, wanted: WantedNetwork) -> None:
    """Check that the new text, read like an appliance's file, has the wanted settings and nothing else."""
    now = settings({path: text})
    ours = [(one.address, one.prefix) for one in now.interfaces if one.name == interface]
    if ours != [(wanted.address, wanted.prefix)] or now.dhcp is not False:
        raise NotRewritable(f"{path} would not set {wanted.cidr} for {interface}")


# ------------------------------------------------------------------------------------------------ ifupdown


def _in_ifupdown(text: str, interface: str, wanted: WantedNetwork) -> str:
    lines = text.splitlines(keepends=True)
    heads = [n for n, line in enumerate(lines) if line.split("#")[0].split()[:3] == ["iface", interface, "inet"]]
    if len(heads) != 1:
        raise NotRewritable(f"{len(heads)} stanzas `iface {interface} inet`; exactly one is needed")
    head = heads[0]
    if any(line.rstrip("\r\n").endswith("\\") for line in lines[head:]):
        raise NotRewritable("a line continues on the next one")
    end = next((n for n in range(head + 1, len(lines)) if _IFUPDOWN_ENDS.match(lines[n].lstrip())), len(lines))
    kept = [line for line in lines[head + 1 : end] if (line.split() or [""])[0] not in _IFUPDOWN_GONE]
    return "".join([*lines[:head], *_stanza(interface, wanted), *kept, *lines[end:]])


def _stanza(interface: str, wanted: WantedNetwork) -> list[str]:
    made = [f"iface {interface} inet static\n", f"    address {wanted.address}\n", f"    netmask {wanted.netmask}\n"]
    made += [f"    gateway {wanted.gateway}\n"] if wanted.gateway else []
    return [*made, f"    dns-nameservers {' '.join(wanted.dns)}\n"] if wanted.dns else made


# ------------------------------------------------------------------------------------------------ ifcfg


def _in_ifcfg(text: str, interface: str, wanted: WantedNetwork) -> str:
    del interface
    kept = [line for line in text.splitlines() if not _IFCFG_GONE.match(line.split("=")[0].strip().upper())]
    made = ["BOOTPROTO=none", f"IPADDR={wanted.address}", f"PREFIX={wanted.prefix}"]
    made += [f"GATEWAY={wanted.gateway}"] if wanted.gateway else []
    made += [f"DNS{number}={server}" for number, server in enumerate(wanted.dns, 1)]
    return "".join(f"{line}\n" for line in [*kept, *made])


# ------------------------------------------------------------------------------------------------ keyfile


def _in_keyfile(text: str, interface: str, wanted: WantedNetwork) -> str:
    del interface
    made = ["method=manual", f"address1={wanted.cidr}" + (f",{wanted.gateway}" if wanted.gateway else "")]
    made += [f"dns={';'.join(wanted.dns)};"] if wanted.dns else []
    lines, section, seen = list[str](), "", False
    for line in text.splitlines():
        if header := re.match(r"\[(.+)\]\s*\Z", line):
            section = header[1]
        elif section == "ipv4" and _KEYFILE_GONE.match(line.split("=")[0].strip()):
            continue
        lines.append(line)
        if header and section == "ipv4":
            lines += made
            seen = True
    if not seen:
        lines += ["", "[ipv4]", *made]
    return "".join(f"{line}\n" for line in lines)


# ------------------------------------------------------------------------------------------------ netplan


def _in_netplan(text: str, interface: str, wanted: WantedNetwork) -> str:
    if "\t" in text or text.count("{"):
        raise NotRewritable("its YAML has tabs or braces")
    lines = text.splitlines()
    head, end = _mapping(lines, interface)
    inner = next((_indent(line) for line in lines[head + 1 : end] if _is_yaml(line)), _indent(lines[head]) + 2)
    blocks = [(_key(block), block) for block in _blocks(lines[head + 1 : end], inner)]
    kept, search, gateway_key = list[str](), list[str](), False
    for key, block in blocks:
        _check_block(key, block)
        gateway_key = gateway_key or key == "gateway4"
        search += filter(_SEARCH.match, block) if key == "nameservers" else ()
        kept += block if key not in _NETPLAN_GONE else ()
    own = (f"{' ' * inner}{line}" for line in _settings(wanted, search, gateway_key=gateway_key))
    return "".join(f"{line}\n" for line in [*lines[: head + 1], *own, *kept, *lines[end:]])


def _mapping(lines: list[str], interface: str) -> tuple[int, int]:
    """Return the index of an interface's key, and that of the first line after its mapping."""
    key = re.compile(rf"\s+['\"]?{re.escape(interface)}['\"]?:\s*(#.*)?")
    heads = [n for n, line in enumerate(lines) if key.fullmatch(line)]
    if len(heads) != 1:
        raise NotRewritable(f"it contains {interface} {len(heads)} times")
    after = range(heads[0] + 1, len(lines))
    indent = _indent(lines[heads[0]])
    return heads[0], next((n for n in after if _is_yaml(lines[n]) and _indent(lines[n]) <= indent), len(lines))


def _key(block: list[str]) -> str:
    return block[0].strip().partition(":")[0].strip("'\"") if block and _is_yaml(block[0]) else ""


def _check_block(key: str, block: list[str]) -> None:
    """Refuse what would be lost: other routes, and IPv6 addresses."""
    if key == "routes" and _targets(block) - {"default", "0.0.0.0/0"}:
        raise NotRewritable("it has routes beside the default one")
    if key == "addresses" and any(":" in line.partition("addresses:")[2] or "::" in line for line in block):
        raise NotRewritable("it has IPv6 addresses")


def _settings(wanted: WantedNetwork, search: list[str], *, gateway_key: bool) -> list[str]:
    """Return the lines of the new settings, without indentation; `gateway_key`: the file uses `gateway4`."""
    made = ["dhcp4: false", "addresses:", f"  - {wanted.cidr}"]
    if wanted.gateway and gateway_key:
        made += [f"gateway4: {wanted.gateway}"]
    elif wanted.gateway:
        made += ["routes:", "  - to: 0.0.0.0/0", f"    via: {wanted.gateway}"]
    if wanted.dns:
        made += ["nameservers:", f"  addresses: [{', '.join(wanted.dns)}]", *(f"  {line.strip()}" for line in search)]
    return made


def _targets(block: list[str]) -> set[str]:
    return set(re.findall(r"\bto:\s*['\"]?([^\s'\",}]+)", "\n".join(block)))


def _is_yaml(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _blocks(lines: list[str], indent: int) -> Iterator[list[str]]:
    """Yield each key of a mapping with the lines below it; a list may have the same indentation as its key."""
    block: list[str] = []
    for line in lines:
        if _is_yaml(line) and _indent(line) == indent and not line.lstrip().startswith("- ") and block:
            yield block
            block = []
        block.append(line)
    if block:
        yield block
