"""Serves directories of the operator: pages beside the hub, and what they need."""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import StartupError
from hypha_cluster.features.feature import Feature, Grounds
from hypha_cluster.settings import items, setting
from hypha_cluster.web.middleware.compression import as_it_is

_PATH: Final = re.compile(r"(/[A-Za-z0-9_.~-]+)+")
_COMPRESSED: Final = ".gz"  # behind the name of a file, the same file compressed


@dataclass(frozen=True, slots=True)
class MountSettings:
    """What is served besides the hub."""

    static_mounts: str = setting(
        "",
        "Directories to serve, each as /path:directory; index.html is the page of a directory.",
        many=True,
    )


class Mounts(Feature):
    """The directories of --static-mounts."""

    name = "mounts"
    title = "Directories of your own"
    Settings = MountSettings

    def __init__(self, settings: MountSettings, grounds: Grounds) -> None:
        self._directories = mounts_of(settings.static_mounts)

    def first_routes(self) -> Sequence[BaseRoute]:
        routes: list[BaseRoute] = []
        for path, directory in self._directories.items():
            files = Files(directory)
            # Links of a page at the path itself are relative to what is above it: no redirection.
            routes += [Route(path, files.index), Mount(path, app=files)]
        return routes


def mounts_of(text: str) -> dict[str, Path]:
    """Path → directory, of `/path:directory` with commas between; StartupError."""
    found: dict[str, Path] = {}
    for mount in items(text):
        path, _, directory = mount.partition(":")
        if not _PATH.fullmatch(path) or not directory or {".", ".."} & {*path.split("/")}:
            raise StartupError(f"static_mounts: {mount!r} must be like /path:directory")
        if path in found:
            raise StartupError(f"static_mounts: {path} is there twice")
        found[path] = Path(directory).expanduser()
        if not found[path].is_dir():
            raise StartupError(f"static_mounts: {directory} is no directory")
    return found


class Files(StaticFiles):
    """The files of a directory; no dot files, and nothing outside to which a link leads."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory.absolute(), html=True)

    async def index(self, request: Any) -> Response:
        """The page of the directory, at its path without a slash."""
        return await self.get_response("index.html", request.scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "range" in Headers(scope=scope):
            send = as_it_is(scope, send)  # a range of a compressed file would be of no use
        await super().__call__(scope, receive, send)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        hidden = any(name.startswith(".") for name in path.split(os.sep) if name != os.curdir)
        return ("", None) if hidden else super().lookup_path(path)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file; its compressed twin, if there is one, for whoever accepts that."""
        asked = Headers(scope=scope)
        compressed = f"{os.fspath(full_path)}{_COMPRESSED}"
        if "gzip" not in asked.get("accept-encoding", "") or not _is_file(compressed):
            return super().file_response(full_path, stat_result, scope, status_code)
        response = FileResponse(
            compressed,
            status_code,
            {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
            media_type=FileResponse(full_path).media_type,
            stat_result=os.stat(compressed),
        )
        if self.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
