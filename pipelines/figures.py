"""Numbers in five characters, and tables without lines: what many columns need to fit a terminal."""

import math

from rich.table import Table
from rich.text import Text


def plain_table() -> Table:
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")


def short(value: float) -> str:
    """About three digits: 0, 7, 0.25, 1,234, 12.3k, 4.56M."""
    size = abs(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if size < 1e4 and value == int(value):
        return f"{int(value):,}"
    if size < 0.0009995:
        return f"{value:.0e}".replace("e-0", "e-")
    if size < 1:
        return f"{value:.3f}".rstrip("0") if f"{value:.3f}" not in ("1.000", "-1.000") else f"{round(value)}"
    if size < 9999.5:
        return f"{value:,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"
    for factor, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        if size < 999.5 * factor:
            scaled = value / factor
            return f"{scaled:.{2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0}f}{unit}"
    return f"{value:.1e}".replace("e+", "e")


def cell(value: float) -> Text:
    return Text(short(value), style="dim" if value == 0 or math.isnan(value) else "")


def count(rows: int) -> str:
    return short(float(rows))


def share(part: int, whole: int) -> str:
    """Of all, as a percentage that never rounds something to nothing, nor most to all."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    if part == whole:
        return "100 %"
    if percent < 0.1:
        return "<0.1 %"
    return f"{min(percent, 99.9):.1f} %"
