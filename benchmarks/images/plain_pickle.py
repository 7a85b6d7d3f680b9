"""Arrays out of a pickle that somebody else wrote; nothing that it names is imported or called.

A pickle is a program, and one that numpy wrote asks for functions of numpy. Here stand-ins take their places, which
keep what they are given; arrays are then made of that. Whatever else a pickle asks for is refused. Python 2 and 3 write
different programs for one array, as numpy 1 and 2 and each protocol do: all of them are known.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

import numpy
from numpy.typing import NDArray

from nas_stability.benchmarks.errors import CorruptFile

NUMBERS = ("b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
"""Types of an array in numpy's letters; there are others, of objects or records, whose content is no numbers."""


class Type:
    """In place of numpy.dtype: its code, then its state, of which the second is the order of bytes."""

    def __init__(self, code: str, *options: object) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class Array:
    """In place of an array: what it was made with, which says nothing, then its state."""

    def __init__(self, *options: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


def scalar(kind: Type, raw: str | bytes) -> Array:
    """In place of what makes one number."""
    found = Array()
    found.state = ((), kind, False, raw)
    return found


def from_buffer(raw: bytes, kind: Type, shape: tuple[int, ...], order: str) -> Array:
    """In place of what makes an array since protocol 5."""
    found = Array()
    found.state = (shape, kind, order == "F", raw)
    return found


def latin1(text: str, encoding: str) -> bytes:
    """In place of _codecs.encode, by which Python 3 writes bytes in old protocols."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written in latin1, not {encoding}")
    return text.encode("latin1")


KNOWN: dict[str, object] = {
    "__builtin__.bytes": lambda: b"",  # as Python 3 writes no bytes in old protocols
    "_codecs.encode": latin1,
    "numpy.dtype": Type,
    "numpy.ndarray": "ndarray",  # only ever an argument
    **{f"numpy.{core}.multiarray._reconstruct": Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": from_buffer for core in ("core", "_core")},
}
"""What a pickle may ask for -> the stand-in for it."""


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler that has the stand-ins alone."""

    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a thing that the pickle asks for.

        Raises:
            CorruptFile: it is none of those.
        """
        asked = f"{module}.{name}"
        if asked not in KNOWN:
            raise CorruptFile(f"it asks for {asked[:60]!r}, and arrays are all that is read: pickles can run code")
        return KNOWN[asked]


def read(file: IO[bytes]) -> object:
    """What a pickle holds: containers, text (that of Python 2 in latin1), numbers, and arrays for ``numbers_of``.

    Raises:
        CorruptFile: it asks for something else.
        Exception: it is damaged; pickle raises many.
    """
    return ArrayUnpickler(file, encoding="latin1").load()


def numbers_of(found: object) -> NDArray[Any]:
    """The array that a pickle holds, or an array of a list of numbers.

    Raises:
        Exception: it is none, or its parts do not fit each other.
    """
    if isinstance(found, list):
        return numpy.asarray([numbers_of(one).item() if isinstance(one, Array) else one for one in found])
    if not isinstance(found, Array):
        raise TypeError(f"a {type(found).__name__} where an array is expected")
    shape, kind, fortran, raw = found.state[-4:]  # before them, since long ago, a version
    if kind.code not in NUMBERS:
        raise TypeError(f"an array of {kind.code!r}, not of numbers")
    content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    flat = numpy.frombuffer(content, numpy.dtype(kind.order + kind.code))
    return flat.reshape(shape, order="F" if fortran else "C")
