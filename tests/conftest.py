"""What all tests share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.order import balanced
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("busy", deadline=None)  # slowness of a busy machine must not fail a test
settings.load_profile("busy")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # begun in the background of a script; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # begun with nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _secrets_of_one_test() -> Iterator[None]:
    """Forget the secrets that a test registers: the next test of this process may use the same words."""
    before = vars(redact.known).copy()
    yield
    vars(redact.known).update(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The JUnit report gets these two markers of each test, so that .ci/run can see which tests were skipped.
    for item in items:
        for name in ("namespaces", "slow"):
            if item.get_closest_marker(name):
                item.user_properties.append(("marker", name))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = balanced(items, workers, module=lambda item: item.path, weight=_weight)


def _weight(item: pytest.Item) -> int:
    """Return about how many seconds a slow test takes; 0 for a quick one."""
    slow = item.get_closest_marker("slow")
    if slow and slow.args:
        return int(slow.args[0])
    if item.get_closest_marker("namespaces"):
        return 20
    return 5 if slow else 0
