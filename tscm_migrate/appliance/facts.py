"""Facts of an appliance: shell commands, each with a pure parser of its output, run in one round trip.

Each command is read-only and runs as the login user. The output of an appliance is hostile input: sections are marked
with a random word, and parsers drop what they do not understand.
"""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tscm_migrate.appliance import archives, device_discovery, parsers
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.model import Archive, Paths
from tscm_migrate.util.redact import printable


@dataclass(frozen=True)
class Facts:
    """The facts of one appliance at one time. Sizes in bytes, times in seconds of the Unix epoch."""

    name: str
    user: str = ""
    home: str = ""
    hostname: str = ""
    groups: tuple[str, ...] = ()  # of the login
    os_id: str = ""
    os_version: str = ""
    os_pretty: str = ""
    versions: tuple[tuple[str, str], ...] = ()  # (module, version as printed); the version may be blank
    version_error: str = ""
    interfaces: tuple[parsers.Interface, ...] = ()
    gateway: str = ""
    route_interface: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool | None = None  # None: this kind of network configuration is not known
    archives: tuple[Archive, ...] = ()
    links: tuple[str, ...] = ()  # threatstop_latest* symlinks
    unseen: str = ""  # why the archives cannot be listed
    name_offset: float | None = None  # seconds by which the times in archive names are ahead of UTC; None: not known
    backup_dir_exists: bool = False
    free: tuple[tuple[str, int], ...] = ()  # (path, free bytes)
    tools: tuple[str, ...] = ()
    devices: tuple[str, ...] | None = None  # None: neither `tsadmin list` nor the configuration shows them
    device_source: str = ""
    host_keys: tuple[tuple[str, str], ...] = ()  # (type, "SHA256:…")
    cron_entry: bool = False
    cron_text: str = ""  # content of the entry; "" if the login user cannot read it
    backup_cron: str = ""
    clock: float = 0.0  # the appliance's
    clock_skew: float = 0.0  # appliance minus workstation
    boot: str = ""  # changes with every boot
    machine_id: str = ""
    etc_size: int = 0
    log_size: int = 0
    log_writable: bool = False
    vendor_group: bool = False  # whether there is a group threatstop
    dns_server: tuple[str, ...] = ()  # signs that it is a DNS server: a BIND module, named, BIND's files
    sessions: int = 0  # sessions that its sshd opens at a time on one connection, up to SESSIONS; 0: not known
    told_by: str = ""  # the source of the facts if the appliance is dead: its backup

    @property
    def core(self) -> str:
        """The version of TSCM-Core as printed, or ""."""
        return next((version for module, version in self.versions if module.lower() == "tscm-core"), "")

    def free_at(self, path: str) -> int | None:
        """Return the free bytes of the file system of `path`; None if they are not known."""
        return dict(self.free).get(path)


@dataclass(frozen=True)
class Fact:
    """A shell command, and the pure parser of its output, which returns fields of Facts."""

    name: str
    command: Callable[[Paths], str]
    parser: Callable[[str, Paths], dict[str, Any]]


SESSIONS = 5  # this tool needs no more at a time
# An undocumented command may never end.
_LIMIT = "limit=; if timeout -k 1 9 true; then limit='timeout -k 2 15'; fi; $limit "
_TOOLS = ("rsync", "ssh", "tar", "gpg", "gpg2", "sha256sum", "timeout", "arping", "ping", "nc", "ip", "setsid", "nohup",
          "systemctl", "shutdown", "apt-get", "dnf", "yum", "bash", "python3", "stat", "dd")  # fmt: skip


def boot_script(paths: Paths) -> str:
    """Return shell source that prints the boot identity: the boot id, and the start of process 1 in clock ticks.

    The time stamp of /proc/1 is not used: it belongs to a cached entry of the kernel, and can change without a boot.
    """
    return f"cat {quote(paths.boot_id)} 2>/dev/null; sed 's/.*) //' /proc/1/stat 2>/dev/null | cut -d' ' -f20"


_NAMED = "cat /proc/[0-9]*/comm | grep -Fx named; ls -d /usr/sbin/named /usr/local/sbin/named"


