"""The parsers of facts, with recorded and hostile text."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.appliance import device_discovery, parsers
from tscm_migrate.appliance.facts import FACTS, Fact, Facts, sections
from tscm_migrate.model import Paths

if TYPE_CHECKING:
    from pathlib import Path

P = Paths()
DOCUMENTED = """[INFO ] : ThreatSTOP Versions:
Module               Version
-------------------- ----------
  TSCM-Core          1.50-01
  ts-keyring
"""


def test_documented_version_table_with_an_empty_version_is_read() -> None:
    assert parsers.versions(DOCUMENTED, P)["versions"] == (("TSCM-Core", "1.50-01"), ("ts-keyring", ""))


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[32m[INFO ]\x1b[0m : Versions\r\nModule Version\r\n------ ------\r\n  TSCM-Core   v1.50-01\r\n",
        "INFO: TSCM-Core: 1.50-01\n",
        "Module   Version\n-------- -------\nTSCM-Core 1.50-01",
    ],
)
def test_other_formats_of_the_version_are_read(text: str) -> None:
    assert parsers.version_key(dict(parsers.versions(text, P)["versions"])["TSCM-Core"]) == (1, 50, 1)


def test_versions_are_compared_as_numbers() -> None:
    assert parsers.version_key("1.5") < parsers.version_key("1.47-02") < parsers.version_key("v1.50-01")
    assert parsers.version_key("") == parsers.version_key("unknown") == ()


def test_leased_and_static_addresses_are_distinguished() -> None:
    line = "2: eth0    inet 10.1.1.43/24 brd 10.1.1.255 scope global {}eth0\\       valid_lft {} preferred_lft {}\n"
    (static,) = parsers.addresses(line.format("", "forever", "forever"), P)["interfaces"]
    (leased,) = parsers.addresses(line.format("dynamic ", "3600sec", "3600sec"), P)["interfaces"]
    assert (static.leased, leased.leased) == (False, True)


def test_loopback_and_link_local_addresses_are_ignored() -> None:
    text = (
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n"
        "2: eth0    inet 10.1.1.43/24 brd 10.1.1.255 scope global eth0\\       valid_lft forever\n"
        "2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever\n"
        "3: ens192@if4    inet 192.168.7.2/30 scope global ens192\\       valid_lft forever\n"
    )
    assert parsers.addresses(text, P)["interfaces"] == (
        parsers.Interface("eth0", "10.1.1.43", 24),
        parsers.Interface("ens192", "192.168.7.2", 30),
    )


@pytest.mark.parametrize(
    ("text", "dhcp"),
    [
        ("auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n", True),
        ("iface lo inet loopback\niface eth0 inet static\n  address 10.1.1.43\n", False),
        ("network:\n  ethernets:\n    eth0:\n      dhcp4: true\n", True),
        ("network:\n  ethernets:\n    eth0:\n      addresses: [10.1.1.43/24]\n", False),
        ('DEVICE=eth0\nBOOTPROTO="dhcp"\n', True),
        ("DEVICE=eth0\nBOOTPROTO=none\nIPADDR=10.1.1.43\n", False),
        ("", None),
        ("something else\n", None),
    ],
)
def test_dhcp_is_read_from_three_configuration_formats(text: str, dhcp: object) -> None:
    assert parsers.network(text, P)["dhcp"] is dhcp


def test_free_space_is_read_from_df() -> None:
    text = "/opt/threatstop/backup /dev/mapper/vg-root 100 60 40 60% /\n/tmp tmpfs 1024 0 1024 0% /tmp\nbroken\n"
    assert dict(parsers.free(text, P)["free"]) == {"/opt/threatstop/backup": 40960, "/tmp": 1 << 20}


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_fingerprints_of_host_keys_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=100)
    public = key.with_suffix(".pub").read_text()
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True, timeout=100
    ).stdout
    fingerprints = parsers.host_keys(f"{public}ssh-rsa !!! x\ngarbage\n", P)["host_keys"]
    assert fingerprints == (("ssh-ed25519", shown.split()[1]),)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("edge-asa\nbranch-isr\n", ("edge-asa", "branch-isr")),
        (
            "[INFO ] : Devices:\nName        Type\n----------- ----\nedge-asa    asa\ndc_panos.1  panos\n",
            ("edge-asa", "dc_panos.1"),
        ),
        ("1) edge-asa\n2) branch-isr\n", ("edge-asa", "branch-isr")),
        ("tsadmin: unknown command 'list'\nUsage: tsadmin COMMAND\n", None),
        ("| edge-asa | asa |\n+----------+-----+\n", ("edge-asa",)),
        ("\x1b[1m* edge-asa\x1b[0m\n", ("edge-asa",)),
        ("--evil\n$(reboot)\n../x\n", None),
        ("** I do not know what 'list' shall be. There are: backup, restore.\n", None),
        ("tsadmin has no command of that name.\n", None),
        ("The command 'list' is not supported.\n", None),
        ("No devices are configured.\n", ()),
        (
            "+--------+\n| Firewall | Status |\n+--------+\n| munich | active |\n+----+\n3 firewalls in total\n",
            ("munich",),
        ),
        ("", ()),
    ],
)
def test_device_list_of_another_form_is_read_or_unknown(text: str, names: tuple[str, ...] | None) -> None:
    assert device_discovery.names_in_list(text) == names


MERGED = {"in_etc", "etc_tree", "named", "listed"}  # results from which fields of Facts are computed
FIELDS = {field.name for field in dataclasses.fields(Facts)} | MERGED
JUNK = ("", "\n\n", "\x00\xff" * 50, "a\tb\tc", "=" * 9999, "1: 2: inet /", "%% df 1 2 3 4% /", DOCUMENTED)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_parser_returns_only_fields_of_facts_for_any_text(fact: Fact) -> None:
    results = [fact.parser(text, P) for text in JUNK]
    assert set().union(*results) <= FIELDS


def test_empty_output_gives_no_facts() -> None:
    known = {name: value for fact in FACTS for name, value in fact.parser("", P).items()}
    unknown = Facts("")
    set_fields = {name: value for name, value in known.items() if value and value != getattr(unknown, name, None)}
    assert set_fields == {"unseen": "the listing did not reach its end"}


def test_appliance_cannot_forge_the_end_of_a_section() -> None:
    text = "\n@k@ os\nID=ubuntu\n@other@ = 0\n@k@ evil\n\n@k@ = 0\n\n@k@ clock\n123.5\n\n@k@ = 0\n"
    parsed = sections(text, "@k@")
    assert parsed["clock"] == (0, "123.5\n")
    assert "evil" not in parsed
