"""The freshness page: one HTML file, no script, no network, readable in light and dark and on paper."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from tscm_migrate.errors import StoreError
from tscm_migrate.ui.offsite_tables import size, when
from tscm_migrate.util import private
from tscm_migrate.util.durations import duration_text
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from tscm_migrate.offsite.freshness import HostStatus

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --back: #fff;
  --good: #1a7f37; --bad: #c4222f; --warn: #8a5a00; --bar: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --back: #0d1117;
  --good: #3fb950; --bad: #ff7b72; --warn: #d29922; --bar: #58a6ff; } }
@media print { :root { color-scheme: light; } }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; } p { margin: .2rem 0; color: var(--soft); overflow-wrap: anywhere; }
ul.sum { list-style: none; display: flex; flex-wrap: wrap; gap: 1.5rem; padding: 0; margin: 1rem 0; }
ul.sum b { display: block; font-size: 1.6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.host { font-weight: 600; overflow-wrap: anywhere; min-width: 12rem; }
.fresh { color: var(--good); } .late, .never { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-size: .9em; font-weight: 400; overflow-wrap: anywhere; }
svg { display: block; } svg .bar { fill: var(--bar); } svg .rail { fill: var(--line); }
svg .over { fill: var(--bad); } svg .ok { fill: var(--good); }
"""

_W, _H = 150, 28  # of a plot, in pixels
_BARS = 30


def escape(text: str) -> str:
    """A text from a store for the page: one line, no control sequence, no secret, escaped for attributes too."""
    return html.escape(outside(text))


def page(found: Sequence[HostStatus], url: str, now: datetime) -> str:
    """The whole page."""
    late = sum(status.state != "fresh" for status in found)
    warned = sum(bool(status.warnings) for status in found)
    rows = "".join(_row(status) for status in found)
    total = sum(status.total for status in found)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_title(late, len(found))}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_title(late, len(found))}</h1><p>{escape(url)} · {escape(when(now))} UTC</p>"
        f'<ul class="sum"><li><b class="{"fresh" if not late else "late"}">{len(found) - late}/{len(found)}</b>'
        f"promises kept</li><li><b>{warned}</b>with warnings</li>"
        f"<li><b>{sum(s.copies for s in found)}</b>copies</li><li><b>{size(total)}</b>stored</li></ul>"
        '<div class="wide"><table><thead><tr><th>Host</th><th>State</th><th class="n">Age</th>'
        '<th>Age of promised</th><th class="n">Size</th><th>Sizes, oldest to newest</th>'
        '<th class="n">Verified</th><th>Last drill</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></body></html>\n"
    )


def _title(late: int, hosts: int) -> str:
    return f"Off-site backups: {late} of {hosts} late" if late else f"Off-site backups: all {hosts} fresh"


def _row(status: HostStatus) -> str:
    newest = status.newest
    warnings = "".join(f'<div class="warn">{escape(text)}</div>' for text in status.warnings)
    return (
        f'<tr><td class="host">{escape(status.host)}{warnings}</td>'
        f'<td class="{status.state}">{status.state}</td>'
        f'<td class="n">{escape(duration_text(status.age))}</td>'
        f"<td>{_age(status)}</td>"
        f'<td class="n">{size(newest.manifest.size) if newest else "–"}</td>'
        f"<td>{_sizes(status)}</td>"
        f'<td class="n">{status.verified}/{status.copies}</td><td>{escape(when(status.drill))}</td></tr>'
    )


def _age(status: HostStatus) -> str:
    """How much of the promise is used up; the rail is twice as long as what is promised."""
    promised = status.rpo.total_seconds() or 1
    used = min((status.age.total_seconds() if status.age is not None else 2 * promised) / promised, 2.0)
    told = f"{duration_text(status.age) if status.age is not None else 'no copy'} of {duration_text(status.rpo)}"
    return (
        f'<svg width="{_W}" height="14" role="img" aria-label="{escape(told)}"><title>{escape(told)}</title>'
        f'<rect class="rail" y="4" width="{_W}" height="6" rx="3"/>'
        f'<rect class="{"ok" if status.state == "fresh" else "over"}" y="4" width="{max(used / 2 * _W, 2):.1f}" '
        f'height="6" rx="3"/><rect class="rail" x="{_W / 2 - 1}" width="2" height="14"/></svg>'
    )


def _sizes(status: HostStatus) -> str:
    """A bar a copy; heights from zero, so that half the size is half the height."""
    shown = status.history[-_BARS:]
    if not shown:
        return "–"
    largest = max(number for _, number in shown) or 1
    step = _W / max(len(shown), 8)
    bars = "".join(
        f'<rect class="bar" x="{at * step:.1f}" y="{_H - max(number / largest * _H, 1):.1f}" '
        f'width="{max(step - 1.5, 1):.1f}" height="{max(number / largest * _H, 1):.1f}">'
        f"<title>{escape(when(taken))}: {size(number)}</title></rect>"
        for at, (taken, number) in enumerate(shown)
    )
    told = f"{len(shown)} copies, the largest {size(largest)}"
    return f'<svg width="{_W}" height="{_H}" role="img" aria-label="{told}">{bars}</svg>'


def replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    Raises:
        StoreError: it cannot be written there.
    """
    path = path.expanduser().absolute()
    try:
        private.write(path, text, 0o644)  # read by a collector or a web server that is somebody else
    except OSError as error:
        raise StoreError(detail=error.strerror or str(error), key=str(path), fix="choose another place") from error
