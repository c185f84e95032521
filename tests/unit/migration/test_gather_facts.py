"""Errors that would stop a migration after its first changes are found while the facts are gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.local_shell import Network
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.errors import DialectError
from tscm_migrate.migration.gather_facts import survey
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from pathlib import Path


def test_invalid_site_dialect_is_an_error_of_the_survey(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    host = Host("tscm-new", "127.0.0.50", dialect=file)
    appliance = Appliance(host, Network())
    (found,) = survey(appliance)
    assert [finding.name for finding in found.findings] == ["unreachable"]
    file.write_text("[[question]]\nkind = 'perhaps'\ntext = 'Go on'\n", encoding="utf-8")
    with pytest.raises(DialectError, match=r"site\.toml"):
        survey(appliance)
