"""A file from an address: whole or not at all, bounded in size, taken up again where it broke off.

What arrived lies under a name that is made of its address, so that nothing from one address is taken for what another
has. A part that is not yet whole is called by what the server said of the file as well (its ETag, date and size): where
it says something else later, the part is thrown away.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from nas_stability.benchmarks.errors import BadInput, CorruptFile, shown
from nas_stability.benchmarks.tables import cache

BLOCK = 1 << 16
"""Bytes that are written at a time, and lost at most when a connection breaks off."""

TIMEOUT = 60
"""Seconds that a server may be silent."""

PARTIAL = ".partial"


class Checksum(NamedTuple):
    """What a file's bytes add up to: by which of hashlib's algorithms, in hexadecimal."""

    algorithm: str
    digest: str

    def holds(self, path: Path) -> bool:
        """Whether a file has it."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest() == self.digest


def checksum(text: str) -> Checksum:
    """``ALGORITHM:HEX`` or a plain SHA-256.

    Raises:
        BadInput: an unknown algorithm, or not as many hexadecimal digits as it has.
    """
    algorithm, _, digest = text.lower().rpartition(":")
    algorithm = algorithm or "sha256"
    size = hashlib.new(algorithm).digest_size if algorithm in hashlib.algorithms_available else 0
    if not size or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", digest):
        raise BadInput(f"a checksum is ALGORITHM:HEX, or the 64 digits of a SHA-256, not {shown(text)}")
    return Checksum(algorithm, digest)


def check_url(url: str) -> str:
    """The address, if it can be fetched from.

    Raises:
        BadInput: it is not http or https with a host.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise BadInput(f"cannot fetch {shown(url)}: an address is http(s)://HOST/FILE; pack takes a file")
    return url


def place(url: str, folder: Path) -> Path:
    """Where the file of an address lies in a folder."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(unquote(urlsplit(url).path)).name)[-80:]
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name or 'download'}"


def download(url: str, folder: Path, known: str | None, most: int, again: bool = False, progress: bool = True) -> Path:
    """The file of an address, downloaded unless it is there.

    Args:
        url: its address.
        folder: where it is kept.
        known: its checksum as ``checksum`` takes it; None: it is not known.
        most: bytes that it may have.
        again: throw away what is there.
        progress: whether to show a bar on standard error.

    Raises:
        BadInput: the address cannot be fetched from, answers with something else than a file, or breaks off; or the
            file is too large for the bound or the disk.
        CorruptFile: it has another checksum; it is thrown away.
    """
    wanted = None if known is None else checksum(known)
    path = place(check_url(url), folder)
    with cache.locked(path):
        if again:
            throw_away(path)
        if path.exists() and (wanted is None or wanted.holds(path)):
            return path
        path.unlink(missing_ok=True)
        arrive(url, path, most, progress)
        if wanted is not None and not wanted.holds(path):
            path.unlink()
            raise CorruptFile(
                f"{url}: what arrived is thrown away, its checksum is not {wanted.algorithm}:{wanted.digest}"
            )
    return path


def throw_away(path: Path) -> None:
    """Removes a download and its parts."""
    for left in (path, *parts(path)):
        left.unlink(missing_ok=True)


def parts(path: Path) -> list[Path]:
    """What arrived of a file before the connection broke off."""
    return sorted(path.parent.glob(f"{path.name}.*{PARTIAL}"))


def arrive(url: str, path: Path, most: int, progress: bool) -> None:
    """Downloads to the path, from where an earlier download broke off if there is one.

    Raises:
        BadInput: as ``download``.
    """
    import requests
    import urllib3

    there = parts(path)
    start = there[0].stat().st_size if there else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code in (200, 206, 416) and there and not goes_on(response, path, there[0], start):
                throw_away(path)
                start = 0
            if start or not there or response.status_code == 200:
                refuse(response, start)
                receive(response, path, start, most, progress)
                return
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # requests' errors are OSErrors
        if isinstance(error, BadInput):
            raise BadInput(f"cannot fetch {url}: {error}") from error
        raise BadInput(f"cannot fetch {url}: {reason(error)}") from error
    arrive(url, path, most, progress)  # the answer was no continuation of what there was, which is gone now


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    said = " ".join(str(error).split())[:500] or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in said)


