import importlib.util
import io
import zipfile

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher import python_client
from hypha_cluster.features.launcher.python_client import check_python, route


def test_the_client_is_served_without_what_is_compiled() -> None:
    client = TestClient(Starlette(routes=[route()]))

    answer = client.get(python_client.PATH)

    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()

    assert {"imjoy_rpc/hypha/rpc.py", "msgpack/fallback.py", "shortuuid/__init__.py"} <= {*names}
    assert {name.rpartition(".")[2] for name in names} == {"py"}
    again = client.get(python_client.PATH, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_client, "is_there", lambda name: False)
    with pytest.raises(BadRequest, match="hypha-cluster assets --get pyodide"):
        check_python()
    monkeypatch.setattr(python_client, "is_there", lambda name: True)
    check_python()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadRequest, match="does not have the Python client"):
        check_python()
