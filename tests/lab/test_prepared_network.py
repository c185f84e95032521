"""--network prepared: settings are written before the cutover and activated during it; one restore is enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.harness.namespaces.switch import Switch
from tests.support.migrations import MIGRATE, all_output, device_files, keys_of, needed, run_of

if TYPE_CHECKING:
    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

PREPARED = ("--yes", "--no-encrypt", "--network", "prepared")


def test_prepared_settings_move_the_address_with_one_restore(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    before = device_files(lab, "old"), keys_of(lab, "old")
    interfaces = lab.on("new", "cat /etc/network/interfaces").stdout
    with Switch(lab) as switch:
        hook = f"\n[hooks]\nonline = {json.dumps(switch.command('on'))}\n"
        lab.inventory.write_text(lab.inventory.read_text() + hook)
        result = lab.run_tool(*MIGRATE, *PREPARED, timeout=400)
        assert result.returncode == 0, all_output(result)
        _assert_moved(lab, before)
        back = lab.run_tool("rollback", run_of(result.stdout), "--yes", timeout=400)
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}, all_output(back)
    assert lab.collisions() == []
    assert lab.on("new", "cat /etc/network/interfaces").stdout == interfaces
    assert "staged" not in lab.on("new", "ls -A /etc/network").stdout


def _assert_moved(lab: NamespaceLab, before: tuple[str, list[str]]) -> None:
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert (device_files(lab, "new"), keys_of(lab, "new")) == before
    events = [entry["event"] for entry in lab.journal("new")]
    assert "network-saved" not in events, "tsadmin did not change the network settings"
    assert lab.on("new", "ls -A /etc/network").stdout.count("tscm-migrate") == 0
    assert "10.1.1.43" in lab.on("new", "cat /etc/network/interfaces").stdout


def test_ambiguous_settings_stop_before_the_cutover_without_changes(make_lab: MakeLab) -> None:
    lab = make_lab()
    interfaces = "iface eth0 inet static\n    address 10.1.1.50\n    netmask 255.255.255.0\n    gateway 10.1.1.1\n"
    twice = lab.root_of("new") / "etc/network/interfaces.d/50-eth0"
    twice.parent.mkdir(exist_ok=True)
    twice.write_text(interfaces)
    result = lab.run_tool(*MIGRATE, *PREPARED, timeout=400)
    assert result.returncode == 1, all_output(result)
    assert "exactly one is needed" in result.stderr
    assert "--network restore" in result.stderr
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}
    assert "all changes were undone" in result.stdout + result.stderr
    assert lab.on("new", "ls -A /etc/network /var/lib/tscm-migrate").stdout.count("tscm-migrate.") == 0
