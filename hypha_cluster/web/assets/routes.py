"""Serves the files of packages; what is at an address never changes, for the version is in it."""

import json
import os
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from hypha_cluster.protocol.guard import shown
from hypha_cluster.web.assets.catalogue import (
    FOLDER,
    PREFIX,
    Package,
    find,
    how_to_get,
    wheels,
)
from hypha_cluster.web.lookup import base_url_of

_INDEX: Final = "application/vnd.pypi.simple.v1+json"
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
    """/assets/{name}@{version}/{file}, and which wheels there are of a project of Python's."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/python/{{project}}", self.wheels),
            Route(f"{PREFIX}/{{package}}/{{file:path}}", self.file),
        ]

    async def wheels(self, request: Request) -> Response:
        """The wheels of a project, as package indexes of Python list them (PEP 691)."""
        project: str = request.path_params["project"]
        found = wheels(project, self._folder)
        if not found:
            raise HTTPException(404, f"This hub has no wheel of {shown(project)} for apps.")
        base = base_url_of(request)  # absolute addresses: their reader is no page
        files = [
            {"filename": name, "url": f"{base}{PREFIX}/{each.label}/{name}", "hashes": {}}
            for each in found
            for name in each.files
        ]
        body = {"meta": {"api-version": "1.0"}, "name": project, "files": files}
        headers = {**_HEADERS, "Cache-Control": "no-cache"}
        return Response(json.dumps(body), headers=headers, media_type=_INDEX)

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
        # Not by its time: gateways have the file from different installations, whose times differ.
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
