"""The two dialects of the vendor's documentation, in both labs: unattended migrations without `prompts learn`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import MIGRATE, all_output, device_files, keys_of, needed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.conftest import MakeLab

PASSPHRASE = "pass phrase of the lab"
OWN_KEYS, CRON, PLAIN = "--no-restore-ssh", "--restore-cron", "--no-encrypt"
# Each wording with both values of: encrypted, SSH and cron restored, network settings one by one, passphrase file.
NAMESPACES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "documented-walk": (
        {"wording": "documented", "network_dialogue": True, "honours_passphrase_file": False, "reboot_style": "tells"},
        (OWN_KEYS, CRON),
    ),
    "term-prompt-walk": (
        {"wording": "term-prompt", "network_dialogue": True, "honours_passphrase_file": False, "list_doubles": True},
        (),
    ),
    "term-prompt-plain": ({"wording": "term-prompt", "reboot_style": "tells", "list_base": 0}, (PLAIN, OWN_KEYS, CRON)),
}
EMBEDDED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "documented": ({"wording": "documented", "honours_passphrase_file": False}, ()),
    "term-prompt": ({"wording": "term-prompt"}, (PLAIN, OWN_KEYS, CRON)),
}


def namespaces(test: Any) -> Any:
    for mark in needed(600):
        test = mark(test)
    return test


@namespaces
@pytest.mark.parametrize("row", NAMESPACES.values(), ids=NAMESPACES.keys())
def test_namespace_hosts_with_a_documented_dialect_migrate_unattended(
    make_lab: MakeLab, row: tuple[dict[str, Any], tuple[str, ...]]
) -> None:
    profile, options = row
    lab = make_lab(profile, profile)
    files, keys = device_files(lab, "old"), {name: keys_of(lab, name) for name in ("old", "new")}
    result = lab.run_tool(*MIGRATE, "--yes", *options, env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=400)
    assert result.returncode == 0, all_output(result)
    assert device_files(lab, "new") == files
    assert keys_of(lab, "new") == keys["new" if OWN_KEYS in options else "old"]
    assert (lab.addresses(), lab.collisions()) == ({"old": None, "new": "10.1.1.43"}, [])


@pytest.mark.slow
@pytest.mark.timeout(240)
@needs_embedded_lab
@pytest.mark.parametrize("row", EMBEDDED.values(), ids=EMBEDDED.keys())
def test_embedded_hosts_with_a_documented_dialect_migrate_unattended(
    tmp_path: Path, row: tuple[dict[str, Any], tuple[str, ...]]
) -> None:
    profile, options = row
    fast = {"boot_seconds": 0.2, **profile}
    with EmbeddedLab(tmp_path / "lab", old_profile(**fast), new_profile(**fast)) as lab:
        done = lab.run_tool(*MIGRATE, "--yes", *options, env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=400)
        assert done.returncode == 0, all_output(done)
        state = [event for event in lab.guest("new").journal() if event["event"] == "restore-end"]
        assert (state[-1]["ssh"], state[-1]["cron"]) == (OWN_KEYS not in options, CRON in options)
