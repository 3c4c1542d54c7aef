"""As much of the Kubernetes API as Helm needs to look for a Secret."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

VERBS = ["get", "list"]
SECRETS = {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": VERBS}


@contextmanager
def kubernetes_api(namespace: str, secrets: dict[str, dict[str, str]]) -> Iterator[str]:
    """Serve these Secrets, and give the address."""
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [SECRETS]},
    }
    for name, content in secrets.items():
        data = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
        metadata = {"name": name, "namespace": namespace}
        answers[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": metadata,
            "data": data,
        }

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is the base class's
            answer = answers.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer or {**missing, "reason": "NotFound"}).encode())

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
