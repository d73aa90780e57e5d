"""An answer that ends within its headers is an error, wherever it ends."""

import http.client
import io

import pytest

from ecogvault.stores.answers import WholeAnswer

ANSWER = b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 4\r\nx-amz-version-id: v\r\n\r\nbody"


class Line:
    """What http.client reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def answer(data: bytes) -> WholeAnswer:
    response = WholeAnswer(Line(data))  # type: ignore[arg-type]
    response.begin()
    return response


def test_a_whole_answer_is_read_as_ever() -> None:
    response = answer(ANSWER)
    assert (response.status, response.getheader("x-amz-version-id"), response.read()) == (200, "v", b"body")
    empty = answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (empty.status, empty.read()) == (204, b"")


def test_an_answer_cut_at_any_byte_of_its_headers_is_an_error() -> None:
    for length in range(ANSWER.index(b"\r\n\r\n") + 3):
        with pytest.raises(http.client.HTTPException):
            answer(ANSWER[:length])


def test_without_it_python_takes_a_part_of_the_headers_for_all() -> None:
    cut = http.client.HTTPResponse(Line(ANSWER[: ANSWER.index(b"x-amz")]))  # type: ignore[arg-type]
    cut.begin()
    assert (cut.getheader("ETag"), cut.getheader("x-amz-version-id")) == ("e", None)
