"""A push that is refused before anything is sent to an appliance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tscm_migrate.errors import TransferError
from tscm_migrate.transfer import api

if TYPE_CHECKING:
    from pathlib import Path


def test_empty_archive_is_not_pushed(tmp_path: Path) -> None:
    archive = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak"
    archive.touch()
    with pytest.raises(TransferError, match=r"\.tsbak is empty; nothing was copied") as refused:
        api.push(archive, cast("Any", None))
    assert refused.value.remedy()
