"""Pure parsers of the output of the facts' commands. None raises: what is not understood is left out."""

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from tscm_migrate.appliance import tables
from tscm_migrate.model import Paths

SAFE_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)
_LEVEL = r"(?:INFO|NOTICE|WARN(?:ING)?|DEBUG|TRACE|OK|ERROR|FATAL)"
LOG_TAG = re.compile(rf"^\s*(?:\[\s*{_LEVEL}\s*\]\s*:?|{_LEVEL}\s*(?::|-\s))\s*", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


_ENDING = re.compile(r"\.(?:conf|cfg|json|xml|ya?ml|ini|txt)$")


def without_ending(name: str) -> str:
    """Return a file name without the ending of a configuration file."""
    return _ENDING.sub("", name)


@dataclass(frozen=True)
class Interface:
    """An address of an interface; `prefix` in bits. `leased`: its validity ends, so it came by DHCP."""

    name: str
    address: str
    prefix: int
    leased: bool = False


def who(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse login user, home folder, host name and groups: one line each."""
    lines = [line.strip() for line in text.splitlines()] + ["", "", "", ""]
    return {"user": lines[0], "home": lines[1], "hostname": lines[2], "groups": tuple(lines[3].split())}


def vendor_group(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse whether the group threatstop exists, whose members may use tsadmin."""
    return {"vendor_group": text.startswith("threatstop:")}


def clock(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse `date +%s.%N`; a date without %N prints it literally."""
    match = re.match(r"\s*([0-9]{1,12}(?![0-9]))(\.[0-9]{1,12})?", text)
    return {"clock": float(match[1] + (match[2] or "")) if match else 0.0}


def os_release(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse /etc/os-release: KEY=value or KEY="value"."""
    pairs = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            pairs[key] = value.strip().strip("'\"")
    return {
        "os_id": pairs.get("ID", "").lower(),
        "os_version": pairs.get("VERSION_ID", ""),
        "os_pretty": pairs.get("PRETTY_NAME", ""),
    }


def boot(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse boot id and start of process 1; together they change with every boot."""
    return {"boot": " ".join(text.split())}


def machine(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse the machine id, which clones of one image may share."""
    return {"machine_id": text.strip()}


def addresses(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse `ip -o addr show`: the IPv4 and global IPv6 addresses, without loopback."""
    found = []
    for line in text.splitlines():
        match = re.match(
            r"[0-9]+:\s+([^\s@:]+)\S*\s+inet6?\s+([0-9a-fA-F.:]+)/([0-9]{1,3})\s.*\bscope (?:global|site)", line
        )
        if match and match[1] != "lo":
            leased = re.search(r"\bdynamic\b|valid_lft \d", line) is not None
            found.append(Interface(match[1], match[2], int(match[3]), leased))
    return {"interfaces": tuple(found)}


def route(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse `ip route show default`: the first gateway and its interface."""
    via = re.search(r"default via (\S+)", text)
    device = re.search(r"\bdev (\S+)", text)
    return {"gateway": via[1] if via else "", "route_interface": device[1] if device else ""}


def dns(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse the nameservers of resolv.conf that are addresses."""
    found = []
    for word in re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE):
        try:
            found.append(str(ipaddress.ip_address(word.split("%")[0])))
        except ValueError:
            continue
    return {"dns": tuple(found)}


def network(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse whether the address comes by DHCP, from ifupdown, netplan and ifcfg files; None for others."""
    if re.search(r"^\s*iface\s+(?!lo\b)\S+\s+inet\s+dhcp", text, re.MULTILINE):
        return {"dhcp": True}
    if re.search(r"dhcp4:\s*(?:true|yes)|BOOTPROTO=[\"']?dhcp", text, re.IGNORECASE):
        return {"dhcp": True}
    if re.search(r"^\s*iface\s+(?!lo\b)\S+\s+inet\s+static", text, re.MULTILINE):
        return {"dhcp": False}
    if re.search(
        r"^\s*addresses:|dhcp4:\s*(?:false|no)|BOOTPROTO=[\"']?(?:static|none)", text, re.MULTILINE | re.IGNORECASE
    ):
        return {"dhcp": False}
    return {"dhcp": None}


def backup_dir(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse whether the folder exists."""
    return {"backup_dir_exists": text.strip() == "yes"}


def free(text: str, paths: Paths) -> dict[str, Any]:
    """Parse lines of `path` and the last line of `df -Pk`: free bytes per path (df counts in KiB)."""
    found = []
    for line in text.splitlines():
        match = re.match(r"(\S+) .*?\s([0-9]+)\s+([0-9]+)\s+(-?[0-9]{1,18})\s+[0-9]+%\s", line)
        if match:
            found.append((match[1], int(match[4]) * 1024))
    del paths
    return {"free": tuple(found)}


def tools(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse names of programs, one on each line."""
    return {"tools": tuple(text.split())}


def fingerprint(blob: str) -> str:
    """Return the fingerprint of a public key in base64, as `ssh-keygen -l` prints it; "" if it is not valid."""
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def host_keys(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse public host keys, `type base64 comment` a line → (type, fingerprint)."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].startswith(("ssh-", "ecdsa-", "sk-")) and (print_ := fingerprint(words[1])):
            found.append((words[0], print_))
    return {"host_keys": tuple(sorted(found))}


def cron_entry(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse whether cron's entry that starts ts-update is in place."""
    return {"cron_entry": text.strip() == "yes"}


def cron_text(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse the content of the entry."""
    return {"cron_text": text if text.strip() else ""}


def backup_cron(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse the scheduled backup's cron file, at most 64 KiB of it."""
    return {"backup_cron": text[:65536].strip("\n")}


def _du(text: str) -> int:
    match = re.match(r"\s*([0-9]{1,18})\s", text)
    return int(match[1]) * 1024 if match else 0


def etc_size(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse `du -sk`: bytes."""
    return {"etc_size": _du(text)}


def log_size(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse `du -sk`: bytes; files that cannot be read are not counted."""
    return {"log_size": _du(text)}


def log_writable(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse whether the login user may write to the log folder."""
    return {"log_writable": text.strip() == "yes"}


_MODULE = re.compile(r"[A-Za-z][\w.+-]*")
_MODULE_VERSION = re.compile(r"(?<![\w-])(TSCM-Core|ts-[\w-]+)\s*[:=]?\s+v?(\d[\w.-]*)")
_BARE_VERSION = re.compile(
    r"\W*(?:(?:tsadmin|tscm(?:-core)?|threatstop)\s+)*(?:version\s*:?\s*)?v?(\d+\.\d+(?:[.-]\d+)*)\s*", re.IGNORECASE
)


def versions(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse `tsadmin version --all`: the rows of its table; a version may be blank.

    Without a table, each line with a module's name and a version is used. A bare number, as `tsadmin version` prints,
    is the version of TSCM-Core.
    """
    lines = [LOG_TAG.sub("", raw).rstrip() for raw in _ANSI.sub("", text).splitlines()]
    rows = [row for table in tables.ruled("\n".join(lines)) for row in _modules(table)]
    if not rows:
        rows = [(match[1], match[2]) for line in lines if (match := _MODULE_VERSION.search(line))]
    bare = next((match[1] for line in lines if (match := _BARE_VERSION.fullmatch(line))), "")
    if bare and not any(module.lower() == "tscm-core" for module, _ in rows):
        rows.insert(0, ("TSCM-Core", bare))
    return {"versions": tuple(dict.fromkeys(rows))}


def _modules(table: tables.Table) -> list[tuple[str, str]]:
    name = table.column("module", "module name", "component", "package", "product", "name") or 0
    version = table.column("version", "installed", "current version", "installed version")
    version = min(name + 1, max(len(table.heading) - 1, 0)) if version is None else version
    pairs = zip(table.cells(name), table.cells(version), strict=True)
    return [("-".join(module.split()), number.split()[0] if number and version != name else "")
            for module, number in pairs if _MODULE.fullmatch("-".join(module.split()))]  # fmt: skip


def named(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse whether BIND's `named` runs or is installed."""
    return {"named": any(line.rsplit("/", 1)[-1] == "named" for line in text.split())}


def etc_tree(text: str, _paths: Paths) -> dict[str, Any]:
    """Parse the paths of the files below the etc folder, one on each line."""
    return {"etc_tree": tuple(line.removeprefix("./") for line in text.splitlines() if line)}


def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers of a version for a comparison: "v1.50-01" → (1, 50, 1); () if there are none."""
    return tuple(int(part) for part in re.findall(r"[0-9]{1,18}", version.strip().lstrip("vV")))
