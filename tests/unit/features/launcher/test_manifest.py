import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.manifest import manifest_of, offers, url_of, with_urls
from hypha_cluster.registry.apps import App


def test_only_what_is_said_is_in_a_manifest() -> None:
    config = {"name": "x", "version": "1", "docs": "d", "cover": ["a"], "authors": [{"name": "y"}]}

    manifest = manifest_of({**config, "type": "window", "secret": 1}, [])

    assert manifest == {
        "type": "application",
        "name": "x",
        "version": "1",
        "tags": ["bioengine"],
        "documentation": "d",
        "covers": ["a"],
        "badges": [],
        "authors": [{"name": "y"}],
        "attachments": {},
    }
    assert manifest_of(config, ["b", "a"])["attachments"] == {"files": ["a", "b"]}


@pytest.mark.parametrize("config", [{"name": 1}, {"version": 0.1}, {"services": "s"}])
def test_a_field_of_another_type_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="of an app is"):
        manifest_of(config, [])


def test_an_app_offers_what_its_manifest_names() -> None:
    manifest = {"services": ["a", {"id": "b"}, 5]}

    assert offers(manifest, "a")
    assert offers(manifest, "b")
    assert not offers(manifest, "c")
    assert not offers({}, "a")


def test_where_an_app_is_depends_on_how_the_hub_is_reached() -> None:
    app = App("ws", "my app", {"name": "x"}, {}, "ann", 1, {})

    assert url_of(app.id, "https://h/b") == "https://h/b/apps/ws/my%20app/index.html"
    assert with_urls(app, "https://h")["public_url"] == url_of(app.id, "https://h")
    assert App.from_json("ws", "my app", app.to_json().encode()) == app
