"""The console script `tscm-migrate`."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tscm_migrate.cli.failures import say, say_unforeseen
from tscm_migrate.cli.program import program
from tscm_migrate.errors import Exit, Interrupted


def main(argv: Sequence[str] | None = None) -> None:
    """Run the console script; ends with SystemExit."""
    _ready_streams()
    _no_core_file()
    try:
        program().run(list(argv) if argv is not None else None)
    except BrokenPipeError:  # `… | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)
    except OSError as error:  # while help is printed; tasks run in `guarded`
        sys.exit(say_unforeseen(error))
    except KeyboardInterrupt:
        sys.exit(say(Interrupted("nothing was started")))


def _ready_streams() -> None:
    """Replace closed streams, so that no socket gets their number; replace characters that the console lacks."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _no_core_file() -> None:
    """Prevent a file with this process's memory, which contains secrets, if it crashes; also of its children."""
    if os.name != "nt":
        resource: Any = importlib.import_module("resource")
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