def _version_script(paths: Paths) -> str:
    """Return shell source that prints the versions of the modules, and the bare number if TSCM-Core is not listed."""
    return (
        f"answer=$({_LIMIT}{paths.tsadmin} version --all 2>&1); printf '%s\\n' \"$answer\"; "
        f"case $answer in *TSCM-Core*) ;; *) {_LIMIT}{paths.tsadmin} version 2>&1 ;; esac"
    )


FACTS: tuple[Fact, ...] = (
    Fact("who", lambda _: 'id -un; echo "$HOME"; hostname; id -Gn', parsers.who),
    Fact("group", lambda _: "getent group threatstop", parsers.vendor_group),
    Fact("clock", lambda _: "date +%s.%N", parsers.clock),
    Fact("os", lambda p: f"cat {quote(p.os_release)}", parsers.os_release),
    Fact("boot", boot_script, parsers.boot),
    Fact("machine", lambda _: "cat /etc/machine-id", parsers.machine),
    Fact("address", lambda _: "ip -o addr show", parsers.addresses),
    Fact("route", lambda _: "ip route show default", parsers.route),
    Fact("dns", lambda _: "cat /etc/resolv.conf", parsers.dns),
    Fact(
        "network",
        lambda _: (
            "cat /etc/network/interfaces /etc/network/interfaces.d/* /etc/netplan/*.yaml "
            "/etc/sysconfig/network-scripts/ifcfg-* 2>/dev/null"
        ),
        parsers.network,
    ),
    Fact("archives", lambda p: archives.listing_script(quote(p.backup_dir)), archives.archives_fact),
    Fact("backup_dir", lambda p: f"test -d {quote(p.backup_dir)} && echo yes", parsers.backup_dir),
    Fact(
        "free",
        lambda p: (
            f'for d in {quote(p.backup_dir)} "$HOME" /tmp {quote(p.tmpfs)} /; do '
            'echo "$d $(df -Pk "$d" 2>/dev/null | tail -n 1)"; done'
        ),
        parsers.free,
    ),
    Fact(
        "tools", lambda _: f"for t in {' '.join(_TOOLS)}; do command -v $t >/dev/null && echo $t; done", parsers.tools
    ),
    Fact("keys", lambda p: f"cat {quote(p.ssh_dir)}/ssh_host_*_key.pub", parsers.host_keys),
    Fact("cron", lambda p: f"test -e {quote(p.cron_entry)} && echo yes", parsers.cron_entry),
    Fact("cron_text", lambda p: f"head -c 65536 {quote(p.cron_entry)}", parsers.cron_text),
    Fact("backup_cron", lambda p: f"cat {quote(p.backup_cron)}", parsers.backup_cron),
    Fact("etc", lambda p: f"du -sk {quote(p.etc_dir)}", parsers.etc_size),
    Fact("log", lambda p: f"du -sk {quote(p.log_dir)}", parsers.log_size),
    Fact("log_writable", lambda p: f"test -w {quote(p.log_dir)} && echo yes", parsers.log_writable),
    Fact("etc_devices", lambda p: f"ls -1q {quote(p.etc_dir)}/{p.device_glob} -d", device_discovery.etc_devices),
    Fact(
        "etc_tree",
        lambda p: f"cd {quote(p.etc_dir)} && find . -maxdepth 6 -type f -print0 | tr '\\n\\0' '?\\n' | head -n 20000",
        parsers.etc_tree,
    ),
    Fact("version", _version_script, parsers.versions),
    Fact("named", lambda _: _NAMED, parsers.named),
    Fact("list", lambda p: f"{_LIMIT}{p.tsadmin} list 2>/dev/null", lambda text, _: {"listed": text}),
)


def script(paths: Paths, mark: str, facts: tuple[Fact, ...] = FACTS) -> str:
    """Return a shell script that runs all commands, each between lines with `mark`; no command can end the script."""
    lines = []
    for fact in facts:
        lines.append(f"printf '\\n{mark} {fact.name}\\n'")
        # without stdin: a tsadmin that asks a question must not wait for an answer
        lines.append(f"( {fact.command(paths)} ) 2>/dev/null </dev/null; printf '\\n{mark} = %s\\n' $?")
    return "\n".join(lines)


