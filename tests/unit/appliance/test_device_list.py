"""Reading device names from the output of `tsadmin list`, in the vendor's format and in others."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance import device_discovery, parsers
from tscm_migrate.model import Paths

VENDOR = """[INFO ] : ThreatSTOP Devices:
{first:<20} {second:<10} {third}
-------------------- ---------- ---------------
"""
ROWS = (
    ("edge-asa", "asa", "tdid_1"),
    ("dc-pan", "pan", "tdid_2"),
    ("ns1", "bind", "tdid_3"),
    ("web", "auto", "tdid_4"),
)
NAMES = ("edge-asa", "dc-pan", "ns1", "web")


def vendor(first: str, second: str, third: str, order: tuple[int, int, int] = (0, 1, 2)) -> str:
    rows = (tuple(row[at] for at in order) for row in ROWS)
    return VENDOR.format(first=first, second=second, third=third) + "".join(
        f"  {a:<18} {b:<10} {c}\n" for a, b, c in rows
    )


TABLES = {
    "the vendor's": vendor("Nickname", "Type", "Device ID"),
    "another heading": vendor("System", "Kind", "Portal key"),
    "another order": vendor("Device ID", "Type", "Nickname", (2, 1, 0)),
    "types first": vendor("Type", "Name", "TDID", (1, 0, 2)),
    "another order and heading": vendor("Device ID", "Type", "System", (2, 1, 0)),
    "names that are longer than their column": (
        "Nickname Type\n---- ----\n  edge-asa asa\n  dc-pan pan\n  ns1  bind\n  web  auto\n"
    ),
    "labels with blanks for types": (
        "Type       Nickname\n---------- ----------\nCisco ASA  edge-asa\nPalo Alto Networks dc-pan\n"
        "ISC BIND 9 ns1\nWeb Automation web\n"
    ),
    "labels in the column of the names": (
        "Device                         Last update\n------------------------------ -----------\n"
        "Cisco ASA edge-asa             never\nPalo Alto Networks dc-pan      2 hours ago\n"
        "ISC BIND 9 ns1                 today\nweb (Web Automation)           -\n"
    ),
    "one line of dashes": (
        "Nickname     Type                 ID\n------------------------------------\nedge-asa     Cisco ASA            1\n"
        "dc-pan       Palo Alto Networks   2\nns1          ISC BIND 9           3\nweb          auto                 4\n"
    ),
    "dashes below and a sum": vendor("Nickname", "Type", "ID") + "-------------------- ---------- ---\n4 device(s)\n",
    "a sum without dashes": vendor("Nickname", "Type", "ID") + "4 device(s) found\n",
    "another table before": (
        "Module               Version\n-------------------- ----------\n  TSCM-Core          1.50-01\n\n"
        + vendor("Nickname", "Type", "ID")
    ),
    "a blank line below the dashes": vendor("Nickname", "Type", "ID").replace(
        "---------------\n", "---------------\n\n"
    ),
    "a state that says unknown": vendor("Nickname", "State", "ID").replace(" asa    ", " unknown"),
    "a grid": (
        "+----------+------+\n| Nickname | Type |\n+----------+------+\n| edge-asa | asa |\n+----------+------+\n"
        "| dc-pan | pan |\n+----------+------+\n| ns1 | bind |\n| web | auto |\n+----------+------+\n"
    ),
    "a heading without dashes": (
        "Nickname    Type                Last seen\nedge-asa    Cisco ASA           now\n"
        "dc-pan      Palo Alto Networks  now\nns1         ISC BIND 9          now\nweb         auto                never\n"
    ),
    "no table, labels behind": (
        "edge-asa (Cisco ASA)\ndc-pan (Palo Alto Networks)\nns1 (ISC BIND 9)\nweb (Web Automation)\n"
    ),
    "no table, labels before": "Cisco ASA edge-asa\nPalo Alto Networks dc-pan\nISC BIND 9 ns1\nauto web\n",
    "no table, types before": "asa edge-asa\npan dc-pan\nbind ns1\nauto web\n",
    "one line": "[INFO ] : Configured devices: edge-asa, dc-pan (Palo Alto Networks), ns1 and web\n",
    "keys and values": "".join(f"Nickname: {name}\n  Type: {kind}\n  ID: {key}\n\n" for name, kind, key in ROWS),
    "YAML": "".join(f"- name: {name}\n  type: {kind}\n" for name, kind, _ in ROWS),
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES.keys())
def test_only_device_names_are_read_from_a_list(text: str) -> None:
    assert device_discovery.names_in_list(text) == NAMES
    assert device_discovery.names_in_list(text, {*NAMES, "log4perl", "System", "type"}) == NAMES


def test_type_label_with_spaces_is_not_a_device_name() -> None:
    assert device_discovery.names_in_list("Palo Alto Networks dc-pan\n") == ("dc-pan",)
    assert device_discovery.in_text("Restoring 'Palo Alto Networks' device dc-pan", {"Networks", "dc-pan"}) == (
        "dc-pan",
    )


@pytest.mark.parametrize(
    "text",
    [
        "0 device(s)\n",
        "[INFO ] : 0 device(s)\n",
        "[INFO ] : 0 devices configured\n",
        "No devices.\n",
        "There are no devices on this TSCM.\n",
        "[INFO ] : No device configured\n",
        "Devices: none\n",
        "(none)\n",
        "Total: 0\n",
        VENDOR.format(first="Nickname", second="Type", third="Last update"),
        VENDOR.format(first="System", second="Kind", third="Portal key") + "0 device(s)\n",
    ],
)
def test_list_without_devices_is_empty(text: str) -> None:
    assert device_discovery.names_in_list(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "[FATAL] : Unknown command 'list'\n",
        "[ERROR] : cannot open database\n",
        "[INFO ] : Listing devices\n[FATAL] : no license\n",
        "Cannot connect to the portal\n",
        "Connection refused.\n",
        "timed out\n",
        "panic at /opt/threatstop/bin/tsadmin line 3.\n",
        "Usage: tsadmin [add|backup|configure|network|restore|update|version]\n",
        "[INFO ] : edge-asa (Cisco ASA)\n[INFO ] : dc-pan (Palo Alto Networks)\n",  # log lines may be no list
        "Device\n------\nJuniper SRX 300\n",  # with an unknown label, the name cannot be recognized
    ],
)
def test_output_that_is_not_understood_is_unknown(text: str) -> None:
    assert device_discovery.names_in_list(text) is None


def test_log_lines_are_read_if_the_etc_folder_has_the_names() -> None:
    text = "[INFO ] : edge-asa (Cisco ASA)\n[INFO ] : dc-pan (Palo Alto Networks)\n"
    assert device_discovery.names_in_list(text, {"edge-asa", "dc-pan", "log4perl"}) == ("edge-asa", "dc-pan")


@pytest.mark.parametrize(
    "name", ["error-fw", "fw-error", "denied.example", "info-desk", "debug1", "ok-corral", "warn.edge"]
)
def test_name_that_starts_like_a_log_level_is_read(name: str) -> None:
    assert device_discovery.names_in_list(f"{name}\n") == (name,)


def test_other_files_beside_the_devices_are_ignored() -> None:
    files = (
        "edge-asa.conf",
        "dc-pan.conf",
        "bind_stock_configs.tgz",
        "log4perl.conf",
        "edge-asa.conf.bak",
        "old.tar.gz",
    )
    assert device_discovery.in_tree(files) == {"edge-asa", "edge-asa.conf", "dc-pan", "dc-pan.conf"}
    assert device_discovery.etc_devices("\n".join(files), Paths())["in_etc"] == ("dc-pan", "edge-asa")
    assert device_discovery.appeared(("log4perl.conf",), files) == ("dc-pan", "edge-asa")
    alone = device_discovery.appeared(("log4perl.conf",), ("log4perl.conf", "ns1.conf", "bind_stock_configs.tgz"))
    assert alone == ("ns1",)


@pytest.mark.parametrize("family", ["pan", "auto", "bind", "bind9", "asa_rest", "asa-rest-api", "webauto"])
def test_folder_named_after_a_device_type_contains_devices(family: str) -> None:
    assert device_discovery.appeared((), (f"devices/{family}/one.conf", f"devices/{family}/two.conf")) == ("one", "two")
    assert device_discovery.appeared((), (f"devices/{family}/one.conf", "devices/asa/two.conf")) == ("one", "two")


THREE_COLUMNS = """Module               Version    Released
-------------------- ---------- ----------
  TSCM-Core          1.50-01    2024-04-19
  ts-bind            v1.10-01   2024-01-02
  ts-keyring
