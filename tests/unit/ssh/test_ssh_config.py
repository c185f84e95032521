"""Values from the user's ssh_config: used where the inventory has none, and the same as those that ssh reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from getpass import getuser
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.model import Host
from tscm_migrate.ssh.ssh_config import identities, settings, settled, summary

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
Host 10.1.1.43
    User carol
    Port 2222
    HostName evil.example
    ProxyJump elsewhere
    IdentityFile ~/.ssh/special
    IdentityFile ~/.ssh/missing
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(CONFIG)
    for name in ("special", "id_rsa"):
        (tmp_path / ".ssh" / name).write_text("key")
    return tmp_path


def test_value_missing_in_the_inventory_comes_from_ssh_config() -> None:
    host = settled(Host("old", "10.1.1.43", given=frozenset({"address"})))
    assert (host.user, host.port, host.address, host.gateway) == ("carol", 2222, "10.1.1.43", None)


def test_value_in_the_inventory_has_priority_over_ssh_config() -> None:
    given = Host("old", "10.1.1.43", user="threatstop", port=22, given=frozenset({"user", "port"}))
    assert settled(given) == given
    assert settled(Host("old", "10.1.1.43", user="dave", port=2200)).user == "dave"


def test_key_files_come_from_inventory_ssh_config_or_defaults(home: Path, tmp_path: Path) -> None:
    assert identities(Host("old", "10.1.1.43")) == [home / ".ssh" / "special"]
    assert identities(Host("old", "10.1.1.44")) == [home / ".ssh" / "id_rsa"]
    assert identities(Host("old", "10.1.1.43", identity_file=tmp_path / "k")) == [tmp_path / "k"]


@pytest.mark.parametrize("text", ["Match exec {nonsense\n\0", "Host *\n  Port many\n  User\n", ""])
def test_invalid_ssh_config_is_ignored(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)
    assert settled(Host("old", "10.1.1.43")) == Host("old", "10.1.1.43")


def test_missing_ssh_config_is_ignored(home: Path) -> None:
    (home / ".ssh" / "config").unlink()
    assert settled(Host("old", "10.1.1.43")) == Host("old", "10.1.1.43")


def config(home: Path, text: str, **files: str) -> Host:
    (home / ".ssh" / "config").write_text(text)
    for name, more in files.items():
        (home / ".ssh" / name).write_text(more)
    return Host("old", "10.1.1.43")


def test_unsupported_match_does_not_apply_and_is_named(home: Path) -> None:
    host = config(
        home,
        "Match exec 'test -f /x'\n  User wrong\nMatch host 10.1.1.4? !user root\n  Port 2022\n"
        "Match canonical all\n  User wrong\nMatch originalhost 10.9.*\n  User wrong\nMatch localnetwork 10.0.0.0/8\n"
        "  User wrong\nMatch all\n  User dora\n",
    )
    assert (settled(host).user, settled(host).port) == ("dora", 2022)
    notes = settings(host).notes
    assert [note.partition(" line ")[2][:1] for note in notes] == ["1", "5", "9"]
    assert all(str(home / ".ssh" / "config") in note for note in notes)


def test_unreadable_line_is_skipped_and_named(home: Path) -> None:
    host = config(home, 'Host 10.1.1.*\n  User "carol\n  Port many\n  IdentityFile\n  Port 2200\n')
    assert (settled(host).user, settled(host).port) == ("threatstop", 2200)
    assert [re.search(r"line (\d)", note)[1] for note in settings(host).notes] == ["2", "3", "4"]  # type: ignore[index]


def test_included_files_are_read_where_their_block_applies(home: Path) -> None:
    host = config(
        home,
        "Host 10.9.*\n  Include other\nHost *\n  Include part? nowhere\n",
        part1="User=erin\nIdentityAgent ~/agent.sock\n",
        part2="Host 10.1.*\n  IdentityFile ~/.ssh/special\n  IdentitiesOnly yes\n",
        other="User wrong\n",
    )
    found = settings(host)
    assert (found.user, found.agent, found.only) == ("erin", str(home / "agent.sock"), True)
    assert [path.name for path in found.files[:3]] == ["config", "part1", "part2"]
    assert identities(host) == [home / ".ssh" / "special"]


def test_summary_names_each_value_and_its_source(home: Path) -> None:
    text = "; ".join(
        summary(config(home, "Host *\n  User carol\n  IdentityFile %d/.ssh/special\n  IdentityAgent none\n"))
    )
    assert "carol@10.1.1.43 port 22 (from ~/.ssh/config)" in text
    assert f"identity files: {home / '.ssh' / 'special'}" in text
    assert "agent: not used" in text


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh to compare with")
@pytest.mark.parametrize(
    "text",
    [
        "Host 'box'\n User 'single quotes'",
        "User jo#e # a comment\nPort 24 # another",
        'User a\\ b\nIdentityFile "/a \\"b\\\\"\nIdentityFile C:\\keys\\one',
        'User "#a"',
        "HostName real.example\nMatch host real.example\n User named\nMatch originalhost box\n Port 23",
        "HostName %h.example\nMatch host BOX.example\n User named",
        "Host BOX\n User upper\nMatch originalhost BOX\n Port 23",
        "User admin\nMatch user threatstop\n Port 2222",
        "Match user threatstop\n IdentityFile /k/one\nUser admin",
        "IdentityFile /a\nIdentityFile /a\nIdentityFile /b",
        "\tUser=eq\r\nPort = 23\r\n",
        "IgnoreUnknown Later*\nLaterOption yes\nUser after",
        "Include none /no/such\nMatch !localuser nobody host b?x\n User local",  # prose: keep
    ],
)
def test_ssh_config_is_read_as_by_ssh(home: Path, text: str) -> None:
    file = home / ".ssh/config"
    file.write_text(text)
    for given in (True, False):
        login = ["-l", "threatstop"] if given else []
        said = subprocess.run(
            ["ssh", *login, "-F", str(file), "-G", "box"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        wanted = [line.partition(" ")[::2] for line in said.splitlines()]
        host = Host("old", "box", user="threatstop" if given else getuser(), given=frozenset({"user"} if given else ()))
        found = settings(host)
        assert dict(wanted)["user"] == (host.user if given else found.user or host.user)
        assert int(dict(wanted)["port"]) == (found.port or 22)
        files = [value for key, value in wanted if key == "identityfile" and not value.startswith("~/.ssh/id_")]
        assert files == list(found.identity_files)


def test_tokens_are_replaced_when_user_and_port_are_known(home: Path) -> None:
    host = config(home, "IdentityFile /k/%r-%p-%h-%n-%%-%d\nUser late\nPort 77\nHostName real.example")
    assert settings(host).identity_files == (f"/k/late-77-real.example-{host.address}-%-{home}",)
