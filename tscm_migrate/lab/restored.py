"""A real archive, restored into a rehearsal appliance by the real `migrate`; what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError
from tscm_migrate.lab.embedded import EmbeddedLab
from tscm_migrate.lab.profile import new_profile, old_profile
from tscm_migrate.lab.shaped import common
from tscm_migrate.migration.sides import facts_of
from tscm_migrate.offsite.kept import KeptFile
from tscm_migrate.site import Host, Paths

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.offsite.inside import Inside
    from tscm_migrate.site import Secret

_LIMIT = 1800.0  # seconds
_COMPARED = ("devices", "device files")


def restore(archive: Path, phrase: Secret | None) -> tuple[bool, str]:
    """Restore it beside itself, and compare.

    The appliance keeps its loopback address and its host keys; of the archive's, it gets the devices.

    Raises:
        UsageError: the rehearsal appliance cannot unpack archives of this layout: nothing is said of the copy.
    """
    kept = KeptFile(archive)
    inside = kept.read(Paths(), phrase)
    if inside.why or not inside.files or not inside.devices:
        why = inside.why or "it has no devices where the rehearsal appliance would look for them"
        raise UsageError(
            f"{archive.name} cannot be rehearsed: {why}", "the drill without --restore says what can be said"
        )
    facts = facts_of(kept, inside, Host("drilled", "192.0.2.1"))
    shape = new_profile(**common(facts), passphrase=phrase.reveal() if phrase else "")
    with EmbeddedLab(archive.parent / "lab", old_profile(devices=(), archives=0), shape) as lab:
        lab.power_off("old")
        done = lab.run_tool(
            "migrate", "--archive", str(archive), "--to", "tscm-new", "--bypass-netconf", "--no-restore-ssh",
            "--devices", "none", "--allow", "os-differs", "--allow", "new-is-older",
            "--allow", "archive-other-keys", "--yes", "--json",
            env={"TSCM_PASSPHRASE": phrase.reveal()} if phrase else {}, timeout=_LIMIT,
        )  # fmt: skip
    return _verdict(
        inside, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done.stderr
    )


def _verdict(inside: Inside, events: list[dict[str, Any]], said: str) -> tuple[bool, str]:
    finished = next((one for one in events if one["event"] == "run_finished"), {})
    if finished.get("outcome") not in {"done", "attention"}:
        last = next((line for line in said.splitlines() if line.startswith("error")), "it did not come to its end")
        return False, f"the restore into a rehearsal appliance failed: {last}"
    rows = [one for one in events if one["event"] == "checked" and one["name"] in _COMPARED]
    wrong = [one["text"] for one in rows if one["severity"] != "ok"]
    if wrong or not any(one["name"] == "device files" for one in rows):
        return False, f"restored into a rehearsal appliance, but {'; '.join(wrong) or 'nothing could be compared'}"
    return (
        True,
        f"restored into a rehearsal appliance: {len(inside.devices)} devices, {len(inside.files)} files the same",
    )
