"""The rehearsal of the restore: what it detects before the cutover, and that it leaves no changes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import matrix
from tests.harness.profile import Device
from tests.harness.rig import Rig, differences
from tests.support.kills import assert_as_before, assert_ends_well
from tests.support.migrations import MIGRATE, all_output, needed, run_of
from tests.support.person import TaughtAnswer, learn
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.namespaces import NamespaceLab
    from tests.harness.rig import State
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

ENV = {"TSCM_PASSPHRASE": "pass phrase of the lab"}
# Owners, modes and hashes of all files that a restore may change, except archives: a copied one stays on tscm-new.
EVERYTHING = (
    "cd /; find etc opt home var/lib var/spool root tmp dev/shm -xdev ! -path '*/threatstop_*' "
    "! -path 'etc/mtab' ! -path 'var/lib/tscm-lab*' -printf '%p %y %m %u %g ' -type f -exec sha256sum {} \\; "
    "-o -xdev ! -path '*/threatstop_*' -print 2>/dev/null | sort"
)
OWN = (Device("own-asa", "asa"), Device("edge-asa", "asa"))


def everything(lab: NamespaceLab, name: str) -> list[str]:
    return lab.on(name, EVERYTHING).stdout.splitlines()


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with matrix.lab(tmp_path_factory.mktemp("rehearsal")) as lab:
        yield Rig(lab)


@pytest.fixture(scope="module")
def base(used: Rig) -> matrix.Undisturbed:
    return matrix.undisturbed(used)


def points(base: matrix.Undisturbed) -> list[matrix.Point]:
    """Return the points of the rehearsal, from its first entry in the journal to its last."""
    about = [point.about for point in base.points]
    first = about.index("captured rehearse-restore")
    return list(base.points[first : about.index("step-done rehearse-restore") + 2])


KILLED = [("first", "resume"), ("last", "rollback")] + [(n, verb) for n in range(4) for verb in ("resume", "rollback")]


@pytest.mark.parametrize("verb", ["resume", "rollback"])
def test_a_run_killed_after_the_rehearsal_was_undone_can_undo_it_again(
    used: Rig, base: matrix.Undisturbed, verb: str
) -> None:
    """The updates run again by then, and the journal does not have the end of the undo yet."""
    noted = [point for point in points(base) if point.about == "noted rehearsal_before"]
    assert_ends_well(used, matrix.Point(noted[-1].n, "before", noted[-1].about), verb, base)


@pytest.mark.parametrize(("where", "verb"), KILLED)
def test_a_run_killed_in_the_rehearsal_is_resumed_or_rolled_back(
    used: Rig, base: matrix.Undisturbed, where: Any, verb: str
) -> None:
    """`invoke matrix` stops at all events of the rehearsal; this test at some of them, others for each verb."""
    chosen = points(base)
    n = {"first": 0, "last": len(chosen) - 1}.get(where)
    if n is None:
        n = round((where + (0.35 if verb == "resume" else 0.7)) * len(chosen) / 4)
    assert_ends_well(used, chosen[min(n, len(chosen) - 1)], verb, base)


def assert_unchanged(rig: Rig, before: State, message: str) -> None:
    assert_as_before(rig, before, message)
    for name in ("old", "new"):
        assert rig.lab.on(name, "ls /var/lib/tscm-migrate 2>&1").returncode != 0, "no file of the tool is left"


def test_an_unknown_question_of_the_restore_stops_before_the_cutover(make_lab: MakeLab) -> None:
    question = "Shall the moon be full?"
    lab = make_lab(
        {}, {"extra_prompt": question, "devices": OWN, "order": ("network", "list", "warning", "ssh", "cron")}
    )
    before = {name: everything(lab, name) for name in ("old", "new")}
    result = lab.run_tool(*MIGRATE, "--yes", env=ENV, timeout=400)
    assert result.returncode == 3, all_output(result)
    assert question in result.stderr
    assert "tscm-migrate prompts learn tscm-new --from tscm-old" in result.stderr, all_output(result)
    assert "all changes were undone" in result.stdout + result.stderr
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}
    assert {name: everything(lab, name) for name in ("old", "new")} == before
    shown = lab.run_tool("run", "show", run_of(result.stdout)).stdout
    assert "offline_began" not in shown


def test_an_answer_that_cannot_be_saved_is_reported_with_a_remedy(make_lab: MakeLab) -> None:
    """The loader of dialects refuses this question, because it looks like a pattern; `migrate --yes` would stop."""
    lab = make_lab(
        {}, {"extra_prompt": "Keep the files a.*b? [y/n] ", "order": ("warning", "list", "network", "ssh", "cron")}
    )
    before = {name: everything(lab, name) for name in ("old", "new")}
    shown = learn(lab, [TaughtAnswer("Keep the files", "n", "literal")], env=ENV, status=4)
    error = shown[shown.rindex("error: ") :]
    assert "1 answer(s) could not be saved" in " ".join(error.split())
    assert "tscm-migrate migrate --to tscm-new --from tscm-old" in " ".join(error.split())
    assert "dialect.toml" in error
    assert "(prompts.not-saved, exit code 4)" in " ".join(error.split())
    assert {name: everything(lab, name) for name in ("old", "new")} == before


def test_a_rehearsal_stopped_at_the_network_question_changes_nothing(make_lab: MakeLab) -> None:
    """Files that the stopped restore had unpacked are deleted, because they may contain secrets; devices stay."""
    lab = make_lab({}, {"devices": OWN, "reboot_style": "itself"})
    _unpack_before_asking(lab)
    before = {name: everything(lab, name) for name in ("old", "new")}
    screen = Terminal(lab.workstation.tool("prompts", "learn", "tscm-new", "--from", "tscm-old"), {**lab.env(), **ENV})
    try:
        assert screen.finish(120) == 0, screen.shown
    finally:
        screen.close()
    assert "up to its question about the network" in screen.shown
    journal = lab.on("new", "cat /usr/local/lib/tscm-lab/var/journal.jsonl").stdout
    restores = [json.loads(line) for line in journal.splitlines() if '"restore-end"' in line]
    assert [(one["ssh"], one["cron"]) for one in restores] == [(False, False)] * len(restores)
    assert len(restores) >= 2, "one restore without devices and one with devices"
    assert "network-saved" not in journal
    assert lab.on("new", "cat /unpacked").stdout.count("left") == 1, "one restore was stopped after it had unpacked"
    assert {name: everything(lab, name) for name in ("old", "new")} == before
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}


def _unpack_before_asking(lab: NamespaceLab) -> None:
    """Let a restore unpack files before it asks, and leave them when it is stopped."""
    _put_before_tsadmin(
        lab,
        '#!/bin/sh\ncase "$*" in restore*bypass*) ;; restore*) mkdir -m 700 /tmp/tmp.Ab3xY; echo secret >/tmp/tmp.Ab3xY/x; '
        'sudo -n sh -c "echo left >>/unpacked";; esac\nexec /usr/local/bin/tsadmin-real "$@"\n',
    )


def _put_before_tsadmin(lab: NamespaceLab, script: str) -> None:
    """Replace tsadmin of tscm-new by a script; tsadmin is tsadmin-real then."""
    program = lab.root_of("new") / "usr/local/bin/tsadmin"
    program.rename(program.with_name("tsadmin-real"))
    program.write_text(script)
    program.chmod(0o755)


def test_a_restart_in_the_rehearsal_is_undone_and_the_remedy_migrates(make_lab: MakeLab) -> None:
    """Its restore restarts it also when it is aborted at the network question, so that no rehearsal can succeed."""
    lab = make_lab({}, {"devices": OWN, "boot_seconds": 4.0})
    _put_before_tsadmin(
        lab,
        '#!/bin/sh\n[ "$1" = restore ] || exec /usr/local/bin/tsadmin-real "$@"\ntrap "" HUP\n'
        '/usr/local/bin/tsadmin-real "$@"; status=$?\n'
        'case "$*" in *bypass*) ;; *) sudo -n shutdown -r now;; esac\nexit $status\n',
    )
    before = {name: everything(lab, name) for name in ("old", "new")}
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", timeout=400)
    assert result.returncode == 1, all_output(result)
    shown = " ".join(result.stderr.split())
    assert re.search(r"(the connection was lost during|changed: boot).*; the old appliance still serves", shown), shown
    remedy = "tscm-migrate migrate --to tscm-new --no-rehearsal --from tscm-old"
    assert remedy in shown
    assert "all changes were undone" in result.stdout + result.stderr
    assert {name: everything(lab, name) for name in ("old", "new")} == before
    result = lab.run_tool(*remedy.split()[1:], "--yes", "--no-encrypt", timeout=400)
    assert result.returncode == 0, all_output(result)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}


def test_a_device_missing_in_the_restore_stops_before_the_cutover(make_lab: MakeLab) -> None:
    lab = make_lab({}, {"faults": {"restore_skips_devices": ["edge-asa"]}})
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", timeout=400)
    assert (result.returncode, "writes no files of edge-asa" in result.stderr) == (3, True), all_output(result)
    assert "--allow rehearsal-devices-missing" in result.stderr
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}
    assert lab.on("new", "ls /opt/threatstop/etc/devices").stdout == ""
    allowed = ("--yes", "--no-encrypt", "--allow", "rehearsal-devices-missing")
    result = lab.run_tool(*MIGRATE, *allowed, timeout=400)
    assert result.returncode == 4, all_output(result)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert "no check of this name" not in result.stdout


def test_an_early_unknown_question_is_refused_without_a_rehearsal(make_lab: MakeLab) -> None:
    order = ("network", "list", "warning", "ssh", "cron")
    lab = make_lab({}, {"extra_prompt": "Shall the moon be full?", "order": order})
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", "--no-rehearsal", timeout=400)
    assert (result.returncode, "moon" in result.stderr) == (3, True), all_output(result)
    assert "--no-rehearsal: the questions of the restore" not in result.stdout, "the run stopped before this message"
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}


def test_a_cron_entry_restored_in_the_rehearsal_is_paused_again(used: Rig, base: matrix.Undisturbed) -> None:
    used.fresh()
    before = used.state()
    n = next(p.n for p in points(base) if p.about == "action-done rehearse-restore")
    restore_entry = "cp /var/lib/tscm-migrate/held/multidevice-core /etc/cron.d/"
    done = used.migrate_and_pause(n, "after", lambda lab: lab.on("new", restore_entry))
    assert done.status == 0, done.text
    assert "multidevice-core; paused again" in done.text
    assert not differences(base.end, used.state().relative_to(before)), done.text


def test_a_skipped_rehearsal_is_in_output_and_report(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab()
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", "--no-rehearsal", timeout=400)
    assert result.returncode == 0, all_output(result)
    assert "--no-rehearsal: the questions of the restore will be known only when" in result.stdout + result.stderr
    report = json.loads(lab.run_tool("run", "report", "--json").stdout)
    assert report["rehearsal"] == {"skipped": "--no-rehearsal"}
    assert report["options"]["rehearsal"] is False


@pytest.mark.parametrize("saves", [True, False], ids=["saved", "not saved"])
def test_a_question_after_saved_network_settings_needs_no_answer(make_lab: MakeLab, *, saves: bool) -> None:
    """A rehearsal does not reach this question: it follows the answer to the network question."""
    lab = make_lab()
    inside = lab.root_of("new") / "usr/local/lib/tscm-lab/tscm_migrate/demo/guest/inside"
    program = inside / "restore.py"
    text = program.read_text()
    before, after = (
        "        self.save_network(saved)\n",
        '        machine.ask_yes("Shall the moon be full")\n',
    )
    assert text.count(before) == 1
    program.write_text(text.replace(before, before + after if saves else after + before))
    result = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", timeout=400)
    assert "moon" in result.stdout + result.stderr, all_output(result)
    assert result.returncode == (0 if saves else 5), all_output(result)
    assert (
        "its network settings are saved, so it is restarted without an answer" in result.stderr + result.stdout
    ) is saves, all_output(result)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43" if saves else "10.1.1.50"}
    assert lab.collisions() == []
