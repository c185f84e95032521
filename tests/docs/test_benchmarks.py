"""The page of benchmarks shows the figures of the last run."""

from __future__ import annotations

import json

from benchmarks import page


def test_the_page_agrees_with_the_stored_results() -> None:
    results = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text, results) == text, "run `python -m benchmarks.page --write`"


def test_every_result_belongs_to_a_benchmark_that_exists() -> None:
    results = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    assert results
    for name, one in results.items():
        assert one["command"] == page.BENCHMARKS[name].command


def test_a_figure_that_misses_its_goal_is_marked() -> None:
    rows = [page.at_least("pull", "`scp`", 1.3, 1.4), page.at_most("memory", "", 65, 120, "MB")]
    missed, met = page.table(rows)[2:]
    assert missed == "| pull | `scp` | at least 1.4 × | 1.30 × **(missed)** |"
    assert met == "| memory |  | at most 120 MB | 65.0 MB |"
