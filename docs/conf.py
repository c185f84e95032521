"""Sphinx configuration; `invoke docs` builds with warnings as errors."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import _generate

from tscm_migrate import __version__

project = "tscm-migrate"
author = "the tscm-migrate developers"
copyright = author  # noqa: A001 - Sphinx's own name
release = version = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "reference/events-table.md"]
html_theme = "furo"
html_title = f"tscm-migrate {release}"
nitpicky = True

_generate.write(HERE / "reference")
