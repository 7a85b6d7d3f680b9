"""Numbers as people read them."""

from __future__ import annotations

import numpy


def cell(mean: float, low: float, high: float) -> str:
    """12.3 [11.9, 12.8]"""
    if numpy.isnan(mean):
        return "-"
    return number(mean) if numpy.isnan(low) else f"{number(mean)} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """Two decimals from 10 on, three significant digits below."""
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:#.3g}"
