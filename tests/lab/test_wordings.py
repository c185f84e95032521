"""Migrations between appliances with other wordings, orders and lists; each value of each property occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.migrations import MIGRATE, device_files, needed

if TYPE_CHECKING:
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

SUDO = "hunter2 of the lab"
NET_FIRST = ("network", "list", "warning", "ssh", "cron")
ROWS: list[dict[str, Any]] = [
    {"wording": "sentences", "list_base": 0, "list_sort": "oldest", "reboot_style": "tells", "network_dialogue": True,
     "honours_passphrase_file": False, "list_shows_links": True},
    {"wording": "spoken", "list_sort": "shuffled", "order": NET_FIRST, "reboot_style": "itself", "plain": True,
     "sudo_password": SUDO, "tsadmin_needs_sudo": True, "list_doubles": False},
    {"wording": "debian", "list_base": 0, "order": ("warning", "cron", "ssh", "list", "network"), "reboot_style": "tells",
     "network_dialogue": True, "sudo_password": SUDO},
    {"wording": "terse", "list_sort": "name", "order": ("ssh", "cron", "list", "network", "warning"), "plain": True,
     "tsadmin_needs_sudo": True, "network_dialogue": True},
    {"wording": "lines", "list_base": 0, "order": NET_FIRST, "sudo_password": SUDO, "tsadmin_needs_sudo": True,
     "honours_passphrase_file": False, "asks_passphrase_always": True},
    {"wording": "colour", "list_sort": "oldest", "order": ("cron", "network", "ssh", "warning", "list"),
     "reboot_style": "itself", "network_dialogue": True, "list_shows_links": True},
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["wording"])
def test_appliances_with_another_wording_order_and_list_migrate(make_lab: MakeLab, row: dict[str, Any]) -> None:
    given = dict(row)
    plain = given.pop("plain", False)
    lab = make_lab(given, given)
    before = device_files(lab, "old")
    keys = lab.on("old", "cat /etc/ssh/*.pub").stdout
    env = {"TSCM_PASSPHRASE": "pass phrase of the lab", "TSCM_SUDO_PASSWORD": given.get("sudo_password") or ""}
    options = ["--no-encrypt"] if plain else []
    result = lab.run_tool(*MIGRATE, "--yes", *options, env=env, timeout=400)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert device_files(lab, "new") == before
    assert lab.on("new", "cat /etc/ssh/*.pub").stdout == keys
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert lab.on("new", "ls -A /dev/shm /tmp | grep -v :").stdout.strip() == ""
    assert lab.on("new", "find /var/lib/tscm-migrate -perm /077").stdout.strip() == ""
