"""The off-site commands as a user types them, on rehearsal appliances with real archives."""

from __future__ import annotations

import json
import os
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.incoming import Given, encrypted, name_of
from tscm_migrate.inventory.read import load
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.harness.any_lab import Lab

PHRASE = "drill me gently"
pytestmark = [pytest.mark.slow, needs_embedded_lab]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two appliances: the backups of tscm-old are encrypted, those of tscm-new are not."""
    old = old_profile(encryption_configured=True, passphrase=PHRASE)
    new = new_profile(encryption_configured=False)
    with embedded.EmbeddedLab(tmp_path_factory.mktemp("lab"), old, new) as made:
        for name in ("old", "new"):
            done = made.on(name, "tsadmin backup </dev/null", root=False)
            assert done.returncode == 0, done.stdout + done.stderr
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def offsite(lab: Lab, store: Path, *args: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    done = lab.run_tool("offsite", *args, "--store", str(store), env=env)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert PHRASE not in done.stdout + done.stderr
    return done


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_pulled_copy_is_listed_shown_and_fetched(lab: Lab, store: Path, tmp_path: Path) -> None:
    assert "tscm-old: would pull threatstop_backup_" in offsite(lab, store, "pull", "--dry-run").stdout
    assert list(store.iterdir()) == []
    output = offsite(lab, store, "pull").stdout
    assert "2 hosts: 2 stored" in output
    assert "2 already there" in offsite(lab, store, "pull").stdout
    listed = objects(offsite(lab, store, "list", "--json"))
    assert [(c["host"], c["encrypted"]) for c in sorted(listed, key=lambda c: str(c["host"]))] == [
        ("tscm-new", "no"),
        ("tscm-old", "passphrase"),
    ]
    assert listed[0]["versions"]["TSCM-Core"]
    shown = offsite(lab, store, "show", "tscm-old").stdout
    assert "TSCM-Core" in shown
    assert "PLAIN" in offsite(lab, store, "list").stdout
    offsite(lab, store, "fetch", "tscm-old", "--to", str(tmp_path))
    (archive,) = tmp_path.glob("threatstop_backup_*")
    original = max((lab.guest("old").root / "opt/threatstop/backup").glob("threatstop_backup_*"))
    assert archive.read_bytes() == original.read_bytes()
    offsite(lab, store, "fetch", "tscm-old", "--to", str(tmp_path), code=1)


def test_a_drill_opens_a_real_archive(lab: Lab, store: Path) -> None:
    offsite(lab, store, "pull")
    done = objects(offsite(lab, store, "drill", "tscm-old", "--json", TSCM_PASSPHRASE=PHRASE))[0]
    devices = {device.name for device in lab.profile("old").devices}
    assert done["ok"]
    assert devices <= set(done["devices"])
    failed = offsite(lab, store, "drill", "tscm-old", TSCM_PASSPHRASE="something else", code=1)
    assert "FAILED" in failed.stdout
    assert "FAILED: there is no device in it" in offsite(lab, store, "drill", "tscm-new", code=1).stdout
    assert "passphrase" in offsite(lab, store, "drill", "tscm-old", code=1).stderr


def test_unencrypted_archives_can_be_refused(lab: Lab, store: Path, tmp_path: Path) -> None:
    text = lab.inventory.read_text() + f'\n[offsite]\nstore = "{store}"\nrequire_encryption = true\n'
    strict = lab.inventory.with_name(f"strict-{tmp_path.name}.toml")
    strict.write_text(text)
    done = lab.run_tool("offsite", "pull", "--inventory", str(strict))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "offsite.plaintext" in done.stdout
    done = lab.run_tool("offsite", "pull", "--inventory", str(strict), "--host", "tscm-new")
    assert done.returncode == 3
    assert [c["host"] for c in objects(lab.run_tool("offsite", "list", "--json", "--inventory", str(strict)))] == [
        "tscm-old"
    ]


def test_status_gives_an_exit_code_a_page_and_metrics(lab: Lab, store: Path, tmp_path: Path) -> None:
    offsite(lab, store, "pull", "--host", "tscm-old")
    late = offsite(lab, store, "status", code=4).stdout
    assert re.search(r"tscm-new +NEVER", late)
    page, metrics = tmp_path / "status.html", tmp_path / "tscm.prom"
    args = ("--host", "tscm-old", "--page", str(page), "--prometheus", str(metrics))
    assert "fresh" in offsite(lab, store, "status", *args).stdout
    assert 'tscm_offsite_late{host="tscm-old"} 0' in metrics.read_text()
    assert "all 1 fresh" in page.read_text()


def test_a_damaged_copy_is_shown_and_pulled_again(lab: Lab, store: Path) -> None:
    offsite(lab, store, "pull")
    (copy,) = objects(offsite(lab, store, "list", "--host", "tscm-old", "--json"))
    offsite(lab, store, "tag", "tscm-old", "latest", "--set", "keep")
    table = offsite(lab, store, "prune", "--dry-run").stdout
    assert "tag keep" in table
    assert "2 stay, 0 go" in table
    assert "ok" in offsite(lab, store, "verify", "--sample", "50%").stdout
    data = store / copy["data"]
    whole = data.read_bytes()
    data.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # a different byte
    assert "DAMAGED" in offsite(lab, store, "verify", "--host", "tscm-old", code=1).stdout
    assert "DAMAGED" in offsite(lab, store, "list").stdout
    assert "stored" in offsite(lab, store, "pull", "--host", "tscm-old").stdout
    assert "ok" in offsite(lab, store, "verify", "--host", "tscm-old").stdout
    assert "nothing was left behind" in offsite(lab, store, "clean").stdout


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("pull", "--host", "tscm-odl"), "tscm-old"),
        (("pull", "--jobs", "0"), "--jobs"),
        (("pull", "--if-older", "soon"), "--if-older"),
        (("pull", "--cluster"), "offsite.cluster"),
        (("verify", "--sample", "150%"), "--sample"),
        (("clean", "--older", "x"), "--older"),
        (("prun",), "prune"),
    ],
)
def test_usage_error_has_a_remedy(lab: Lab, store: Path, args: tuple[str, ...], expected: str) -> None:
    assert expected in offsite(lab, store, *args, code=2).stderr


def test_a_missing_store_is_reported_with_its_option(lab: Lab) -> None:
    done = lab.run_tool("offsite", "list")
    assert done.returncode == 2
    assert "--store" in done.stderr


def test_an_unreachable_host_does_not_stop_the_others(lab: Lab, store: Path) -> None:
    lab.power_off("new")
    try:
        done = objects(offsite(lab, store, "pull", "--json", code=4))
    finally:
        lab.power_on("new")
    assert {o["host"]: o["outcome"] for o in done} == {"tscm-old": "stored", "tscm-new": "failed"}
    assert next(o for o in done if o["host"] == "tscm-new")["code"] == "ssh.unreachable"
    young = offsite(lab, store, "pull", "--host", "tscm-old", "--if-older", "1h").stdout
    assert "nothing to do" in young


def configured(lab: Lab, store: Path, folder: Path) -> Path:
    """Write an inventory whose retention keeps one copy."""
    keep = "[offsite.keep]\nlast = 1\ndaily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\n"
    keep += 'within = "0s"\nunverified_for = "0s"\n'
    file = lab.inventory.with_name(f"keep-{folder.name}.toml")
    file.write_text(lab.inventory.read_text() + f'\n[offsite]\nstore = "{store}"\n{keep}')
    return file


def test_a_prune_of_most_copies_of_a_host_needs_confirmation(lab: Lab, store: Path, tmp_path: Path) -> None:
    args = ("offsite", "prune", "--inventory", str(configured(lab, store, tmp_path)), "--host", "tscm-old")
    for day in range(1, 13):
        when = datetime(2026, 1, day, 3, tzinfo=UTC)
        make_copy(
            Given(encrypted(100, seed=day), host="tscm-old", archive=name_of(when)), LocalStore(store), CopyPolicy(),
            now=when + timedelta(minutes=5),
        )  # fmt: skip
    refused = lab.run_tool(*args)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "11 of 12 copies would be deleted" in refused.stderr
    command = next(line for line in refused.stderr.splitlines() if "tscm-migrate offsite prune" in line)
    words = shlex.split(command[command.index("tscm-migrate") :])[1:]
    assert len(catalog.load(LocalStore(store)).copies) == 12
    assert lab.run_tool(*words).returncode == 0
    assert len(catalog.load(LocalStore(store)).copies) == 1


def test_prune_there_needs_confirmation_and_honours_the_lock(lab: Lab, store: Path, tmp_path: Path) -> None:
    done = lab.on("old", "sleep 1.1; tsadmin backup </dev/null", root=False)
    assert done.returncode == 0, done.stdout + done.stderr
    backups = lab.guest("old").root / "opt/threatstop/backup"
    before = sorted(path.name for path in backups.glob("threatstop_backup_*"))
    more = ("--inventory", str(configured(lab, store, tmp_path)), "--host", "tscm-old")
    assert lab.run_tool("offsite", "pull", "--archive", "all", *more).returncode == 0
    prune = ("offsite", "prune", "--there", *more)
    shown = lab.run_tool(*prune, "--dry-run")
    assert shown.returncode == 0
    assert shown.stdout.count("DELETE") == len(before) - 1
    asked = lab.run_tool(*prune)
    assert asked.returncode == 3
    assert "--there --yes" in asked.stderr
    lock = Path(load(lab.inventory).host("tscm-old").paths.hold_dir) / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("{}")
    locked = lab.run_tool(*prune, "--yes")
    lock.unlink()
    assert locked.returncode == 3, locked.stdout + locked.stderr
    assert "locked" in locked.stderr
    assert sorted(path.name for path in backups.glob("threatstop_backup_*")) == before
    assert lab.run_tool(*prune, "--yes").returncode == 0
    assert sorted(path.name for path in backups.glob("threatstop_backup_*")) == before[-1:]
    assert not lock.exists()


def test_an_unreadable_object_is_named_by_every_command(lab: Lab, store: Path, tmp_path: Path) -> None:
    offsite(lab, store, "pull", "--host", "tscm-old")
    bad = store / "hosts/tscm-old/archives/x.json"
    os.mkfifo(bad)
    for words, code in (
        (("list",), 0), (("list", "--json"), 0), (("verify",), 4), (("status", "--host", "tscm-old"), 0),
        (("fetch", "tscm-old", "--to", str(tmp_path)), 0), (("pull", "--host", "tscm-old"), 0),
        (("show", "tscm-old"), 0), (("clean",), 3),
    ):  # fmt: skip
        done = offsite(lab, store, *words, code=code)
        assert "x.json" in done.stdout + done.stderr, words
