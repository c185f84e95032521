"""Appliances of other words: refused untaught with both as before, taught by a scripted person, then without a stop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.migrations import MIGRATE, keys_of, needed, said
from tests.support.person import NEWEST, Taught, learn
from tests.support.strangers import move_in

if TYPE_CHECKING:
    from tests.lab.conftest import MakeLab
    from tscm_migrate.lab.namespaces import NamespaceLab

pytestmark = needed(500)

PHRASE = "Grüße & 'Quotes' $HOME"
ENV = {"TSCM_PASSPHRASE": PHRASE}
# What a person types who has the migration in mind: the SSH identity is wanted, the schedule is not.
TINTO = (
    Taught("Protect the archive with a password", "yes", "encrypt"),
    Taught("New archive password|The same once more|Archive password", PHRASE, "passphrase"),
    Taught("Pick one", NEWEST, "archive"),
    Taught("secure shell identity", "yes", "ssh"),
    Taught("scheduled jobs", "no", "cron"),
    Taught("Type overwrite", "overwrite", "devices-exist"),
    Taught("Is the above correct", "yes", "network"),
)
QUAY = (
    Taught("Protect it, and all later ones", "y", "encrypt"),
    Taught("GPG secret|Once more", PHRASE, "passphrase"),
    Taught("-- more --", "", "pager"),
    Taught("lose what is set here", "y", "devices-exist"),
    Taught("present itself with it", "y", "ssh"),
    Taught("Put it in place", "n", "cron"),
    Taught("Take that address over", "y", "network"),
    Taught(r"threatstop_backup_[\d_-]+", NEWEST, "archive"),
)
PLOVER = (
    Taught(r"ENCRYPT \[E\], PLAIN", "e", "encrypt"),
    Taught("FILE NAME", "", "offered-name"),
    Taught("PASSPHRASE|ONCE MORE", PHRASE, "passphrase"),
    Taught("WHICH ONE", NEWEST, "archive"),
    Taught("USE THIS ONE", "y", "proceed"),
    Taught(r"3 \[X\] CRON", "3", "literal"),
    Taught(r"3 \[ \] CRON  4 \[ \]", "4", "literal"),
    Taught(r"3 \[ \] CRON  4 \[X\]", "g", "literal"),
    Taught(r"CONTINUE\? ", "y", "devices-exist"),
    Taught("IN PROGRESS", "y", "under-way"),
)
# What may change although everything is put back: archives stay, logs grow, an appliance remembers how it encrypts.
SEEN = (
    "cd /; find etc opt home root tmp dev/shm var/lib/tscm-migrate -xdev ! -name 'threatstop_*' ! -path 'etc/mtab' "
    "! -name '.backup*' -printf '%p %y %m %u %g\\n' 2>/dev/null | sort; "
    "find etc opt home -xdev -type f ! -name 'threatstop_*' ! -name '.backup*' -exec sha256sum {} + 2>/dev/null | sort"
)


def seen(lab: NamespaceLab) -> dict[str, list[str]]:
    return {name: lab.on(name, SEEN).stdout.splitlines() for name in ("old", "new")}


def etc_of(lab: NamespaceLab, name: str) -> str:
    script = "cd /opt/threatstop/etc && find . -type f ! -name '.backup*' -exec sha256sum {} + | sort -k2"
    return lab.on(name, script).stdout


@pytest.mark.parametrize(
    ("stranger", "known"), [("tinto", TINTO), ("quay", QUAY), ("plover", PLOVER)], ids=["tinto", "quay", "plover"]
)
def test_a_stranger_is_refused_untaught_and_migrated_without_a_stop_once_it_is_taught(
    rooms: MakeLab, stranger: str, known: tuple[Taught, ...]
) -> None:
    lab = rooms()
    move_in(lab, stranger)
    before, etc, keys = seen(lab), etc_of(lab, "old"), keys_of(lab, "old")
    result = lab.run_tool(*MIGRATE, "--yes", env=ENV, timeout=120)
    assert result.returncode == 3, said(result)
    assert "prompts learn tscm-new --from tscm-old" in result.stderr, said(result)
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}
    assert seen(lab) == before

    shown = learn(lab, known, env=ENV)
    assert PHRASE not in lab.inventory.with_name("dialect.toml").read_text()
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}
    assert seen(lab) == before, shown

    result = lab.run_tool(*MIGRATE, "--yes", env=ENV, timeout=160)
    assert result.returncode == 0, said(result)
    assert lab.addresses() == {"old": None, "new": "10.1.1.43"}
    assert lab.collisions() == []
    assert etc_of(lab, "new") == etc
    assert keys_of(lab, "new") == keys, "what was taught where SSH is answered no serves where it is wanted"
    assert not re.search(re.escape(PHRASE), result.stdout + result.stderr)
