"""Where packed tables and downloads lie on this machine, and how they get there: once, checked, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks.errors import BadInput, CorruptFile

VARIABLE = "NAS_STABILITY_TABLES"
"""Environment variable that names the folder of tables."""

BLOCK = 1 << 16
"""Bytes that are written at a time, and lost at most when a connection breaks off."""

TIMEOUT = 60
"""Seconds that a server may be silent."""


def folder(override: Path | None = None) -> Path:
    """The folder of tables: the override, or the environment variable's, or one in the user's cache directory."""
    if override is not None:
        return override
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_path("nas-stability")) / "tables"


def table_path(name: str, override: Path | None = None) -> Path:
    """The file of a packed table; it need not exist.

    Raises:
        BadInput: the name could leave the folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BadInput(f"a table's name has letters, digits, '.', '_' and '-' only, not {name!r}")
    return folder(override) / f"{name}.parquet"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes from making the same file meanwhile; the folder is made.

    Raises:
        BadInput: the folder cannot be written.
    """
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_name(path.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise BadInput(f"the folder {path.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def once(path: Path, make: Callable[[Path], None], again: bool = False) -> bool:
    """Makes a file unless it is there; other processes that want it meanwhile wait and find it.

    Args:
        path: of the file.
        make: writes it to the path it is given, which is renamed when it returns.
        again: replace a file that is there.

    Returns:
        Whether it was made now.
    """
    with locked(path):
        if path.exists() and not again:
            return False
        for left in path.parent.glob(f"{path.name}.*unfinished"):  # by a process that was killed
            left.unlink()
        aside = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
        try:
            make(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return True


def fetch(urls: Sequence[str], known: str | None = None, override: Path | None = None, progress: bool = True) -> Path:
    """Downloads a file into ``downloads`` of the folder of tables, from the first of the addresses that works.

    An interrupted download goes on where it stopped when it is asked for again. A file that is there and has the
    right checksum is not downloaded.

    Args:
        urls: addresses of the same file.
        known: its checksum, ``ALGORITHM:HEX`` or a plain SHA-256; None: it is not known.
        override: another folder of tables.
        progress: whether to show a bar on standard error.

    Raises:
        BadInput: no address works; the message has the reason of each.
        CorruptFile: what arrived has another checksum; it is thrown away.
    """
    import pooch

    if not urls:
        raise BadInput("there is no address to fetch from; give one with --url")
    known = known if known is None or ":" in known else f"sha256:{known}"
    path = folder(override) / "downloads" / (Path(unquote(urlsplit(urls[0]).path)).name or "download")
    failures = []
    pooch.get_logger().setLevel("ERROR")
    with locked(path):
        if path.exists() and known is None:
            return path
        for url in urls:
            download = resuming(path.with_name(path.name + ".partial"), progress)
            try:
                return Path(pooch.retrieve(url, known, path.name, path.parent, downloader=download))
            except ValueError as error:
                if "hash" not in str(error):
                    raise BadInput(f"cannot fetch {url}: {error}") from error
                raise CorruptFile(f"{url}: what arrived is thrown away, its checksum is not {known}") from error
            except OSError as error:  # requests' errors are OSErrors
                failures.append(f"{url}: {error}")
    raise BadInput(f"cannot fetch {path.name}: {'; '.join(failures)}")


def resuming(partial: Path, progress: bool) -> Callable[[str, str, Any], None]:
    """A downloader for pooch that keeps what arrived in ``partial`` until it is whole, and goes on from there.

    The downloader raises an OSError when the server does not answer, refuses or stops early.
    """

    def download(url: str, output_file: str, pooch: Any) -> None:
        import requests

        start = partial.stat().st_size if partial.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # nothing is missing, or the file is another one by now
                partial.unlink()
                return download(url, output_file, pooch)
            response.raise_for_status()
            if response.status_code != 206:
                start = 0
            total = start + int(response.headers.get("Content-Length", 0))
            receive(response, partial, start, total, progress)
        arrived = partial.stat().st_size
        if total > start and arrived != total:
            raise OSError(f"the download stopped after {arrived} of {total} bytes; fetch again to go on from there")
        partial.replace(output_file)
        return None

    return download


def receive(response: Any, partial: Path, start: int, total: int, progress: bool) -> None:
    """Appends a response's body to the file, cut at ``start``; a connection that breaks off leaves what arrived."""
    import requests
    from tqdm import tqdm

    with (
        partial.open("ab") as file,
        tqdm(total=total or None, initial=start, unit="B", unit_scale=True, disable=not progress, delay=1) as bar,
    ):
        file.truncate(start)
        try:
            for block in response.iter_content(BLOCK):
                file.write(block)
                bar.update(len(block))
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
            return  # the caller sees from the size that it is cut, and says so
