"""Start programs for which file modes apply, also when root runs the tests."""

from __future__ import annotations

import os
import shutil

_BYPASS = "-dac_override,-dac_read_search"


def _words() -> tuple[tuple[str, ...], str | None]:
    if os.name == "nt":
        return (), "Windows has no file modes"
    if os.geteuid() != 0:
        return (), None
    if shutil.which("setpriv") is None:
        return (), "this is root, and setpriv, which would drop capabilities, is missing"
    return ("setpriv", "--bounding-set", _BYPASS, "--inh-caps", _BYPASS), None


UNPRIVILEGED, WHY_NOT = _words()  # the command prefix; the reason why it is missing
