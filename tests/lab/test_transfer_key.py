"""The temporary key of a direct transfer, in migrations that are killed or fail while it is authorized."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.support.migrations import MIGRATE, all_output, needed, run_of

if TYPE_CHECKING:
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

WORD = {"TSCM_PASSPHRASE": "a passphrase"}
DIRECT = (*MIGRATE, "--yes", "--method", "rsync", "--route", "direct")
STILL = """cat > /usr/local/bin/rsync <<'END'
#!/bin/sh
case "$*" in */ask*|*--version*) exec /usr/bin/rsync "$@" ;; esac
exec sleep 100
END
chmod 755 /usr/local/bin/rsync"""


def test_a_key_left_by_a_killed_run_is_reported_and_removed_by_rollback(make_lab: MakeLab) -> None:
    lab = make_lab()
    keys = "cat /home/threatstop/.ssh/authorized_keys"
    before = lab.on("new", keys).stdout
    lab.on("old", STILL)
    with lab.spawn_tool(*DIRECT, env=WORD) as process:
        deadline = time.monotonic() + 90
        while "tscm-migrate-transfer" not in lab.on("new", keys).stdout:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=100)
    run = run_of(out + err)
    shown = lab.run_tool("run", "show", run)
    for words in ("tscm-new: the temporary key of the transfer may still be authorized", "authorized_keys of threatstop", "expires 2",
                  "/dev/shm/.tscm-migrate-transfer-", f"tscm-migrate rollback {run}"):  # fmt: skip
        assert words in shown.stdout, all_output(shown)
    doctor = lab.run_tool("doctor")
    findings = " ".join((doctor.stdout + doctor.stderr).split())
    assert "/home/threatstop/.ssh/authorized_keys accepts a key for one transfer (expires 2" in findings, findings
    assert "tscm-old: lent-key: /dev/shm/.tscm-migrate-transfer-" in findings, findings
    assert "sed -i --follow-symlinks" in findings
    back = lab.run_tool("rollback", run, "--yes", env=WORD, timeout=400)
    assert back.returncode == 0, all_output(back)
    assert lab.on("new", keys).stdout.rstrip("\n") == before.rstrip("\n")
    for name in ("old", "new"):
        assert lab.on(name, "ls -A /dev/shm; ls -A /opt/threatstop/backup | grep '^[.]'").stdout == ""
    assert "lent-key" not in lab.run_tool("doctor").stdout


def test_a_failed_rsync_leaves_no_partial_file_after_the_undo(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.on("new", "sed -i '1i echo Welcome' /home/threatstop/.bashrc || echo echo Welcome > /home/threatstop/.bashrc")
    done = lab.run_tool(*DIRECT, env=WORD, timeout=400)
    assert done.returncode == 1, all_output(done)
    assert "prints output" in done.stdout + done.stderr, all_output(done)
    assert "all changes were undone" in done.stdout + done.stderr, all_output(done)
    assert lab.on("new", "ls -A /opt/threatstop/backup /dev/shm | grep '^[.]'").stdout == ""