def sections(text: str, mark: str) -> dict[str, tuple[int, str]]:
    """Split the output of the script: name → (exit status, output)."""
    found: dict[str, tuple[int, str]] = {}
    pattern = re.compile(
        rf"^{re.escape(mark)} (\w+)\n(.*?)\n?^{re.escape(mark)} = ([0-9]{{1,5}})$", re.MULTILINE | re.DOTALL
    )
    for match in pattern.finditer(text):
        found.setdefault(match[1], (int(match[3]), match[2]))
    return found


def gather(appliance: Appliance, *, timeout: float = 60.0) -> Facts:
    """Read all facts of `appliance`; changes nothing.

    Args:
        appliance: is connected if necessary.
        timeout: seconds for all commands together.

    Raises:
        SshError: the connection or the script failed; a single fact that cannot be read keeps its default.
    """
    mark = f"@{secrets.token_hex(8)}@"
    before = time.time()
    text = appliance.run(
        script(appliance.paths, mark), timeout=timeout, check=False, display="identify (read-only facts)"
    ).stdout
    fields: dict[str, Any] = {"name": appliance.name}
    parts = sections(text, mark)
    for fact in FACTS:
        _status, output = parts.get(fact.name, (127, ""))
        fields.update(fact.parser(output, appliance.paths))
    if fields["cron_entry"] and not fields["cron_text"]:  # only root can read it, which cron allows
        script_ = f"head -c 65536 {quote(appliance.paths.cron_entry)}"
        fields["cron_text"] = appliance.run(script_, sudo=True, check=False, display="read cron's entry").stdout
    return replace(_settle(fields, parts, before), sessions=appliance.shell.sessions(SESSIONS))


def _settle(fields: dict[str, Any], parts: dict[str, tuple[int, str]], before: float) -> Facts:
    """Compute the facts that need several others: the clock skew, the devices, why a version is missing."""
    # `clock` is one of the first commands; the round trip is part of the error.
    fields["clock_skew"] = fields["clock"] - before if fields.get("clock") else 0.0
    in_etc, printed = fields.pop("in_etc", None), fields.pop("listed", "")
    tree = fields.pop("etc_tree", ())
    known = device_discovery.in_tree(tree)
    fields["dns_server"] = _dns_server(fields.get("versions", ()), tree, named_found=fields.pop("named", False))
    listed = device_discovery.names_in_list(printed, in_etc or known) if parts.get("list", (127, ""))[0] == 0 else None
    fields.update(_devices(listed, in_etc))
    if fields.get("dhcp") is None and fields.get("interfaces"):  # NetworkManager, or another unknown configuration
        fields["dhcp"] = any(interface.leased for interface in fields["interfaces"] if ":" not in interface.address)
    if not fields.get("versions"):
        fields["version_error"] = parts.get("version", (127, ""))[1].strip()[:300]
    return Facts(**{name: _plain(value, lines=name in _TEXTS) for name, value in fields.items()})


def _devices(listed: tuple[str, ...] | None, in_etc: tuple[str, ...] | None) -> dict[str, Any]:
    if listed is not None and (listed or not in_etc):
        return {"devices": listed, "device_source": "tsadmin list"}
    return {"devices": in_etc, "device_source": "files in its etc folder"} if in_etc else {}


_TEXTS = {"cron_text", "backup_cron"}  # of several lines


def _plain(value: Any, *, lines: bool) -> Any:
    """Return a fact without characters that control a terminal or imitate our output."""
    if isinstance(value, str):
        return printable(value) if lines else " ".join(printable(value).split("\n"))
    return tuple(_plain(one, lines=lines) for one in value) if type(value) is tuple else value


def _dns_server(versions: tuple[tuple[str, str], ...], tree: tuple[str, ...], *, named_found: bool) -> tuple[str, ...]:
    """Return the signs that clients resolve names through this appliance."""
    modules = [module for module, _ in versions if re.search(r"(?:^|[-_])bind", module, re.IGNORECASE)]
    stock = [path for path in tree if path.rpartition("/")[2] == "bind_stock_configs.tgz"]
    return (*(f"module {module}" for module in modules), *(["named"] if named_found else []), *stock)
