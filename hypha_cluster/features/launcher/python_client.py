"""The Python client for apps in Python: an archive of what is installed here."""

import hashlib
import importlib.util
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hypha_cluster.errors import BadRequest, NotFound
from hypha_cluster.web.assets.catalogue import find, how_to_get, is_there

PATH: Final = "/assets/app-python.zip"
# Without their compiled parts; msgpack does without its own.
PACKAGES: Final = ("imjoy_rpc", "msgpack", "shortuuid")
_MISSING: Final = (
    "This gateway does not have the Python client for apps; its operator gets it by "
    "pip install 'hypha-cluster[server-apps]'."
)


def check_python() -> None:
    """BadRequest when this gateway lacks what apps in Python need."""
    pyodide = find("pyodide")
    if pyodide is not None and not is_there("pyodide"):
        raise BadRequest(how_to_get(pyodide))
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise BadRequest(_MISSING)


def route() -> Route:
    return Route(PATH, _serve)


async def _serve(request: Request) -> Response:
    content = _archive()
    if not content:
        raise NotFound(_MISSING)
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache", "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/zip")


@cache
def _archive() -> bytes:
    """The packages in one archive; nothing, if one of them is missing."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in PACKAGES:
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.origin:
                return b""
            folder = Path(spec.origin).parent
            for file in sorted(folder.rglob("*.py")):
                path = Path(name) / file.relative_to(folder)
                archive.writestr(zipfile.ZipInfo(path.as_posix()), file.read_bytes())
    return found.getvalue()
