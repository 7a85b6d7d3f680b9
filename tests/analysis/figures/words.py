"""What is written in a figure: large enough, inside it, not over one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def words(figure: Figure) -> Iterator[tuple[Text, Bbox]]:
    """Every text of a figure that is seen, and where; panels in space are left out: their labels turn."""
    texts: list[Text] = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        if hasattr(axes, "zaxis"):
            continue
        texts += [axes.title, *axes.texts]
        if axes.axison:
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                texts += [axis.label, *(label for tick in ticks for label in (tick.label1, tick.label2))]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text in texts:
        if text.get_visible() and text.get_text().strip():
            yield text, text.get_window_extent(renderer)


def check_words(name: str, figure: Figure) -> None:
    """Every word is large enough, inside the figure, and not over another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    seen = list(words(figure))
    for text, box in seen:
        assert text.get_fontsize() >= (6 if name == "cells" else 7), (name, text.get_text())
        assert min(box.x0, box.y0) > -1, (name, text.get_text())
        assert box.x1 < width + 1, (name, text.get_text())
        assert box.y1 < height + 1, (name, text.get_text())
    low, high = (numpy.array([getattr(box, end) for _, box in seen]) for end in ("min", "max"))
    shared = numpy.minimum(high[:, None], high) - numpy.maximum(low[:, None], low)
    over = numpy.triu((shared > 1).all(-1), k=1)
    assert not over.any(), (name, [[seen[index][0].get_text() for index in pair] for pair in numpy.argwhere(over)])
