"""Downloads: once, whole or not at all, taken up where they broke off; against a server on loopback."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.tables.download import checksum, download, parts, place
from tests.served import Answer, Served, serving

CONTENT = bytes(range(256)) * 2_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
MOST = 10**7


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(lambda answer: answer.send_rest(CONTENT, ETag="one")) as found:
        yield found


def fetched(served: Served, folder: Path, known: str | None = None, most: int = MOST, again: bool = False) -> bytes:
    return download(f"{served.url}/dump.bin", folder, known, most, again, progress=False).read_bytes()


def left(folder: Path) -> list[str]:
    """What lies in a folder but locks, without the part of the names that the address makes."""
    return sorted(path.name.split("-", 1)[1] for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once(served: Served, tmp_path: Path) -> None:
    assert fetched(served, tmp_path, SHA256) == CONTENT
    assert left(tmp_path) == ["dump.bin"]
    for known in (f"sha256:{SHA256.upper()}", f"md5:{hashlib.md5(CONTENT).hexdigest()}", None):
        assert fetched(served, tmp_path, known) == CONTENT
    assert len(served.ranges) == 1
    served.say = lambda answer: answer.send_rest(OTHER)
    assert fetched(served, tmp_path) == CONTENT
    assert fetched(served, tmp_path, again=True) == OTHER
    assert fetched(served, tmp_path, hashlib.sha256(OTHER).hexdigest()) == OTHER
    assert len(served.ranges) == 2


def test_what_broke_off_goes_on(served: Served, tmp_path: Path) -> None:
    served.say = lambda answer: answer.send_rest(CONTENT, stop=300_000, ETag="one")
    with pytest.raises(BadInput, match=r"dump\.bin: the download stopped after 2\d+ of 512000 bytes.*fetch again"):
        fetched(served, tmp_path, SHA256)
    (part,) = parts(place(f"{served.url}/dump.bin", tmp_path))
    served.say = lambda answer: answer.send_rest(CONTENT, ETag="one")
    begun = part.stat().st_size
    assert fetched(served, tmp_path, SHA256) == CONTENT
    assert served.ranges == [None, f"bytes={begun}-"]
    assert left(tmp_path) == ["dump.bin"]


def no_ranges(answer: Answer) -> None:
    answer.send(200, CONTENT)


def from_elsewhere(answer: Answer) -> None:
    """Answers a range with the whole."""
    if not answer.start:
        return answer.send(200, CONTENT, ETag="one")
    span = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
    return answer.send(206, CONTENT, Content_Range=span, ETag="one")


def without_range(answer: Answer) -> None:
    """Says 206 and not of what."""
    return answer.send(206, CONTENT[answer.start :]) if answer.start else answer.send(200, CONTENT)


def cut_range(answer: Answer) -> None:
    """Answers with fewer bytes than are left."""
    if not answer.start:
        return answer.send(200, CONTENT, ETag="one")
    span = f"bytes {answer.start}-{answer.start + 9}/{len(CONTENT)}"
    return answer.send(206, CONTENT[answer.start :][:10], Content_Range=span, ETag="one")


def replaced(answer: Answer) -> None:
    """Has another file of the same size by now."""
    answer.send_rest(OTHER, ETag="two")


def always_416(answer: Answer) -> None:
    return answer.send(416) if answer.start else answer.send(200, CONTENT)


@pytest.mark.parametrize(
    ("say", "content"),
    [
        (no_ranges, CONTENT),
        (from_elsewhere, CONTENT),
        (without_range, CONTENT),
        (cut_range, CONTENT),
        (replaced, OTHER),
        (always_416, CONTENT),
    ],
)
def test_an_answer_that_is_not_the_rest_starts_anew(
    say: Callable[[Answer], None], content: bytes, served: Served, tmp_path: Path
) -> None:
    served.say = lambda answer: answer.send_rest(CONTENT, stop=300_000, ETag="one")
    with pytest.raises(BadInput, match="stopped"):
        fetched(served, tmp_path)
    served.say = say
    assert fetched(served, tmp_path) == content
    assert left(tmp_path) == ["dump.bin"]


def test_a_server_that_is_away_for_a_while_costs_nothing(served: Served, tmp_path: Path) -> None:
    served.say = lambda answer: answer.send_rest(CONTENT, stop=300_000, ETag="one")
    with pytest.raises(BadInput, match="stopped"):
        fetched(served, tmp_path)
    kept = left(tmp_path)
    served.say = lambda answer: answer.send(503)
    with pytest.raises(BadInput, match=r"503 \(Service Unavailable\), not the file"):
        fetched(served, tmp_path)
    assert left(tmp_path) == kept
    served.say = lambda answer: answer.send_rest(CONTENT, ETag="one")
    assert fetched(served, tmp_path) == CONTENT
    assert served.ranges[-1] is not None


def test_one_address_is_never_taken_for_another(served: Served, tmp_path: Path) -> None:
    assert download(f"{served.url}/a/x.bin", tmp_path, None, MOST, progress=False).read_bytes() == CONTENT
    served.say = lambda answer: answer.send_rest(OTHER)
    assert download(f"{served.url}/b/x.bin", tmp_path, None, MOST, progress=False).read_bytes() == OTHER
    assert left(tmp_path) == ["x.bin", "x.bin"]


@pytest.mark.parametrize("path", ["/", "", "/%2e%2e%2f%2e%2e%2fx", "/a?b=../../c", "/" + "n" * 300, "/a%00%1b[31m"])
def test_no_address_leaves_the_folder(path: str, served: Served, tmp_path: Path) -> None:
    found = download(f"{served.url}{path}", tmp_path / "downloads", None, MOST, progress=False)
    assert found.parent == tmp_path / "downloads"
    assert [one.name for one in tmp_path.iterdir()] == ["downloads"]


def test_what_is_compressed_on_its_way(served: Served, tmp_path: Path) -> None:
    served.say = lambda answer: answer.send(200, gzip.compress(CONTENT), Content_Encoding="gzip")
    assert fetched(served, tmp_path, SHA256) == CONTENT


def test_what_comes_in_chunks(served: Served, tmp_path: Path) -> None:
    served.say = lambda answer: answer.send_chunks(CONTENT[:1000], CONTENT[1000:])
    assert fetched(served, tmp_path, SHA256) == CONTENT


def test_what_comes_from_another_place(served: Served, tmp_path: Path) -> None:
    def say(answer: Answer) -> None:
        if answer.path == "/dump.bin":
            answer.send(302, Location="/elsewhere")
        else:
            answer.send_rest(CONTENT)

    served.say = say
    assert fetched(served, tmp_path) == CONTENT
    assert left(tmp_path) == ["dump.bin"]


@pytest.mark.parametrize("text", ["", "abc", "md5:" + "0" * 31, "nonsense:00", "sha256:" + "g" * 64, "shake_128:"])
def test_what_is_no_checksum(text: str) -> None:
    with pytest.raises(BadInput, match=r"a checksum is ALGORITHM:HEX"):
        checksum(text)


def test_another_checksum_throws_away_what_arrived(served: Served, tmp_path: Path) -> None:
    served.say = lambda answer: answer.send_rest(OTHER)
    with pytest.raises(CorruptFile, match=rf"dump\.bin: what arrived is thrown away, .* not sha256:{SHA256}"):
        fetched(served, tmp_path, SHA256)
    assert left(tmp_path) == []
    served.say = lambda answer: answer.send_rest(CONTENT)
    assert fetched(served, tmp_path, SHA256) == CONTENT
