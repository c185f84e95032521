"""What most steps have in common: nothing to remember, nothing to check, nothing to take back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from tscm_migrate.errors import UnknownPrompt, Untaught

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.migration.context import Actions, Migration


@contextlib.contextmanager
def refusing_unknown(m: Migration) -> Iterator[None]:
    """Refuse the migration where an unknown question comes while the old appliance serves; the remedy teaches it."""
    try:
        yield
    except UnknownPrompt as unknown:
        asked = {"prompt": unknown.prompt, "transcript": unknown.transcript}
        raise Untaught(unknown.host, unknown.detail, **asked, learn=m.options.learn_command) from unknown


class BaseStep:
    """A step's defaults; see `engine.Step`."""

    id: ClassVar[str]
    title: ClassVar[str]
    cutover: ClassVar[bool] = False
    revert_summary: ClassVar[str] = ""

    def capture(self, _m: Migration) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def verify(self, _m: Migration) -> None:
        """Nothing beyond what `apply` saw."""

    def revert(self, _m: Migration, _undo: dict[str, Any]) -> Actions:
        """Nothing to take back."""
        yield from ()
