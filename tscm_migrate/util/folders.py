"""The folders of this tool on the workstation: one place computes them."""

from __future__ import annotations

import os
from pathlib import Path

from tscm_migrate.errors import StateUnwritable
from tscm_migrate.util import private

STATE_VARIABLE = "TSCM_STATE"


def state_folder() -> Path:
    """Return the folder of runs, checkpoints and caches; it need not exist.

    TSCM_STATE names it, else it is the user's state folder (XDG_STATE_HOME on Linux).
    """
    import platformdirs

    return Path(os.environ.get(STATE_VARIABLE) or platformdirs.user_state_path("tscm-migrate", appauthor=False))


def config_folder() -> Path:
    """Return the user's configuration folder for this tool; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_config_dir("tscm-migrate", appauthor=False))


def private_folder(*names: str, root: Path | None = None) -> Path:
    """Return a folder below the state folder; create what is missing, readable by the owner only.

    Args:
        names: of the folder and those above it.
        root: used instead of the state folder.

    Raises:
        StateUnwritable: it cannot be created.
    """
    folder = (root or state_folder()).joinpath(*names)
    try:
        private.folder(folder)
    except OSError as error:
        raise StateUnwritable(str(folder), error.strerror or str(error)) from error
    return folder
