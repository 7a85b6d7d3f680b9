"""A server on loopback that answers as a test says."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Served:
    """What the server does and saw.

    Attributes:
        say: answers a request; given the handler.
        url: of the server, without a slash at its end.
        ranges: Range header of each request.
    """

    say: Callable[[Answer], None]
    url: str = ""
    ranges: list[str | None] = field(default_factory=list)


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    def __init__(self, served: Served, *arguments: Any) -> None:
        self.served = served
        super().__init__(*arguments)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Answers as the test says."""
        self.served.ranges.append(self.headers.get("Range"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.served.say(self)

    @property
    def start(self) -> int:
        """First byte that is asked for."""
        asked = self.headers.get("Range")
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0

    def send(self, code: int, body: bytes = b"", *, stop: int | None = None, **headers: str) -> None:
        """An answer; the body is cut after ``stop`` bytes. Underscores in names of headers stand for dashes."""
        self.send_response(code)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:stop])

    def send_rest(self, content: bytes, *, stop: int | None = None, **headers: str) -> None:
        """A file as a server does that can go on from a byte: 200, or 206 with the range, or 416."""
        start = self.start
        if start >= len(content):
            self.send(416, Content_Range=f"bytes */{len(content)}")
        elif start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(206, content[start:], stop=stop, Content_Range=span, **headers)
        else:
            self.send(200, content, stop=stop, **headers)

    def send_chunks(self, *chunks: bytes, whole: bool = True) -> None:
        """A body of unknown length; where it is not whole the last chunk is missing."""
        self.protocol_version = "HTTP/1.1"
        self.close_connection = True
        self.send(200, Transfer_Encoding="chunked", Content_Length="")
        for chunk in (*chunks, *([b""] if whole else [])):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))


@contextlib.contextmanager
def serving(say: Callable[[Answer], None]) -> Iterator[Served]:
    """A server that answers so while it lasts; what it says may be changed."""
    found = Served(say)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Answer, found))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
