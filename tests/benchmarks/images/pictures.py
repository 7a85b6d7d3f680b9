"""Folders of images that the tests make."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

Content = bytes | Image.Image | None
"""Of a file; None is an empty folder."""


def pixels(seed: int, *shape: int) -> Any:
    """Random ones, by default of 5 x 4 in colour."""
    return numpy.random.default_rng(seed).integers(0, 256, shape or (5, 4, 3), dtype=numpy.uint8)


def picture(seed: int, *shape: int) -> Image.Image:
    """Of random pixels."""
    return Image.fromarray(pixels(seed, *shape))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def made(root: Path, contents: Mapping[str, Content]) -> Path:
    """A folder of these files."""
    for name, content in contents.items():
        if content is None:
            (root / name).mkdir(parents=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content if isinstance(content, bytes) else encoded(content))
    return root


def usual(within: str = "", seed: int = 0, *shape: int) -> dict[str, Content]:
    """Two classes of three images."""
    names = [f"{within}{label}/{number}.png" for label in ("cat", "horse") for number in range(3)]
    return {name: picture(seed + place, *shape) for place, name in enumerate(names)}


def with_alpha(seed: int, alpha: int, *shape: int) -> Image.Image:
    """An image of which one pixel has this opacity, all others are opaque."""
    image = picture(seed, *shape)
    mask = numpy.full((5, 4), 255, dtype=numpy.uint8)
    mask[2, 1] = alpha
    image.putalpha(Image.fromarray(mask))
    return image


def palette() -> Image.Image:
    """Four colours by a palette."""
    image = Image.fromarray(numpy.arange(20, dtype=numpy.uint8).reshape(5, 4) % 4, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    return image


def png(breadth: int, height: int, bits: int) -> bytes:
    """A black picture in colour, by the standard, of 5 x 4 pixels whatever its header says."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", breadth, height, bits, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(5 * (1 + 4 * 3 * bits // 8)))),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
