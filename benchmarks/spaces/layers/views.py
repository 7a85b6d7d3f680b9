"""Views of a module's tensors under the names that published code gives them."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def tensors(prefix: str, module: Any, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
    """Views of one of equal ``parts`` of a module's tensors along their first dimension, named ``prefix.NAME``."""
    return {
        f"{prefix}.{name}": value if value.ndim == 0 else value.chunk(parts)[part]
        for name, value in module.state_dict().items()
    }


def paired(conv: str, norm: str, pair: Any, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
    """Views of a ConvNorm's tensors, its convolution's named ``conv.NAME`` and its BatchNorm's ``norm.NAME``."""
    return tensors(conv, pair.conv, part, parts) | tensors(norm, pair.norm, part, parts)
