"""Reading network settings from each kind of configuration file of a TSCM."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.archive.network_config import Saved, settings

IFUPDOWN = """
auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static  # the appliance's
    address 10.1.1.43
    netmask 255.255.254.0
    gateway 10.1.1.1
    dns-nameservers 10.1.1.2 10.1.1.3
iface eth0 inet6 auto
"""
NETPLAN = """
network:
  version: 2
  ethernets:
    ens160:
      dhcp4: no
      addresses: [10.1.1.43/23]
      routes:
        - to: 172.16.0.0/12
          via: 10.1.1.1
      nameservers:
        addresses: [10.1.1.2, 10.1.1.3]
"""
LISTED = """
network:
  ethernets:
    ens160:
      addresses:
        - "10.1.1.43/23"
      gateway4: 10.1.1.1
      nameservers:
        addresses:
          - 10.1.1.2
          - 10.1.1.3
"""
IFCFG = """DEVICE="eth0"
BOOTPROTO=none
IPADDR=10.1.1.43
PREFIX=23
GATEWAY=10.1.1.1
DNS1=10.1.1.2
DNS2=10.1.1.3
"""
KEYFILE = """[connection]
id=System eth0
interface-name=eth0

[ipv4]
method=manual
address1=10.1.1.43/23,10.1.1.1
dns=10.1.1.2;10.1.1.3;

[ipv6]
method=auto
"""


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("/etc/network/interfaces", IFUPDOWN, "eth0"),
        ("/etc/netplan/50-cloud-init.yaml", NETPLAN, "ens160"),
        ("/etc/netplan/01.yaml", LISTED, "ens160"),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", IFCFG, "eth0"),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", IFCFG.replace("PREFIX=23", "NETMASK=255.255.254.0"), "eth0"),
        ("/etc/NetworkManager/system-connections/eth0.nmconnection", KEYFILE, "eth0"),
    ],
)
def test_static_address_is_read_with_gateway_and_dns(path: str, text: str, name: str) -> None:
    expected = Saved((Interface(name, "10.1.1.43", 23),), "10.1.1.1", ("10.1.1.2", "10.1.1.3"), dhcp=False)
    assert settings({path: text}) == expected


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/network/interfaces", "iface lo inet loopback\niface eth0 inet dhcp\n"),
        ("/etc/netplan/x.yaml", "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n"),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n"),
        ("/etc/NetworkManager/system-connections/eth0.nmconnection", "[ipv4]\nmethod=auto\n[ipv6]\nmethod=ignore\n"),
    ],
)
def test_dhcp_is_read_without_an_address(path: str, text: str) -> None:
    assert settings({path: text}) == Saved(dhcp=True)


@pytest.mark.parametrize(
    "text", ["", "\x00\x01", "iface eth0 inet static\n address 10.1.1.999\n", "iface\niface eth0\n"]
)
def test_invalid_configuration_is_ignored(text: str) -> None:
    for path in ("/etc/network/interfaces", "/etc/netplan/x.yaml", "/etc/sysconfig/network-scripts/ifcfg-eth0"):
        saved = settings({path: text})
        assert saved.interfaces == ()
        assert saved.dhcp in (None, False)
