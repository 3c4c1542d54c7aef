"""The containers of pods, run by Docker as a Kubernetes node would run them."""

import base64
import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from typing import Any, Self

from tests.chart.rendering import NAMESPACE, Object, Values, one, render
from tests.compose.deployment import LONGEST_COMMAND, STARTING_TIME, Missing, run

POLL = 0.1


class Pods:
    """What the chart makes of `values`, on a network of containers with the Services' names."""

    def __init__(self, values: Values) -> None:
        self._id = f"hypha-pods-{secrets.token_hex(3)}"
        redis = {"repository": "redis", "tag": "8"}
        mine = {"repository": self._id, "tag": "latest"}
        self.objects = render({**values, "image": mine, "redis": {"bundled": {"image": redis}}})
        self._secrets = {
            (secret["metadata"]["name"], key): base64.b64decode(text).decode()
            for secret in self.objects
            if secret["kind"] == "Secret"
            for key, text in secret["data"].items()
        }
        self._started: list[str] = []

    def __enter__(self) -> Self:
        if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
            raise Missing("no container engine answers")
        docker("build", "-q", "-t", self._id, "-f", "deploy/Dockerfile", ".")
        docker("network", "create", self._id)
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            docker("rm", "--force", "--volumes", *self._started)
        docker("network", "rm", self._id)
        docker("rmi", "--force", self._id)

    def spec(self, kind: str, name: str = "") -> Object:
        """What is said of the pods of the gateways, of Redis, of runners or of the test."""
        found = one(self.objects, kind, name)["spec"]
        spec: Object = found if kind == "Pod" else found["template"]["spec"]
        return spec

    def start(self, spec: Object, container: Object, service: str = "") -> str:
        """Start one container of a pod, with the rights that it has there; return its name."""
        name = f"{self._id}-{len(self._started)}"
        command: list[str] = container.get("command", [])
        flags = [
            *("--name", name, "--network", self._id, "--publish", "127.0.0.1::9000"),
            *_rights({**spec["securityContext"], **container["securityContext"]}),
            *(f"--network-alias={name}" for name in _names(service)),
            *(
                f"--tmpfs={mount['mountPath']}:mode=1777"
                for mount in container.get("volumeMounts", ())
            ),
            *(f"--env={key}={text}" for key, text in self._variables(container, name).items()),
            *(("--entrypoint", command[0]) if command else ()),
        ]
        self._started.append(name)
        arguments = [*command[1:], *container.get("args", ())]
        docker("run", "--detach", *flags, container["image"], *arguments)
        return name

    def _variables(self, container: Object, pod: str) -> dict[str, str]:
        known: dict[str, str] = {}
        for entry in container.get("env", ()):
            known[entry["name"]] = re.sub(
                r"\$\((\w+)\)", lambda found: known[found[1]], self._text(entry, pod)
            )
        return known

    def _text(self, entry: Object, pod: str) -> str:
        if "value" in entry:
            text: str = entry["value"]
            return text
        if "fieldRef" in entry["valueFrom"]:
            return pod
        meant = entry["valueFrom"]["secretKeyRef"]
        return self.secret(meant["name"], meant["key"])

    def secret(self, name: str, key: str) -> str:
        return self._secrets[name, key]


def _names(service: str) -> list[str]:
    """By which pods reach a Service, from its own namespace and from others."""
    return [service, f"{service}.{NAMESPACE}"] if service else []


def _rights(security: Object) -> list[str]:
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    limits = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    return ["--user", user, *limits]


def address(name: str) -> str:
    """Where this machine reaches the port 9000 of a container."""
    return f"http://{docker('port', name, '9000').split()[0]}"


def ended(name: str) -> tuple[int, str]:
    """Wait for the end of a container; return its exit code and what it has said."""
    code = int(docker("wait", name))
    return code, docker("logs", name)


def eventually(condition: Callable[[], bool], name: str) -> None:
    """Wait for what a container is to bring about."""
    deadline = time.monotonic() + STARTING_TIME
    while not condition():
        assert time.monotonic() < deadline, docker("logs", name)
        time.sleep(POLL)


def succeeds(name: str, *command: str) -> bool:
    """Run a command in a container, and say whether it succeeded."""
    done = subprocess.run(["docker", "exec", name, *command], capture_output=True, check=False)
    return not done.returncode


def state(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", "-f", "{{json .State}}", name))
    return found


def docker(*words: str) -> str:
    return run(["docker", *words], os.environ, LONGEST_COMMAND)
