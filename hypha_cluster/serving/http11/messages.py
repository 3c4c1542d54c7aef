"""HTTP/1.1 without I/O: requests out of bytes, answers into bytes (RFC 9112)."""

from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import httptools

Headers = list[tuple[bytes, bytes]]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"  # what a connection of HTTP/2 begins with
LINE_OVERHEAD: Final = len(b": \r\n")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_CLOSE: Final = b"connection: close\r\n\r\n"
_VERSIONS: Final = ("1.0", "1.1")
# Of each of these one at most is allowed: of several, a proxy may have judged another one.
_SINGLE: Final = (b"host", b"authorization")
_SINGLE_ONCE: Final = ([b"host"], [b"host", b"authorization"], [b"authorization", b"host"])
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Malformed(Exception):
    """What was read is no request that this server understands; `status` is the answer to it."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Request(NamedTuple):
    """The head of a request; names of headers are in lower case."""

    method: str
    target: bytes
    version: str
    headers: Headers
    keep_alive: bool
    asks_to_upgrade: bool
    expects_continue: bool

    def to_bytes(self) -> bytes:
        """Write it again."""
        lines = [b"%b %b HTTP/%b" % (self.method.encode(), self.target, self.version.encode())]
        lines += [b"%b: %b" % header for header in self.headers]
        return b"\r\n".join([*lines, b"", b""])


HTTP2: Final = Request(
    "PRI", b"*", "2.0", [], keep_alive=False, asks_to_upgrade=True, expects_continue=False
)


class Sink(Protocol):
    """Is told what was read."""

    def on_request(self, request: Request) -> None: ...
    def on_body(self, part: bytes) -> None: ...
    def on_end(self) -> None: ...
    def on_upgrade(self, rest: bytes) -> None: ...


class RequestParser:
    """Reads one request after the other, with llhttp, which is strict about their framing."""

    def __init__(self, sink: Sink, max_head: int) -> None:
        self._sink = sink
        self._max_head = max_head
        self._parser = httptools.HttpRequestParser(self)
        self._first: bytes | None = b""  # read, while it may become the preface of HTTP/2
        self._later = 0  # bytes read since the read in which there was something to tell
        self._size = 0
        self._target = b""
        self._is_in_head = False
        self._headers: Headers = []

    def feed(self, data: bytes) -> None:
        """Tell the sink what is in `data`. After Malformed the parser must not be used any more."""
        self._later += len(data)
        if self._first is not None:
            data = self._first + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._first = data
                return
            self._first = None
            if data.startswith(PREFACE):
                self._sink.on_request(HTTP2)
                self._sink.on_upgrade(data[len(PREFACE) :])
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._sink.on_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            raise error.__context__ or Malformed(HTTPStatus.BAD_REQUEST, str(error)) from None
        if self._later > self._max_head:
            raise self._too_long()

    @property
    def is_in_head(self) -> bool:
        """Whether a request has begun whose head has not come whole."""
        return self._is_in_head or bool(self._first)

    def close(self) -> None:
        """Let go of llhttp's parser, which refers to this one."""
        del self._parser

    # For llhttp's parser.

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._later = self._size = 0
        self._target = b""
        self._headers = []

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._size += len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + LINE_OVERHEAD
        if self._size > self._max_head:
            raise self._too_long()
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._later = 0
        self._is_in_head = False
        headers, self._headers = self._headers, []  # trailers, behind a body, are dropped
        version = self._parser.get_http_version()
        fields = _checked(version, headers)
        self._sink.on_request(
            Request(
                self._parser.get_method().decode(),
                self._target,
                version,
                headers,
                version == "1.1" and self._parser.should_keep_alive(),
                self._parser.should_upgrade(),
                version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue",
            )
        )

    def on_body(self, part: bytes) -> None:
        self._later = 0
        self._sink.on_body(part)

    def on_message_complete(self) -> None:
        self._later = 0
        self._sink.on_end()

    def _too_long(self) -> Malformed:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return Malformed(status, f"more than {self._max_head} bytes of headers")


def _checked(version: str, headers: Headers) -> dict[bytes, bytes]:
    """The headers by their names, after the checks that llhttp leaves to us."""
    if version not in _VERSIONS:
        raise Malformed(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"version {version}")
    single = [name for name, _ in headers if name in _SINGLE]
    if single not in _SINGLE_ONCE:
        hosts = single.count(b"host")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise Malformed(HTTPStatus.BAD_REQUEST, f"{hosts} Host headers")
        if len(single) > hosts + 1:
            raise Malformed(HTTPStatus.BAD_REQUEST, "several Authorization headers")
    fields = dict(headers)
    if b"transfer-encoding" in fields:
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        if codings != [b"chunked"]:
            raise Malformed(HTTPStatus.NOT_IMPLEMENTED, "a transfer-encoding besides chunked")
    return fields


def head_of(status: int, headers: Headers) -> bytes:
    """Write the status and the headers of an answer, without the empty line after them."""
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    lines += [b"%b: %b\r\n" % header for header in headers]
    head = b"".join(lines)
    if not head.count(b"\n") == head.count(b"\r") == len(lines) or b"\0" in head:
        raise ValueError("a header holds what would end it")
    return head


class Answer:
    """Frames one answer: how its body is delimited, and whether another may follow it."""

    def __init__(self, request: Request, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._may_chunk = request.version == "1.1"
        self._has_body = request.method != "HEAD"
        self._chunked = False
        self._left: int | None = None  # bytes of the body to come, if that is known

    def head(self, status: int, headers: Headers, common: bytes) -> bytes:
        """Write status and headers; `common` are lines that each answer has."""
        head = head_of(status, headers) + common
        self._has_body = self._has_body and status not in _BODILESS
        is_told = False
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive, is_told = False, True
        if self._has_body and self._left is None:
            head += self._delimit()
        return head + (b"\r\n" if self.keep_alive or is_told else _CLOSE)

    def body(self, part: bytes, *, more: bool) -> bytes:
        """Write a part of the body; the last one when there is no `more`."""
        if not self._has_body:
            return b""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0 or (self._left > 0 and not more):
                raise ValueError("a body is not as long as its content-length says")
        return part

    def _delimit(self) -> bytes:
        """Say how a body of unknown length ends: with its last chunk, or with the connection."""
        if not self._may_chunk:
            self.keep_alive = False
            return b""
        self._chunked = True
        return b"transfer-encoding: chunked\r\n"
