"""Checks for .ci/run that need more than a line of shell."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def readme_command() -> int:
    """Print the README's command that installs and runs all the tests."""
    found = re.search(r"<!-- command: test -->\s*```\w*\n(.+?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))
    if found is None:
        print("README.md has no command marked <!-- command: test -->", file=sys.stderr)
        return 1
    print(found[1])
    return 0


def no_namespace_test_skipped(report: str) -> int:
    """Return 1 if a test of the namespace lab was skipped, or if the report has none of them."""
    cases = [
        case
        for case in ET.parse(report).iter("testcase")  # noqa: S314 - our own pytest wrote it a moment ago
        if any(p.get("name") == "marker" and p.get("value") == "namespaces" for p in case.iter("property"))
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    for case in skipped:
        reason = case.find("skipped")
        print(f"skipped: {case.get('name')}: {reason.get('message') if reason is not None else ''}", file=sys.stderr)
    print(f"namespace lab: {len(cases)} tests, {len(skipped)} skipped", file=sys.stderr)
    return 1 if skipped or not cases else 0


if __name__ == "__main__":
    _, action, *rest = sys.argv
    sys.exit(readme_command() if action == "readme-command" else no_namespace_test_skipped(*rest))
