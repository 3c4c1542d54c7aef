"""What apps in Python may require: their own wheels, what the hub has, what operators allow."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.python_client import PACKAGES
from hypha_cluster.protocol.guard import shown
from hypha_cluster.settings import items
from hypha_cluster.web.assets.catalogue import PACKAGES as SERVED, project_name

ALL: Final = "*"
# What is unpacked in each page of an app in Python.
_BUILT_IN: Final = frozenset(map(project_name, PACKAGES))
_PYPI: Final = "https://pypi.org/simple"
# The name of a requirement, and what may follow it: extras, a version, a marker.
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,255})\s*(?:$|[\[(<>=!~;])")
_OWN_WHEEL: Final = re.compile(r"(?!//)[\w./@+-]+\.whl")  # an attachment, or what the hub serves


class Packages:
    """Checks requirements; packages that the hub has are always allowed.

    allowed: names of others with commas between, or `*` for all. index: where those are, as
    micropip takes it; by default PyPI.
    """

    def __init__(self, allowed: str, index: str) -> None:
        self._here = _BUILT_IN | {project_name(each.name) for each in SERVED if each.is_wheel}
        self._allowed = {each if each == ALL else project_name(each) for each in items(allowed)}
        # Where the page looks for packages that the hub does not have.
        self.indexes = [index or _PYPI] if self._allowed else []

    def check(self, requirements: Iterable[str]) -> None:
        """BadRequest names the first that is not allowed."""
        for each in requirements:
            if not self._is_allowed(each):
                raise BadRequest(
                    f"{shown(each)} is no package that apps of this hub may require; there are "
                    f"{', '.join(sorted(self._allowed | self._here))}. Attach its wheel, or ask "
                    "the operator for it (--app-packages)."
                )

    def _is_allowed(self, requirement: str) -> bool:
        if _OWN_WHEEL.fullmatch(requirement):
            return True
        if requirement.startswith("https://") and requirement.endswith(".whl"):
            file = unquote(requirement.rpartition("/")[2])
            return self._has(file.partition("-")[0])
        found = _REQUIREMENT.match(requirement)
        return found is not None and "@" not in requirement and self._has(found[1])

    def _has(self, name: str) -> bool:
        return ALL in self._allowed or project_name(name) in self._allowed | self._here

    def missing(self, requirements: Iterable[str]) -> list[str]:
        """Those that the page does not have by itself."""
        return [each for each in requirements if project_name(each) not in _BUILT_IN]
