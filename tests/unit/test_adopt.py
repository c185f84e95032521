"""The inventory after a migration: the new appliance's entry has its new address, the old one's says who replaced it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import InventoryError, UsageError
from tscm_migrate.inventory import adopt
from tscm_migrate.inventory.read import load
from tscm_migrate.migration import afterwards
from tscm_migrate.migration.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
# our site
[defaults]
user = "admin"

[groups]
west = ["tscm-old", "tscm-new"]

[hosts.tscm-old]  # the branch
address = "10.1.1.43"
port = 2222

[hosts.tscm-new]
  address = '10.1.1.50'   # until the migration
tags = ["spare"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hosts.toml"
    path.write_bytes(text.encode())
    return path


def adopted(path: Path, address: str = "10.1.1.43", *, took_address: bool = True) -> None:
    wanted = adopt.changes(
        load(path), old="tscm-old", new="tscm-new", address=address, took_address=took_address
    )  # fmt: skip
    adopt.write(path, wanted)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_what_is_stale_is_changed(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, TEXT.replace("\n", end))
    adopted(path)
    lines = path.read_bytes().decode().split(end)
    assert sorted(set(lines) - set(TEXT.split("\n"))) == [
        '  address = "10.1.1.43"   # until the migration', 'moved_to = "tscm-new"',
    ]  # fmt: skip
    assert len(lines) == len(TEXT.split("\n")) + 2, "moved_to, and the port of the new one"
    site = load(path)
    new = site.host("tscm-new")
    assert (new.address, new.port, new.tags) == ("10.1.1.43", 2222, ("spare",))
    assert site.host("10.1.1.43").name == "tscm-new", "the address is the new one's"
    assert [host.name for host in site.group("west")] == ["tscm-new"]
    assert not adopt.changes(site, old="tscm-old", new="tscm-new", address="10.1.1.43", took_address=True)


def test_a_command_to_the_old_name_says_where_it_moved(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    adopted(path)
    with pytest.raises(InventoryError) as error:
        load(path).host("tscm-old")
    assert "tscm-old was migrated to tscm-new, which is at 10.1.1.43 now" in error.value.message()
    assert error.value.remedy() == "use tscm-new"
    assert load(path).host("tscm-old", moved=True).address == "10.1.1.43"


def test_a_new_one_that_keeps_its_address_only_replaces_the_old_one(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    adopted(path, "10.1.1.50", took_address=False)
    host = load(path).host("tscm-new")
    assert (host.address, host.port) == ("10.1.1.50", 22)
    assert load(path).host("tscm-old", moved=True).moved_to == "tscm-new"


@pytest.mark.parametrize(
    "text",
    [
        'hosts.tscm-old.address = "10.1.1.43"\nhosts.tscm-new.address = "10.1.1.50"\n',
        '[hosts]\ntscm-old = { address = "10.1.1.43" }\ntscm-new = { address = "10.1.1.50" }\n',
        '[hosts.tscm-old]\naddress = "10.1.1.43"\n[hosts.tscm-new]\naddress = """10.1.1.50"""\n',
    ],
    ids=["dotted", "inline", "long string"],
)
def test_a_file_of_another_form_is_left_alone_and_what_to_write_is_said(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InventoryError) as error:
        adopted(path)
    assert 'in [hosts.tscm-new]: address = "10.1.1.43"' in error.value.remedy()
    assert path.read_text() == text
    assert tomllib.loads(text)


def test_moved_to_has_to_name_a_host_in_use(tmp_path: Path) -> None:
    circle = TEXT.replace("port = 2222", 'moved_to = "tscm-new"').replace("tags", 'moved_to = "tscm-old"\ntags')
    for text in (TEXT.replace("port = 2222", 'moved_to = "other"'), circle):
        with pytest.raises(InventoryError, match="not a host of this inventory that is in use"):
            load(written(tmp_path, text))


def test_a_host_that_does_not_answer_is_found_by_the_migration_that_moved_it(tmp_path: Path) -> None:
    run = "20260101-000000-aaaa"
    journal = Journal.create(run, tmp_path)
    journal.write("run-started", run=run, old="tscm-old", new="tscm-new", notes={"new_address": "10.1.1.50"})
    journal.write("noted", key="new_at", value="10.1.1.43")
    assert afterwards.whereabouts("tscm-new", root=tmp_path) == "", "it is not over"
    journal.write("run-ended", outcome="done")
    text = afterwards.whereabouts("tscm-new", root=tmp_path)
    assert text.startswith("tscm-new moved to 10.1.1.43 in run")
    assert text.endswith(f"tscm-migrate host adopt {run}")
    assert afterwards.whereabouts("tscm-old", root=tmp_path) == ""
    assert afterwards.whereabouts("other", root=tmp_path) == ""
    with pytest.raises(UsageError, match="neither a run nor an appliance"):
        afterwards.finished("other", root=tmp_path)
