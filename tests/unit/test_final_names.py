"""Files get their final names without replacing one, also where there are no hard links."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.util import private

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["hard links", "no hard links"])
def _links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_from: object, _to: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # what FAT answers

    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", refused)


@pytest.mark.usefixtures("_links")
def test_a_file_gets_its_final_name_unless_that_is_taken(tmp_path: Path) -> None:
    part, final = tmp_path / "a.part", tmp_path / "a"
    part.write_text("new")
    private.give_name(part, final)
    assert (final.read_text(), part.exists()) == ("new", False)
    part.write_text("newer")
    with pytest.raises(FileExistsError):
        private.give_name(part, final)
    assert (final.read_text(), part.read_text()) == ("new", "newer")
