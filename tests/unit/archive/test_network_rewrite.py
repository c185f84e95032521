"""Writing the settings of the old appliance into files of the new appliance: each format keeps its other lines."""

from __future__ import annotations

import re

import pytest

from tscm_migrate.archive.network_config import NotRewritable, WantedNetwork, kind_of, rewritten, settings

WANTED = WantedNetwork("10.1.1.43", 23, "10.1.1.1", ("10.1.1.2", "10.1.1.3"))
BARE = WantedNetwork("10.1.1.43", 24)
IFUPDOWN = """# our site
source /etc/network/interfaces.d/*
auto lo eth0
iface lo inet loopback

iface eth0 inet {method}  # primary
{lines}    mtu 1400
    up ip route add 172.16.0.0/12 via 10.1.1.9
iface eth0 inet6 auto
allow-hotplug eth1
iface eth1 inet static
    address 192.0.2.1/24
"""
NETPLAN = """# cloud-init does not touch this
network:
  version: 2
  ethernets:
    eth0:
      match: {{}}
{lines}      mtu: 1400
    eth1:
      addresses: [192.0.2.1/24]
"""
IFCFG = 'DEVICE="eth0"\nONBOOT=yes\n{lines}MTU=1400\nIPV6INIT=no\n'
KEYFILE = """[connection]
id=System eth0
interface-name=eth0

[ethernet]
mtu=1400

[ipv4]
{lines}dns-search=example.net;

[ipv6]
method=auto
"""
STATIC = "    address 10.1.1.50\n    netmask 255.255.255.0\n    gateway 10.1.1.1\n    dns-nameservers 192.0.2.53\n"
NETPLAN_STATIC = """      dhcp4: no
      addresses:
        - 10.1.1.50/24
      routes:
        - to: default
          via: 10.1.1.254
      nameservers:
        search: [example.net]
        addresses: [192.0.2.53]
"""
NETPLAN_OLD = "      addresses: [10.1.1.50/24]\n      gateway4: 10.1.1.254\n"
FILES = {
    "ifupdown static": ("/etc/network/interfaces", IFUPDOWN.format(method="static", lines=STATIC)),
    "ifupdown dhcp": ("/etc/network/interfaces.d/50-eth0", IFUPDOWN.format(method="dhcp", lines="")),
    "netplan static": ("/etc/netplan/01.yaml", NETPLAN.replace("      match: {{}}\n", "").format(lines=NETPLAN_STATIC)),
    "netplan gateway4": ("/etc/netplan/01.yaml", NETPLAN.replace("      match: {{}}\n", "").format(lines=NETPLAN_OLD)),
    "netplan dhcp": (
        "/etc/netplan/50-cloud-init.yaml", NETPLAN.replace("      match: {{}}\n", "").format(lines="      dhcp4: true\n"),
    ),
    "ifcfg static": (
        "/etc/sysconfig/network-scripts/ifcfg-eth0",
        IFCFG.format(lines="BOOTPROTO=static\nIPADDR=10.1.1.50\nNETMASK=255.255.255.0\nGATEWAY=10.1.1.254\nDNS1=192.0.2.53\n"),
    ),
    "ifcfg dhcp": ("/etc/sysconfig/network-scripts/ifcfg-eth0", IFCFG.format(lines="BOOTPROTO=dhcp\n")),
    "keyfile static": (
        "/etc/NetworkManager/system-connections/eth0.nmconnection",
        KEYFILE.format(lines="method=manual\naddress1=10.1.1.50/24,10.1.1.254\ndns=192.0.2.53;\n"),
    ),
    "keyfile auto": ("/etc/NetworkManager/system-connections/eth0.nmconnection", KEYFILE.format(lines="method=auto\n")),
}  # fmt: skip


@pytest.mark.parametrize("wanted", [WANTED, BARE], ids=["all", "address only"])
@pytest.mark.parametrize(("path", "text"), FILES.values(), ids=FILES.keys())
def test_rewritten_file_has_the_new_settings_and_keeps_the_rest(path: str, text: str, wanted: WantedNetwork) -> None:
    where, made = rewritten({path: text, "/etc/netplan/99-other.yaml": "network: {}\n"}, "eth0", wanted)
    assert where == path
    written = settings({path: made})
    ours = [(one.address, one.prefix) for one in written.interfaces if one.name == "eth0"]
    assert (ours, written.dhcp) == ([(wanted.address, wanted.prefix)], False)
    assert (written.gateway, written.dns) == (wanted.gateway, wanted.dns)
    assert "10.1.1.50" not in made
    assert "10.1.1.254" not in made
    assert "192.0.2.53" not in made
    assert "1400" in made, "other options are kept"
    kept = [
        line for line in text.splitlines() if re.search(r"192\.0\.2\.1|inet6|172\.16|search|IPV6|ipv6|#.*site", line)
    ]
    if wanted is BARE:
        kept = [line for line in kept if "search: [" not in line]  # without DNS servers, the search domain is removed
    assert [line for line in kept if line not in made.splitlines()] == []
    assert rewritten({path: made}, "eth0", wanted) == (path, made), "a second rewrite changes nothing"


def test_format_is_recognized_by_the_path() -> None:
    assert [kind_of(path) for path, _ in FILES.values()] == [name.split()[0] for name in FILES]


DHCP = "iface eth0 inet dhcp\n"
NOT_REWRITABLE = {
    "no file": ({"/etc/network/interfaces": "iface eth1 inet dhcp\n"}, "files that configure eth0: none"),
    "two files": ({"/etc/network/interfaces": DHCP, "/etc/netplan/1.yaml": "a:\n  eth0:\n"}, "exactly one"),
    "two stanzas": ({"/etc/network/interfaces": DHCP + DHCP}, "2 stanzas"),
    "folded": ({"/etc/network/interfaces": "iface eth0 inet static\n  up a \\\n  b\n"}, "continues on the next"),
    "braces": ({"/etc/netplan/1.yaml": "network:\n  ethernets:\n    eth0:\n      match: {macaddress: x}\n"}, "braces"),
    "other routes": (
        {"/etc/netplan/1.yaml": FILES["netplan static"][1].replace("to: default", "to: 172.16.0.0/12")},
        "routes",
    ),
    "IPv6": ({"/etc/netplan/1.yaml": FILES["netplan static"][1].replace("10.1.1.50/24", "2001:db8::1/64")}, "IPv6"),
}


@pytest.mark.parametrize(("files", "words"), NOT_REWRITABLE.values(), ids=NOT_REWRITABLE.keys())
def test_configuration_that_cannot_be_rewritten_safely_is_refused(files: dict[str, str], words: str) -> None:
    with pytest.raises(NotRewritable, match=re.escape(words)):
        rewritten(files, "eth0", WANTED)
