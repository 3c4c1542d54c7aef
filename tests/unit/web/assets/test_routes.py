"""Files of packages over HTTP: kept for long, and only those of the catalogue."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from hypha_cluster.web.assets.catalogue import PACKAGES
from hypha_cluster.web.assets.routes import AssetsApi

PYODIDE = next(package for package in PACKAGES if package.name == "pyodide")


def ask(folder: Path, package: str, file: str, **headers: str) -> Response:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "headers": fields,
        "path_params": {"package": package, "file": file},
    }
    return asyncio.run(AssetsApi(folder).file(Request(scope)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in (*PYODIDE.files, "secret.txt"):
        (tmp_path / PYODIDE.label).mkdir(exist_ok=True)
        (tmp_path / PYODIDE.label / file).write_text(file)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("pyodide.mjs", "text/javascript"),
        ("pyodide.asm.wasm", "application/wasm"),
        ("python_stdlib.zip", "application/zip"),
        ("README.md", "text/plain"),
    ],
)
def test_a_file_has_the_type_that_browsers_need(folder: Path, file: str, kind: str) -> None:
    answer = ask(folder, PYODIDE.label, file)

    assert isinstance(answer, FileResponse)
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_who_has_it_already_gets_nothing_again(folder: Path) -> None:
    tag = ask(folder, PYODIDE.label, "pyodide.mjs").headers["etag"]

    again = ask(folder, PYODIDE.label, "pyodide.mjs", if_none_match=f'"x", W/{tag}')

    assert again.status_code == 304
    assert again.headers["etag"] == tag
    assert again.body == b""


@pytest.mark.parametrize(
    ("package", "file", "says"),
    [
        (PYODIDE.label, "secret.txt", "has README.md"),
        (PYODIDE.label, "../pyodide@1/README.md", "has README.md"),
        ("pyodide", "README.md", "no such package"),
        ("pyodide@", "README.md", "no such package"),
        ("@1", "README.md", "no such package"),
        ("..", "README.md", "no such package"),
        ("swagger-ui-dist@5.35.0", "LICENSE", "hypha-cluster assets --get swagger-ui-dist"),
    ],
)
def test_nothing_else_is_served(folder: Path, package: str, file: str, says: str) -> None:
    with pytest.raises(HTTPException) as caught:
        ask(folder, package, file)

    assert caught.value.status_code == 404
    assert says in caught.value.detail


def index(folder: Path, project: str) -> Response:
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "root_path": "/hub",
        "headers": [(b"host", b"h:1")],
        "path_params": {"project": project},
    }
    return asyncio.run(AssetsApi(folder).wheels(Request(scope)))


@pytest.mark.parametrize("project", ["typing-extensions", "Typing_Extensions"])
def test_the_wheels_of_a_project_are_listed_as_package_indexes_do(
    tmp_path: Path, project: str
) -> None:
    wheel = next(package for package in PACKAGES if package.name == "typing_extensions")
    (tmp_path / wheel.label).mkdir()
    (tmp_path / wheel.label / wheel.files[0]).write_text("")

    answer = index(tmp_path, project)

    assert answer.headers["content-type"] == "application/vnd.pypi.simple.v1+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    url = f"http://h:1/hub/assets/{wheel.label}/{wheel.files[0]}"
    assert json.loads(bytes(answer.body))["files"] == [
        {"filename": wheel.files[0], "url": url, "hashes": {}}
    ]


@pytest.mark.parametrize("project", ["typing-extensions", "pyodide", "nothing"])
def test_of_what_is_not_there_no_wheel_is_listed(tmp_path: Path, project: str) -> None:
    with pytest.raises(HTTPException, match="This hub has no wheel of"):
        index(tmp_path, project)
