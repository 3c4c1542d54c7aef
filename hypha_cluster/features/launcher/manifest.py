"""The manifest of an app: what `install` answers, and what listings show."""

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.scaling import FIELDS as SCALING, scale_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.apps import App

INDEX: Final = "index.html"
RDF: Final = "rdf.json"  # what an app says of itself, beside its page

DEFAULTS: Final = {"name": "Untitled Plugin", "version": "0.1.0"}
# The keys of a config that go into the manifest as they are.
_KEPT: Final = (
    *("icon", "name", "version", "api_version", "description", "license", "requirements"),
    *("dependencies", "env", "passive", "services"),
    *SCALING,
)
_TEXTS: Final = ("icon", "name", "version", "api_version", "description", "license")
# The keys of a config that the page is told.
SHOWN_TO_PAGE: Final = (
    *("name", "source_hash", "version", "format_version", "type", "tags", "icon", "requirements"),
    *("env", "defaults", "flags", "inputs", "outputs", "dependencies", "readiness_probe"),
    "liveness_probe",
)
# What the original's listings always have, whether an app says it or not.
_LISTED: Final[Mapping[str, Any]] = {
    "documentation": None,
    "config": None,
    "format_version": "0.2.1",
    "version": "0.1.0",
    "links": None,
    "maintainers": None,
    "license": None,
    "git_repo": None,
}
_BIOENGINE: Final = "bioengine"  # by which the original finds apps of this kind


def manifest_of(config: Mapping[str, Any], attachments: Collection[str]) -> dict[str, Any]:
    """What a config says, in the form of a manifest; attachments: the names of its files."""
    for key in _TEXTS:
        if not isinstance(config.get(key, ""), str | None):
            raise BadRequest(f"{key!r} of an app is text, not {shown(config[key])}.")
    manifest: dict[str, Any] = {"type": "application"}
    manifest |= {key: config[key] for key in _KEPT if config.get(key) is not None}
    if not isinstance(manifest.get("services", []), list):
        raise BadRequest(f"'services' of an app is a list, not {shown(config['services'])}.")
    scale_of(config)
    manifest["tags"] = [*_list(config, "labels"), *_list(config, "flags"), _BIOENGINE]
    if docs := config.get("docs"):
        manifest["documentation"] = docs
    manifest |= {
        "covers": _list(config, "cover"),
        "badges": _list(config, "badge"),
        "authors": _authors(config),
        "attachments": {"files": sorted(attachments)} if attachments else {},
    }
    return manifest


def with_urls(app: App, base_url: str) -> dict[str, Any]:
    """The manifest of an app for a caller who reaches the hub by base_url."""
    url = url_of(app.id, base_url)
    return {**app.manifest, "id": app.id, "source": url, "local_url": url, "public_url": url}


def listed(app: App, base_url: str) -> dict[str, Any]:
    """The same as listings have it, and `rdf.json`."""
    return {**_LISTED, **with_urls(app, base_url)}


def url_of(app_id: str, base_url: str) -> str:
    """The address of an app's page; only those who may enter the workspace see it."""
    return f"{base_url}/apps/{quote(app_id)}/{INDEX}"


def offers(manifest: Mapping[str, Any], service: str) -> bool:
    """Whether an app says that it offers a service of this id."""
    for each in manifest.get("services") or []:
        if each == service or (isinstance(each, dict) and each.get("id") == service):
            return True
    return False


def _list(config: Mapping[str, Any], key: str) -> list[Any]:
    value = config.get(key)
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _authors(config: Mapping[str, Any]) -> list[Any]:
    authors = [*_list(config, "author"), *_list(config, "authors")]
    return [{"name": author} if isinstance(author, str) else author for author in authors]
