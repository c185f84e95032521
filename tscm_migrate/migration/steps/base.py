"""What most steps have in common: nothing to remember, nothing to check, nothing to take back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Actions, Migration


class Plain:
    """A step's defaults; see `engine.Step`."""

    id: ClassVar[str]
    title: ClassVar[str]
    cutover: ClassVar[bool] = False
    goes_back: ClassVar[str] = ""

    def capture(self, _m: Migration) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def verify(self, _m: Migration) -> None:
        """Nothing beyond what `apply` saw."""

    def revert(self, _m: Migration, _undo: dict[str, Any]) -> Actions:
        """Nothing to take back."""
        yield from ()