def goes_on(response: Any, path: Path, part: Path, start: int) -> bool:
    """Whether an answer is the rest, from the byte ``start`` on, of the file of which the part is the beginning."""
    span = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or span is None:
        return False
    first, last, total = map(int, span.groups())
    return first == start and last == total - 1 and part == part_path(response, path, total)


def part_path(response: Any, path: Path, total: int | None) -> Path:
    """The path of a part, by what the server says of the file."""
    said = [response.headers.get("ETag"), response.headers.get("Last-Modified"), total]
    return path.with_name(f"{path.name}.{hashlib.sha256(repr(said).encode()).hexdigest()[:12]}{PARTIAL}")


def refuse(response: Any, start: int) -> None:
    """Passes an answer that has the file.

    Raises:
        BadInput: it has something else.
    """
    code = response.status_code
    if code != (206 if start else 200):
        raise BadInput(f"the answer is {code} ({http.client.responses.get(code, 'unknown')}), not the file")
    if (encoding := encoding_of(response)) not in ("identity", "gzip", "deflate"):
        raise BadInput(f"the answer is compressed as {encoding!r}, which was not asked for")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise BadInput("the answer is a web page, not the file; open the address in a browser")


def encoding_of(response: Any) -> str:
    """How an answer's body is compressed on its way."""
    return str(response.headers.get("Content-Encoding") or "identity").lower().removeprefix("x-")


def receive(response: Any, path: Path, start: int, most: int, progress: bool) -> None:
    """Writes an answer's body to the file's part, and renames that when it is whole.

    A connection that breaks off leaves what arrived, unless it was compressed or of unknown size: neither can be taken
    up again.

    Raises:
        BadInput: it is empty, larger than ``most`` or the disk, or breaks off.
    """
    import requests
    from tqdm import tqdm

    announced = int(response.headers.get("Content-Length", -1))
    total = start + announced if announced >= 0 and encoding_of(response) == "identity" else None
    part = part_path(response, path, total)
    refuse_size(start + max(announced, 0), start, most, path.parent)
    broken = ""
    with (
        part.open("ab") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, disable=not progress, delay=1) as bar,
    ):
        file.truncate(start)
        try:
            for block in response.iter_content(BLOCK):
                file.write(block)
                bar.update(len(block))
                if file.tell() > most:
                    break
        except requests.exceptions.RequestException as error:
            broken = reason(error)
        file.flush()
        os.fsync(file.fileno())
    size = part.stat().st_size
    short = announced >= 0 and response.raw.tell() < announced
    if size > most or not size or (total is None and (broken or short)):
        part.unlink()
    refuse_size(size, size, most, path.parent)
    if broken or short:
        of = "" if total is None else f" of {total}"
        told = "fetch again to go on from there" if part.exists() else "nothing of it is kept"
        raise BadInput(f"the download stopped after {size}{of} bytes{f' ({broken})' * bool(broken)}; {told}")
    if not size:
        raise BadInput("the answer is empty")
    part.replace(path)


def refuse_size(size: int, there: int, most: int, folder: Path) -> None:
    """Passes a file that may be as large and fits on the disk.

    Args:
        size: of the file in bytes, as far as it is known.
        there: bytes of it that are on the disk already.
        most: that it may have.
        folder: where it is to lie.

    Raises:
        BadInput: naming the bound.
    """
    if size > most:
        raise BadInput(
            f"the file has {size / 1e9:,.2f} GB or more and may have {most / 1e9:,.2f}; --max-gb sets another bound"
        )
    free = shutil.disk_usage(folder).free
    if size - there > free:
        raise BadInput(f"the file has {size / 1e9:,.2f} GB, and {folder} has {free / 1e9:,.2f} GB left")