"""


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("1.50-01\n", (("TSCM-Core", "1.50-01"),)),
        ("[INFO ] : 1.47-02\n", (("TSCM-Core", "1.47-02"),)),
        ("[INFO ] : Version: v1.50-01\n", (("TSCM-Core", "1.50-01"),)),
        ("ts-bind v1.10-01\n", (("ts-bind", "1.10-01"),)),
        ("ts-bind v1.10-01\n1.50-01\n", (("TSCM-Core", "1.50-01"), ("ts-bind", "1.10-01"))),
        ("[ERROR] : Unknown option: all\nUsage: tsadmin version\n1.50-01\n", (("TSCM-Core", "1.50-01"),)),
        (
            THREE_COLUMNS,
            (("TSCM-Core", "1.50-01"), ("ts-bind", "v1.10-01"), ("ts-keyring", "")),
        ),
        (
            "Version    Module\n---------- --------------------\n1.50-01    TSCM-Core\n           ts-keyring\n",
            (("TSCM-Core", "1.50-01"), ("ts-keyring", "")),
        ),
        ("", ()),
        ("[ERROR] : 2 problems\n", ()),
    ],
)
def test_module_versions_are_read_from_tables_lines_and_a_number(
    text: str, versions: tuple[tuple[str, str], ...]
) -> None:
    assert parsers.versions(text, Paths())["versions"] == versions


@pytest.mark.parametrize(
    ("text", "running"),
    [("named\n", True), ("/usr/sbin/named\n", True), ("", False), ("/usr/sbin/named-checkconf\n", False)],
)
def test_running_or_installed_named_is_detected(text: str, running: bool) -> None:  # noqa: FBT001
    assert parsers.named(text, Paths()) == {"named": running}
