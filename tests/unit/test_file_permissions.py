"""The inventory and the files of its commands are refused if another user may write them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import UnsafeFile
from tscm_migrate.inventory import trust
from tscm_migrate.inventory.read import load

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
ROOT = os.name != "nt" and getattr(os, "geteuid", lambda: 1)() == 0

TEXT = '[hosts.tscm-old]\naddress = "127.0.0.9"\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir(mode=0o755)
    file = folder / "hosts.toml"
    file.write_text(TEXT)
    file.chmod(0o644)
    return file


def commands_of(error: UnsafeFile) -> str:
    """Return the commands in the remedy."""
    return error.remedy().partition("; then: ")[2]


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777, 0o602])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_inventory_writable_by_others_is_refused_until_the_remedy_ran(site: Path, what: str, mode: int) -> None:
    (site if what == "file" else site.parent).chmod(mode | 0o700)
    with pytest.raises(UnsafeFile) as refused:
        load(site)
    assert "others may write" in refused.value.message()
    subprocess.run(["sh", "-c", commands_of(refused.value)], check=True, timeout=100)
    assert list(load(site).hosts) == ["tscm-old"]


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_inventory_of_another_user_is_refused_until_the_remedy_ran(site: Path, what: str) -> None:
    os.chown(site if what == "file" else site.parent, 12345, 12345)
    with pytest.raises(UnsafeFile, match="belongs to the user 12345") as refused:
        load(site)
    subprocess.run(["sh", "-c", commands_of(refused.value)], check=True, timeout=100)
    assert list(load(site).hosts) == ["tscm-old"]


def test_folder_further_up_that_everybody_can_write_is_refused_until_the_remedy_ran(tmp_path: Path) -> None:
    above = tmp_path / "above"
    folder = above / "between" / "site"
    folder.mkdir(parents=True, mode=0o755)
    file = folder / "hosts.toml"
    file.write_text(TEXT)
    file.chmod(0o644)
    for mode in (0o775, 0o1777):
        above.chmod(mode)
        assert load(file), "only a folder is refused in which every user can exchange others' folders"
    above.chmod(0o777)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(UnsafeFile, match=r"above \(mode 0777\)") as refused:
            load(path)
    subprocess.run(["sh", "-c", commands_of(refused.value)], check=True, timeout=100)
    assert load(file)


def test_link_its_folder_and_its_target_are_checked(site: Path, tmp_path: Path) -> None:
    link_folder = tmp_path / "links"
    link_folder.mkdir(mode=0o755)
    link = link_folder / "hosts.toml"
    link.symlink_to(site)
    assert load(link)
    site.chmod(0o666)
    with pytest.raises(UnsafeFile, match=r"site/hosts\.toml"):
        load(link)
    site.chmod(0o644)
    link_folder.chmod(0o777)
    with pytest.raises(UnsafeFile, match=r"links \(mode 0777\)"):
        load(link)
    link_folder.chmod(0o1777)
    assert load(link), "in a sticky folder, a user cannot replace files of another user"


@pytest.mark.parametrize(
    "line",
    [
        'hooks.offline = "{file} off"', 'hooks.online = "sh {file}"', 'notify.failed = "sudo {file} x"',
        'hosts.tscm-old.passphrase = "command:{file} show"', 'defaults.sudo_password = "command:./own.sh"',
        'offsite.passphrase = "command:{file}"', 'hooks.snapshot = "own.sh && ./own.sh"',
    ],
)  # fmt: skip
def test_file_run_by_an_inventory_command_is_checked(site: Path, line: str) -> None:
    script = site.parent / "own.sh"
    script.write_text("#!/bin/sh\n")
    table, _, rest = line.partition(" = ")
    section, _, key = table.rpartition(".")
    head, body = (TEXT, f"{key} = {rest}\n") if section.startswith("hosts") else (f"[{section}]\n", f"{key} = {rest}\n")
    site.write_text((head + body if section.startswith("hosts") else f"{head}{body}{TEXT}").format(file=script))
    script.chmod(0o755)
    assert load(site)
    script.chmod(0o757)
    with pytest.raises(UnsafeFile, match=r"own\.sh"):
        load(site)


def test_known_hosts_file_is_checked(site: Path) -> None:
    known = site.parent / "known_hosts"
    known.write_text("")
    known.chmod(0o666)
    with pytest.raises(UnsafeFile, match="trusted host keys"):
        load(site)


def test_words_that_name_no_file_are_accepted(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.touch()
    theirs.chmod(0o777)
    with pytest.raises(UnsafeFile):
        trust.check_commands([(str(theirs), "x")], tmp_path)
    trust.check_commands(
        [("pass show tscm/old", "x"), ("/no/such thing 'quote", "y"), ("govc vm.power $X", "z")], tmp_path
    )
    long = "x" * 5000
    trust.check_commands(
        [(f"curl -d '{{{long}/{long}}}' https://x.example", "x"), ("~no-such-user/run", "y")], tmp_path
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_inventory_of_the_current_folder_is_shown_first(site: Path, options: tuple[str, ...]) -> None:
    site.parent.rename(site.parent.with_name("inventory"))
    argv = [sys.executable, "-m", "tscm_migrate", "host", "list", *options]
    env = {name: value for name, value in os.environ.items() if name != "TSCM_INVENTORY"}
    done = subprocess.run(
        argv, cwd=site.parent.parent, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first = (done.stderr if options else done.stdout).splitlines()[0]
    assert str(site.parent.with_name("inventory") / "hosts.toml") in first
    if options:
        assert done.stdout.startswith("[")
