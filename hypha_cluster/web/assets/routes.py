"""Serves the files of packages; what is at an address never changes, for the version is in it."""

import os
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from hypha_cluster.web.assets.catalogue import (
    FOLDER,
    PREFIX,
    Package,
    find,
    how_to_get,
)

_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".whl": "application/zip",
    ".zip": "application/zip",
}
_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Access-Control-Allow-Origin": "*",  # published files, whatever --allow-origins says
    "Cross-Origin-Resource-Policy": "cross-origin",  # pages anywhere may use the client
    "X-Content-Type-Options": "nosniff",
}


class AssetsApi:
    """/assets/{name}@{version}/{file}"""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def routes(self) -> list[Route]:
        return [Route(f"{PREFIX}/{{package}}/{{file:path}}", self.file)]

    async def file(self, request: Request) -> Response:
        """A file of the catalogue; others in the same folder are not served."""
        package = _package(request.path_params["package"])
        file: str = request.path_params["file"]
        if file not in package.files:
            raise HTTPException(404, f"{package.label} has {', '.join(package.files)}.")
        path = self._folder / package.label / file
        try:
            found = os.stat(path)
        except OSError:
            raise HTTPException(404, how_to_get(package)) from None
        # Gateways have it from different installations, whose times differ.
        headers = {**_HEADERS, "ETag": f'"{package.version}-{found.st_size}"'}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        kind = _TYPES.get(path.suffix, "text/plain")
        return FileResponse(path, headers=headers, media_type=kind, stat_result=found)


def _package(label: str) -> Package:
    name, _, version = label.rpartition("@")
    package = find(name, version) if name and version else None
    if package is None:
        raise HTTPException(404, "There is no such package here; /assets has name@version.")
    return package
