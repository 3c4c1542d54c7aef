"""What is read of requests and written of answers, without a socket."""

from http import HTTPStatus

import pytest

from hypha_cluster.serving.http11.messages import (
    HTTP2,
    PREFACE,
    Answer,
    Headers,
    Malformed,
    Request,
    RequestParser,
    head_of,
)

GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
MAX_HEAD = 1000


class Reader:
    """Keeps what a parser tells."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.body = b""
        self.ends = 0
        self.rest: bytes | None = None
        self._parser = RequestParser(self, MAX_HEAD)

    def feed(self, *parts: bytes) -> "Reader":
        for part in parts:
            self._parser.feed(part)
        return self

    def on_request(self, request: Request) -> None:
        self.requests.append(request)

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_end(self) -> None:
        self.ends += 1

    def on_upgrade(self, rest: bytes) -> None:
        self.rest = rest


def test_a_request_is_read() -> None:
    reader = Reader().feed(GET + b"Some-Name:  Some value \t\r\nEmpty:\r\n\r\n")

    headers = [(b"host", b"x"), (b"some-name", b"Some value"), (b"empty", b"")]
    assert reader.requests == [Request("GET", b"/a?b", "1.1", headers, True, False, False)]
    assert reader.ends == 1


def test_it_may_be_cut_anywhere() -> None:
    request = POST + b"Content-Length: 2\r\n\r\nab" + GET + b"\r\n"
    whole = Reader().feed(request)

    for at in range(1, len(request)):
        reader = Reader().feed(request[:at], request[at:])

        assert reader.requests == whole.requests
        assert (reader.body, reader.ends) == (b"ab", 2)


def test_what_comes_after_a_body_is_not_added_to_the_head() -> None:
    reader = Reader().feed(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n")

    assert reader.requests[0].headers == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]
    assert reader.body == b"a"


def test_what_comes_after_an_upgrade_is_told() -> None:
    reader = Reader().feed(GET + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\nrest")

    assert reader.requests[0].asks_to_upgrade
    assert reader.rest == b"rest"


def test_http2_asks_to_upgrade_too() -> None:
    reader = Reader().feed(PREFACE + b"SM\r\n\r\n")

    assert reader.requests == [HTTP2]
    assert HTTP2.to_bytes() == PREFACE
    assert reader.rest == b"SM\r\n\r\n"


def test_its_preface_may_be_cut_anywhere() -> None:
    for at in range(1, len(PREFACE)):
        reader = Reader().feed(PREFACE[:at], PREFACE[at:] + b"SM")

        assert reader.requests == [HTTP2]
        assert reader.rest == b"SM"


def test_a_request_can_be_written_again() -> None:
    request = Reader().feed(GET + b"A: b\r\n\r\n").requests[0]

    assert Reader().feed(request.to_bytes()).requests == [request]


@pytest.mark.parametrize(
    ("request_", "keep_alive", "continues"),
    [
        (GET + b"\r\n", True, False),
        (GET + b"Connection: close\r\n\r\n", False, False),
        (b"GET / HTTP/1.0\r\n\r\n", False, False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False, False),
        (POST + b"Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", True, True),
        (b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", False, False),
    ],
)
def test_what_a_peer_expects_is_known(request_: bytes, keep_alive: bool, continues: bool) -> None:
    request = Reader().feed(request_).requests[0]

    assert (request.keep_alive, request.expects_continue) == (keep_alive, continues)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x00", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (GET + b"Host: y\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", HTTPStatus.NOT_IMPLEMENTED),
        (
            POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            HTTPStatus.NOT_IMPLEMENTED,
        ),
        (b"GET / HTTP/0.9\r\n\r\n", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (GET + MAX_HEAD * b"A: b\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (GET + MAX_HEAD // 4 * b"A:\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_what_cannot_be_read_is_malformed(request_: bytes, status: HTTPStatus) -> None:
    with pytest.raises(Malformed) as raised:
        Reader().feed(request_)

    assert raised.value.status == status


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "beginning",
    [GET, GET + b"A: ", CHUNKED + b"1;", CHUNKED + b"0\r\n", CHUNKED + b"1\r\na\r\n0\r\nA: "],
    ids=["name", "value", "chunk extension", "name after a body", "value after a body"],
)
def test_what_tells_nothing_has_an_end(beginning: bytes) -> None:
    reader = Reader().feed(beginning)

    with pytest.raises(Malformed) as raised:
        reader.feed(*[b"b"] * (MAX_HEAD + 1))

    assert raised.value.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


def test_a_body_may_come_in_small_parts() -> None:
    reader = Reader().feed(CHUNKED, *[b"1\r\n", b"a\r\n"] * MAX_HEAD)

    assert len(reader.body) == MAX_HEAD


def test_a_body_may_be_larger_than_a_head() -> None:
    size = 10 * MAX_HEAD
    reader = Reader().feed(POST + b"Content-Length: %d\r\n\r\n" % size, bytes(size), GET + b"\r\n")

    assert len(reader.body) == size
    assert reader.ends == 2


# Answers.


def written(
    method: str, version: str, status: int, headers: Headers, *parts: bytes
) -> tuple[bytes, bool]:
    request = Request(method, b"/", version, [], True, False, False)
    answer = Answer(request, keep_alive=True)
    text = answer.head(status, headers, b"date: now\r\n")
    text += b"".join(answer.body(part, more=True) for part in parts)
    return text + answer.body(b"", more=False), answer.keep_alive


LENGTH = [(b"content-length", b"3")]


@pytest.mark.parametrize(
    ("method", "version", "status", "headers", "end", "keep_alive"),
    [
        ("GET", "1.1", 200, LENGTH, b"content-length: 3\r\ndate: now\r\n\r\nabc", True),
        (
            *("GET", "1.1", 200, []),
            b"date: now\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            True,
        ),
        (
            *("GET", "1.1", 200, [*LENGTH, (b"connection", b"close")]),
            b"content-length: 3\r\nconnection: close\r\ndate: now\r\n\r\nabc",
            False,
        ),
        ("GET", "1.0", 200, [], b"date: now\r\nconnection: close\r\n\r\nabc", False),
        ("HEAD", "1.1", 200, LENGTH, b"content-length: 3\r\ndate: now\r\n\r\n", True),
        ("GET", "1.1", 204, [], b"date: now\r\n\r\n", True),
        ("GET", "1.1", 304, [], b"date: now\r\n\r\n", True),
    ],
)
def test_the_end_of_an_answer_can_be_told(
    method: str, version: str, status: int, headers: Headers, end: bytes, keep_alive: bool
) -> None:
    text, goes_on = written(method, version, status, headers, b"a", b"", b"bc")

    line, _, rest = text.partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert (rest, goes_on) == (end, keep_alive)


@pytest.mark.parametrize("part", [b"ab", b"abcd"])
def test_a_body_is_as_long_as_it_says(part: bytes) -> None:
    with pytest.raises(ValueError, match="content-length"):
        written("GET", "1.1", 200, LENGTH, part)


@pytest.mark.parametrize("text", [b"a\r\nb: c", b"a\nb: c", b"a\r", b"a\0"])
def test_a_header_cannot_end_itself(text: bytes) -> None:
    for header in [(b"x", text), (text, b"x")]:
        with pytest.raises(ValueError, match="header"):
            head_of(200, [header])
