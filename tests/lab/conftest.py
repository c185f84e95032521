"""Namespace labs for complete migrations: made by a test, closed at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.harness.profile import new_profile, old_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.namespaces import NamespaceLab


class MakeLab(Protocol):
    def __call__(
        self, old: dict[str, Any] | None = None, new: dict[str, Any] | None = None, **options: Any
    ) -> NamespaceLab: ...


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    from tests.harness.namespaces import NamespaceLab

    made: list[NamespaceLab] = []

    def make(old: dict[str, Any] | None = None, new: dict[str, Any] | None = None, **options: Any) -> NamespaceLab:
        fast = {"boot_seconds": 0.2}
        lab = NamespaceLab(
            tmp_path / f"room{len(made)}",
            old_profile(**fast | (old or {})),
            new_profile(**fast | (new or {})),
            **options,
        )
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.close()
