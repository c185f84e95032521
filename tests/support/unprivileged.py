"""Programs for which the modes of files count, also where the tests are root's."""

from __future__ import annotations

import os
import shutil

_BYPASS = "-dac_override,-dac_read_search"


def _words() -> tuple[tuple[str, ...], str | None]:
    if os.name == "nt":
        return (), "no modes there"
    if os.geteuid() != 0:
        return (), None
    if shutil.which("setpriv") is None:
        return (), "root, and no setpriv to be less than root"
    return ("setpriv", "--bounding-set", _BYPASS, "--inh-caps", _BYPASS), None


UNPRIVILEGED, WHY_NOT = _words()  # the words before a program's; why there are none
