"""Official dumps from the network: downloaded, packed, and thrown away where they cannot be packed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables import cache, download, packing


def fetch(
    name: str,
    urls: Sequence[str] = (),
    known: str | None = None,
    override: Path | None = None,
    again: bool = False,
    progress: bool = True,
    most: int | None = None,
) -> Path:
    """Downloads an official dump, from the first of the addresses that has it, and packs it.

    A table of the name that is here is not fetched again, unless an address or a checksum says which one is meant.

    Args:
        name: of the dump.
        urls: addresses to fetch from instead of its own.
        known: checksum of the download, ``ALGORITHM:HEX`` or a plain SHA-256.
        override: another folder of tables.
        again: replace a table of this name, and what was downloaded.
        progress: whether to show bars on standard error.
        most: bytes that the download may have; twice what is known of it, or 20 GB, unless given.

    Returns:
        The packed file.

    Raises:
        BadInput: unknown name; no address works, and the message has the reason of each; or as ``pack.pack``.
        CorruptFile: what arrived from the only address is damaged.
    """
    dump = packing.dump(name)
    known = known or dump.known
    if known is not None:
        download.checksum(known)
    for url in urls:
        download.check_url(url)
    target = cache.table_path(name, override)
    if target.is_file() and not (urls or known or again):
        return target
    if not (addresses := tuple(urls) or dump.urls):
        raise BadInput(f"{name} has no address to fetch from; download it by hand from {dump.page}, then table pack")
    failures: list[BadInput] = []
    for url in addresses:
        try:
            return arrived(name, url, known, override, again, progress, most or dump.most)
        except packing.Taken:
            raise
        except BadInput as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    raise BadInput("; ".join(map(str, failures)))


def arrived(
    name: str, url: str, known: str | None, override: Path | None, again: bool, progress: bool, most: int
) -> Path:
    """Downloads a dump from one address and packs it; see ``fetch``.

    Raises:
        BadInput: the address does not work, or what arrived cannot be packed and is thrown away.
        Taken: there is a table of this name from another file; what arrived is kept.
    """
    path = download.download(url, cache.folder(override) / "downloads", known, most, again, progress)
    try:
        return packing.pack(name, path, override, again, progress)
    except packing.Taken:
        raise
    except BadInput as error:
        download.throw_away(path)
        raise type(error)(f"{url}: what arrived cannot be packed and is thrown away: {error}") from error
