from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tscm_migrate.site import Host
from tscm_migrate.ssh.userconfig import identities, settled

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


def test_where_the_inventory_is_silent_the_file_speaks() -> None:
    host = settled(Host("old", "10.1.1.43", given=frozenset({"address"})))
    assert (host.user, host.port, host.address, host.gateway) == ("carol", 2222, "10.1.1.43", None)


def test_what_the_inventory_says_stands() -> None:
    given = Host("old", "10.1.1.43", user="threatstop", port=22, given=frozenset({"user", "port"}))
    assert settled(given) == given
    assert settled(Host("old", "10.1.1.43", user="dave", port=2200)).user == "dave"


def test_key_files_come_from_one_place_only(home: Path, tmp_path: Path) -> None:
    assert identities(Host("old", "10.1.1.43")) == [home / ".ssh" / "special"]
    assert identities(Host("old", "10.1.1.44")) == [home / ".ssh" / "id_rsa"]
    assert identities(Host("old", "10.1.1.43", identity_file=tmp_path / "k")) == [tmp_path / "k"]


@pytest.mark.parametrize("text", ["Match exec {nonsense\n\0", "Host *\n  Port many\n  User\n", ""])
def test_a_strange_file_stops_nothing(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)
    assert settled(Host("old", "10.1.1.43")) == Host("old", "10.1.1.43")


def test_no_file_is_fine(home: Path) -> None:
    (home / ".ssh" / "config").unlink()
    assert settled(Host("old", "10.1.1.43")) == Host("old", "10.1.1.43")
