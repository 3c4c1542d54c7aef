"""The arguments of a call out of a form, as pages, `curl -d` and `curl -F` send it."""

from collections import defaultdict
from typing import Any, Final
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.limits import FORM_FIELDS, SHOWN
from hypha_cluster.web.arguments import Arguments, check, from_query
from hypha_cluster.web.headers import JSON

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
FORMS: Final = (URLENCODED, MULTIPART)
_IN_MEMORY: Final = {"MAX_MEMORY_FILE_SIZE": float("inf")}  # the body is in memory already


def from_form(body: bytes | bytearray, content_type: str) -> Arguments:
    """Read a body; texts are read as those of a query, files are bytes.

    content_type: with its boundary. Several files of one name are a list.
    """
    kind, options = parse_options_header(content_type)
    if kind == URLENCODED.encode():
        return _from_urlencoded(bytes(body))
    return _from_multipart(bytes(body), options.get(b"boundary", b""))


def _from_urlencoded(body: bytes) -> Arguments:
    if body[:1] in (b"{", b"["):
        raise BadRequest(f"The body looks like JSON; send it with 'Content-Type: {JSON}'.")
    try:
        text = body.decode()
        return from_query(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError as error:
        raise BadRequest(f"The request body is not a valid form: {error}.") from None


def _from_multipart(body: bytes, boundary: bytes) -> Arguments:
    parts = _Parts()
    if not boundary or not body.rstrip().endswith(b"--%b--" % boundary):
        raise BadRequest(f"The request body is not a whole {MULTIPART}: its boundary is missing.")
    try:
        parser = FormParser(
            MULTIPART, parts.add_text, parts.add_file, boundary=boundary, config=_IN_MEMORY
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        # The error repeats what it does not understand, at any length.
        why = str(error)[:SHOWN]
        raise BadRequest(f"The request body is not a valid {MULTIPART}: {why}") from None
    return parts.arguments()


class _Parts:
    """Gathers the parts of a form."""

    def __init__(self) -> None:
        self._many = 0
        self._texts: list[tuple[str, str]] = []
        self._files: defaultdict[str, list[bytes]] = defaultdict(list)

    def add_text(self, field: Field) -> None:
        self._texts.append((self._name_of(field), (field.value or b"").decode("utf-8")))

    def add_file(self, file: File) -> None:
        file.file_object.seek(0)
        self._files[self._name_of(file)].append(file.file_object.read())

    def arguments(self) -> Arguments:
        whole: dict[str, Any] = {
            name: each if each[1:] else each[0] for name, each in self._files.items()
        }
        check(whole)
        return from_query(self._texts) | whole

    def _name_of(self, part: Field | File) -> str:
        self._many += 1
        if self._many > FORM_FIELDS:
            raise BadRequest(f"A form has at most {FORM_FIELDS} fields.")
        return (part.field_name or b"").decode("utf-8")
