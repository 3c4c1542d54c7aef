"""The pages of apps, made of their code and our templates; nothing comes from a CDN."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import jinja2

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.manifest import SHOWN_TO_PAGE
from hypha_cluster.features.launcher.packages import Packages
from hypha_cluster.features.launcher.python_client import PATH, check_python
from hypha_cluster.protocol.guard import shown
from hypha_cluster.web.assets.catalogue import PREFIX, find, how_to_get, is_complete, url

PYTHON: Final = "web-python.html"
# Type of an app → template. An iframe is a window that nobody sees.
_TEMPLATES: Final = {
    "window": "window.html",
    "iframe": "window.html",
    "web-worker": "web-worker.html",
    "web-python": PYTHON,
}
_FILE: Final = "-plugin.html"  # behind a type, as the original names its templates
NOTHING_ELSE: Final = Packages("", "")
_BLOCKS: Final = ("window", "style", "link")

_pages: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("hypha_cluster.features.launcher"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Code(NamedTuple):
    """What an app does. config: as it was given, or read from a plugin file."""

    script: str
    config: Mapping[str, Any]


def template_of(name: str) -> str:
    """The template for a type of apps, or for a name of the original's; BadRequest."""
    kind = name.removesuffix(_FILE)
    if kind not in _TEMPLATES:
        raise BadRequest(
            f"There is no template for apps of the type {shown(kind)}; there are "
            f"{', '.join(_TEMPLATES)}."
        )
    if kind == "web-python":
        check_python()
    return _TEMPLATES[kind]


def render(code: Code, template: str, root: str, packages: Packages = NOTHING_ELSE) -> str:
    """The page of an app. root: the path under which the hub serves everything.

    packages: what an app in Python may require, besides what the hub has.
    """
    config, requirements = code.config, requirements_of(code.config)
    about: dict[str, Any] = {
        "config": {key: config[key] for key in SHOWN_TO_PAGE if key in config},
        "requirements": requirements,
        "script": code.script,
        "client": root + url("imjoy-rpc", "dist/hypha-rpc-websocket.min.js"),
        "root": root,
    }
    if template == PYTHON:
        about |= {"pyodide": root + url("pyodide", "pyodide.mjs"), "python": root + PATH}
        about |= _wheels(packages.missing(requirements), root)
        about["indexes"] = packages.indexes
    blocks = {name: _contents(config.get(name)) for name in _BLOCKS}
    return _pages.get_template(template).render(
        name=config["name"],
        about=_for_html(about),
        client=about["client"],
        **blocks,
    )


def requirements_of(config: Mapping[str, Any]) -> list[str]:
    """The requirements of a config; BadRequest when they are not texts."""
    given = config.get("requirements")
    if given is None:
        return []
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise BadRequest(f"'requirements' of an app is a list of texts, not {shown(given)}.")
    return found


def _wheels(requirements: Sequence[str], root: str) -> dict[str, Any]:
    """Which of them are addresses of wheels, and which names are to be looked for on the hub."""
    named = [each for each in requirements if "/" not in each and not each.endswith(".whl")]
    micropip = find("micropip")
    if named and micropip is not None and not is_complete(micropip):
        raise BadRequest(how_to_get(micropip))
    return {
        "requirements": [each for each in requirements if each not in named],
        "named": named,
        "micropip": root + url("micropip", micropip.files[0]) if micropip else "",
        "index": f"{root}{PREFIX}/python/{{package_name}}",
    }


def _contents(blocks: Any) -> list[Any]:
    """The blocks of a plugin file; any other value of that name is left out."""
    return [
        each
        for each in (blocks if isinstance(blocks, list) else ())
        if isinstance(each, dict) and isinstance(each.get("attrs"), dict) and "content" in each
    ]


def _for_html(value: Any) -> str:
    """JSON that cannot end the element in which it stands."""
    return json.dumps(value).replace("<", "\\u003c").replace("\u2028", "\\u2028")
