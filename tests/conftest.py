"""What all tests share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.order import balanced, sampled
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("busy", deadline=None)  # slowness of a busy machine must not fail a test
settings.register_profile("few", deadline=None, max_examples=20)  # with --cases
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


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tscm-migrate")
    group.addoption("--cases", type=int, default=0, help="Run at most this number of cases of each parametrised test.")
    group.addoption("--cases-seed", type=int, default=1, help="Seed of the random choice of these cases.")


def pytest_report_header(config: pytest.Config) -> str | None:
    count, seed = config.getoption("cases"), config.getoption("cases_seed")
    return f"at most {count} cases of each parametrised test, chosen with --cases-seed={seed}" if count else None


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("cases"):
        settings.load_profile("few")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if count := config.getoption("cases"):
        chosen = sampled(items, count, config.getoption("cases_seed"), family=lambda item: item.nodeid.split("[")[0])
        config.hook.pytest_deselected(items=[*set(items).difference(chosen)])
        items[:] = chosen
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
