"""Formulas: LaTeX between dollars becomes MathML, which browsers draw by themselves; no script, no font."""

from __future__ import annotations

import html as entities
import re

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def drawn(html: str) -> str:
    """A page's HTML with its formulas as MathML."""
    html = BLOCK.sub(lambda found: f'<div class="formula">{mathml(found[1], "block")}</div>', html)
    return INLINE.sub(lambda found: mathml(found[1], "inline"), html)


def mathml(latex: str, display: str) -> str:
    """One formula."""
    return str(convert(entities.unescape(latex).strip(), display=display))
