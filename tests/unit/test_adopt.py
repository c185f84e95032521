"""`host adopt` after a migration: the entry of the new appliance gets its new address; the other entry names it."""

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


def write_inventory(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hosts.toml"
    path.write_bytes(text.encode())
    return path


def adopt_migration(path: Path, address: str = "10.1.1.43", *, took_address: bool = True) -> None:
    changes = adopt.changes(
        load(path), old="tscm-old", new="tscm-new", address=address, took_address=took_address
    )  # fmt: skip
    adopt.write(path, changes)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_adopt_changes_only_outdated_lines(tmp_path: Path, end: str) -> None:
    path = write_inventory(tmp_path, TEXT.replace("\n", end))
    adopt_migration(path)
    lines = path.read_bytes().decode().split(end)
    assert sorted(set(lines) - set(TEXT.split("\n"))) == [
        '  address = "10.1.1.43"   # until the migration', 'moved_to = "tscm-new"',
    ]  # fmt: skip
    assert len(lines) == len(TEXT.split("\n")) + 2, "two lines more: moved_to, and the port of tscm-new"
    site = load(path)
    new = site.host("tscm-new")
    assert (new.address, new.port, new.tags) == ("10.1.1.43", 2222, ("spare",))
    assert site.host("10.1.1.43").name == "tscm-new", "the address belongs to tscm-new now"
    assert [host.name for host in site.group("west")] == ["tscm-new"]
    assert not adopt.changes(site, old="tscm-old", new="tscm-new", address="10.1.1.43", took_address=True)


def test_old_name_after_adopt_is_refused_with_the_new_name(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, TEXT)
    adopt_migration(path)
    with pytest.raises(InventoryError) as error:
        load(path).host("tscm-old")
    assert "tscm-old was migrated to tscm-new, which is at 10.1.1.43 now" in error.value.message()
    assert error.value.remedy() == "use tscm-new"
    assert load(path).host("tscm-old", moved=True).address == "10.1.1.43"


def test_adopt_keeps_address_when_it_was_not_taken_over(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, TEXT)
    adopt_migration(path, "10.1.1.50", took_address=False)
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
def test_adopt_refuses_unsupported_toml_form_and_shows_the_lines(tmp_path: Path, text: str) -> None:
    path = write_inventory(tmp_path, text)
    with pytest.raises(InventoryError) as error:
        adopt_migration(path)
    assert 'in [hosts.tscm-new]: address = "10.1.1.43"' in error.value.remedy()
    assert path.read_text() == text
    assert tomllib.loads(text)


def test_moved_to_must_name_a_host_in_use(tmp_path: Path) -> None:
    circle = TEXT.replace("port = 2222", 'moved_to = "tscm-new"').replace("tags", 'moved_to = "tscm-old"\ntags')
    for text in (TEXT.replace("port = 2222", 'moved_to = "other"'), circle):
        with pytest.raises(InventoryError, match="not a host of this inventory that is in use"):
            load(write_inventory(tmp_path, text))


def test_whereabouts_of_a_moved_host_come_from_its_finished_run(tmp_path: Path) -> None:
    run = "20260101-000000-aaaa"
    journal = Journal.create(run, tmp_path)
    journal.write("run-started", run=run, old="tscm-old", new="tscm-new", notes={"new_address": "10.1.1.50"})
    journal.write("noted", key="new_at", value="10.1.1.43")
    assert afterwards.whereabouts("tscm-new", root=tmp_path) == "", "the run has not ended"
    journal.write("run-ended", outcome="done")
    text = afterwards.whereabouts("tscm-new", root=tmp_path)
    assert text.startswith("tscm-new moved to 10.1.1.43 in run")
    assert text.endswith(f"tscm-migrate host adopt {run}")
    assert afterwards.whereabouts("tscm-old", root=tmp_path) == ""
    assert afterwards.whereabouts("other", root=tmp_path) == ""
    with pytest.raises(UsageError, match="neither a run nor an appliance"):
        afterwards.finished("other", root=tmp_path)
