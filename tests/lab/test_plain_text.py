"""A migration without a passphrase is refused; an unencrypted archive that tsadmin leaves is reported."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import MIGRATE, all_output

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    needs_embedded_lab,
]

# Makes the backup, and leaves the unencrypted archive beside the encrypted one.
LEAVES = """
if [ "$1" = backup ]; then
{call} "$@"; s=$?
new=$(ls -t {folder}/threatstop_backup_*.gpg | head -n 1)
echo 'plain and full of secrets' > "${{new%.gpg}}"
exit $s
fi
"""


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(tmp_path_factory.mktemp("room"), old_profile(archives=2), new_profile()) as made:
        yield made


def test_a_missing_passphrase_is_refused_and_a_plain_copy_is_reported(lab: EmbeddedLab) -> None:
    backups = lab.guest("old").path("backup")
    before = sorted(path.name for path in backups.iterdir())
    refused = lab.run_tool(*MIGRATE, "--yes")
    assert refused.returncode == 2, all_output(refused)
    assert "--no-encrypt" in refused.stderr
    typo = lab.run_tool(*MIGRATE, "--yes", "--allow", "os-difers")
    assert typo.returncode == 2, all_output(typo)
    assert "os-differs" in typo.stderr
    assert "Identify" not in typo.stdout, "it is refused before a connection"
    assert sorted(path.name for path in backups.iterdir()) == before

    program = lab.guest("old").path("bin") / "tsadmin"
    shebang, call = program.read_text().split("\n", 1)
    real = call.strip().removeprefix("exec ").removesuffix(' "$@"')
    program.write_text(f"{shebang}\n{LEAVES.format(call=real, folder=shlex.quote(str(backups)))}{call}")
    done = lab.run_tool(*MIGRATE, "--yes", env={"TSCM_PASSPHRASE": "kept from view"}, timeout=400)
    assert done.returncode in {0, 4}, all_output(done)
    left = [path for path in backups.iterdir() if path.suffix == ".tsbak" and path.name not in before]
    assert len(left) == 1
    (line,) = [line for line in done.stdout.splitlines() if "NOT ENCRYPTED" in line]
    assert str(left[0]) in line
    command = re.search(r"remove it: ssh -t (?:-p \d+ )?\S+ (.*)$", line)
    assert command, line
    (remote,) = shlex.split(command[1])
    subprocess.run(["sh", "-c", remote.removeprefix("sudo ")], check=True, timeout=100)
    assert not left[0].exists()
