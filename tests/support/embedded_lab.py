"""The mark of tests that use the embedded lab."""

from __future__ import annotations

import pytest

from tests.harness.embedded import available

needs_embedded_lab = pytest.mark.skipif(available() is not None, reason=f"no embedded lab: {available()}")
