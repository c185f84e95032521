"""Recovery sources: a copy on an S3 server, encrypted to the operator's key, and a file on the workstation."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import seaweed  # noqa: F401 - a fixture
from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support import servers
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.gpg import keyring, make_key
from tscm_migrate.offsite.stores.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    needs_embedded_lab,
    pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed"),
]

PHRASE = "an embedded phrase"


@contextmanager
def site(folder: Path, **old: object) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(folder, old_profile(**old), new_profile()) as lab:
        made = lab.on("old", "tsadmin backup </dev/null", root=False)
        assert made.returncode == 0, made.stdout + made.stderr
        yield lab


def devices(lab: EmbeddedLab, name: str) -> dict[str, bytes]:
    folder = lab.root_of(name) / "opt/threatstop/etc/devices"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run_tool(lab: EmbeddedLab, *args: str, env: Mapping[str, str] | None = None, status: int = 0) -> str:
    done = lab.run_tool(*args, env=env, timeout=400)
    assert done.returncode == status, f"{args}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_an_encrypted_copy_in_s3_is_decrypted_during_the_recovery(seaweed: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    with keyring() as home, site(tmp_path / "lab", encryption_configured=False) as lab:
        fingerprint = make_key(home, "ops@example.test")
        env = {**servers.ENV, "GNUPGHOME": str(home)}
        open_store(seaweed.url("contract", "other"), env=servers.ENV).create("bucket", b"is made by its first object")
        with lab.inventory.open("a") as file:
            file.write(f'\n[offsite]\nstore = "{seaweed.url("contract", "dead")}"\nrecipients = ["{fingerprint}"]\n')
        run_tool(lab, "offsite", "pull", "--host", "tscm-old", "--archive", "all", env=env)
        was = devices(lab, "old")
        lab.power_off("old")
        to = ("--to", "tscm-new")
        output = run_tool(lab, "plan", "--archive", "offsite:nosuch.tsbak", *to, env=env, status=1)
        assert "it has copies of tscm-old" in output
        output = run_tool(lab, "plan", "--checks-only", "--archive", "offsite:tscm-odl/latest", *to, env=env, status=1)
        assert "tscm-odl: no such copy" in output
        no_key = {**env, "GNUPGHOME": str(tmp_path)}
        output = run_tool(lab, "plan", "--archive", "offsite:latest", *to, env=no_key, status=1)
        assert "gpg" in output, "without the secret key the run does not start"
        run_tool(lab, "migrate", "--archive", "offsite:tscm-old/latest", *to, "--yes", env=env)
        assert devices(lab, "new") == was
        assert lab.addresses()["new"] == lab.profile("old").address
        assert lab.collisions() == []


def test_a_file_of_a_host_missing_in_the_inventory_is_recovered(tmp_path: Path) -> None:
    with site(tmp_path / "lab", encryption_configured=True, passphrase=PHRASE) as lab:
        (archive,) = (lab.root_of("old") / "opt/threatstop/backup").glob("threatstop_backup_*.gpg")
        shutil.copy(archive, tmp_path)
        was = devices(lab, "old")
        lab.power_off("old")
        text = lab.inventory.read_text()
        start, end = text.index("[hosts.tscm-old]"), text.index("[hosts.tscm-new]")
        lab.inventory.write_text(text[:start] + text[end:])
        env = {"TSCM_PASSPHRASE": PHRASE}
        words = ("--archive", str(tmp_path / archive.name), "--to", "tscm-new")
        planned = run_tool(lab, "plan", *words, env=env)
        assert lab.profile("old").address in planned, "the address comes from the archive"
        run_tool(lab, "migrate", *words, "--yes", env=env)
        assert devices(lab, "new") == was
        assert lab.addresses()["new"] == lab.profile("old").address


def test_latest_is_refused_for_a_store_with_copies_of_two_hosts(tmp_path: Path) -> None:
    from tests.support.incoming import NOW, Given, encrypted
    from tscm_migrate.errors import CopyMissing
    from tscm_migrate.offsite import catalog, restore_source
    from tscm_migrate.offsite.stores.local import LocalStore
    from tscm_migrate.offsite.upload import CopyPolicy, make_copy

    store = LocalStore(tmp_path)
    with pytest.raises(CopyMissing, match="it is empty"):
        restore_source.find(catalog.load(store), "latest")
    for host in ("tscm-a", "tscm-b"):
        make_copy(Given(encrypted(1000), host=host), store, CopyPolicy(), now=NOW)
    catalog_ = catalog.load(store)
    with pytest.raises(CopyMissing, match="of 2 hosts") as refused:
        restore_source.find(catalog_, "latest")
    assert "offsite:tscm-a/latest, offsite:tscm-b/latest" in refused.value.remedy()
    assert restore_source.find(catalog_, "tscm-b/latest").host == "tscm-b"
    assert restore_source.find(catalog_, f"tscm-a/{catalog_.copies[0].manifest.archive}").host == "tscm-a"
