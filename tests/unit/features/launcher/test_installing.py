"""What becomes of a source, a config and attachments: an app, or a sentence that says why not."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, Conflict, TooLarge
from hypha_cluster.features.launcher import installing
from hypha_cluster.features.launcher.identifiers import multihash
from hypha_cluster.features.launcher.installing import Place, Recipe
from hypha_cluster.protocol.limits import APP_FILE, APP_FILES, APP_RECORD
from tests.unit.features.launcher.rig import WINDOW, Site

PAGE = "<!doctype html><title>Mine</title><p>Hello"
WORKER = {"name": "W", "type": "web-worker"}
NO_BASE64 = {"name": "a", "source": "no base64!", "encoding": "base64"}
HERE = Place("ann", "ann", "here")


async def test_a_source_without_an_id_is_known_by_its_hash(site: Site) -> None:
    app = await site.installer.install(Place("ann", "ann"), WINDOW)
    again = await site.installer.install(Place("ann", "ann"), WINDOW)

    assert (app.key, app.name, app.owner) == (multihash(WINDOW.source.encode()), "Adder", "ann")
    assert again.key == app.key
    assert len(await site.apps.of_workspace("ann")) == 1


async def test_a_hash_that_is_not_the_sources_is_refused(site: Site) -> None:
    with pytest.raises(BadRequest, match="verification failed"):
        await site.installer.install(HERE, WINDOW, source_hash="Qmother")

    good = multihash(WINDOW.source.encode())
    assert (await site.installer.install(HERE, WINDOW, source_hash=good)).key == "here"


async def test_a_place_is_taken_until_it_is_said_to_be_written_over(site: Site) -> None:
    await site.install("here")

    with pytest.raises(Conflict, match="There is an app 'here' already"):
        await site.installer.install(HERE, WINDOW)
    over = await site.installer.install(HERE, Recipe("1;", WORKER), overwrite=True)

    assert (over.version, over.name) == (2, "W")


async def test_a_page_is_kept_as_it_is(site: Site) -> None:
    app = await site.installer.install(HERE, Recipe(PAGE))

    assert (app.name, await site.apps.content(app, "index.html")) == ("Mine", PAGE.encode())


async def test_code_is_put_into_the_page_of_its_type(site: Site) -> None:
    app = await site.installer.install(HERE, Recipe("mark(1)", WORKER))

    page = await site.apps.content(app, "index.html")
    assert b"mark(1)" in page
    assert b"<html" in page.lower()


async def test_attachments_are_files_beside_the_page(site: Site) -> None:
    given = [
        {"name": "a.txt", "source": "text"},
        {"name": "b.bin", "source": b"\x00\xff"},
        {"name": "c.bin", "source": {"_rtype": "typedarray", "_rvalue": b"\x01"}},
        {"name": "d.bin", "source": "AP8=", "encoding": "base64"},
    ]
    app = await site.installer.install(HERE, WINDOW._replace(attachments=given))

    assert app.manifest["attachments"] == {"files": ["a.txt", "b.bin", "c.bin", "d.bin"]}
    contents = [await site.apps.content(app, name) for name in app.files if name != "index.html"]
    assert contents == [b"text", b"\x00\xff", b"\x01", b"\x00\xff"]


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (WINDOW._replace(config="window"), "'config' of an app is a dict"),
        (WINDOW._replace(config={"name": "x"}), "has a type, such as window"),
        (WINDOW._replace(config={"type": "cow"}), "cow"),
        (WINDOW._replace(template="imjoy"), "Config should not be provided"),
        (WINDOW._replace(attachments="a.txt"), "list of {name, source}"),
        (WINDOW._replace(attachments=[{"name": "index.html", "source": ""}]), "Two files"),
        (WINDOW._replace(attachments=[{"name": "a", "source": 5}]), "text or bytes"),
        (WINDOW._replace(attachments=[NO_BASE64]), "'source' of the attachment 'a' is no base64"),
        (WINDOW._replace(attachments=[NO_BASE64 | {"encoding": "hex"}]), "'encoding' of the"),
        (WINDOW._replace(attachments=[NO_BASE64 | {"source": b"AA=="}]), "'encoding' of the"),
        (WINDOW._replace(attachments=[{"name": "../a", "source": ""}]), "../a"),
        (WINDOW._replace(config={**WORKER, "liveness_probe": 5}), "'liveness_probe' of an app"),
        (Recipe(5), "source"),
    ],
)
async def test_what_is_wrong_with_it_is_said_and_nothing_is_kept(
    site: Site, recipe: Recipe, says: str
) -> None:
    with pytest.raises(BadRequest, match=says):
        await site.installer.install(HERE, recipe)

    assert await site.apps.of_workspace("ann") == []


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (WINDOW._replace(attachments=[{"name": str(n)} for n in range(APP_FILES + 1)]), "at most"),
        (WINDOW._replace(attachments=[{"name": "a", "source": bytes(APP_FILE + 1)}]), "a file of"),
        (WINDOW._replace(config={**WORKER, "description": "d" * APP_RECORD}), "The manifest of"),
    ],
)
async def test_what_is_too_large_is_not_kept(site: Site, recipe: Recipe, says: str) -> None:
    with pytest.raises(TooLarge, match=f"(?i){says}"):
        await site.installer.install(HERE, recipe)

    assert await site.apps.of_workspace("ann") == []


async def test_an_edit_changes_what_it_names_and_keeps_the_rest(site: Site) -> None:
    attached = WINDOW._replace(attachments=[{"name": "a.txt", "source": "text"}])
    app = await site.installer.install(HERE, attached)

    edited = await site.installer.edit(app, "bob", {"source": "mark(2)", "config": None})

    assert (edited.version, edited.name, edited.owner) == (2, "Adder", "bob")
    assert b"mark(2)" in await site.apps.content(edited, "index.html")
    assert await site.apps.content(edited, "a.txt") == b"text"
    without = await site.installer.edit(edited, "bob", {"attachments": []})
    assert [*without.files] == ["index.html"]


async def test_an_edit_of_what_has_changed_meanwhile_is_made_on_top_of_it(site: Site) -> None:
    app = await site.install("here")
    await site.installer.edit(app, "ann", {"config": {"name": "Theirs", "type": "window"}})

    mine = await site.installer.edit(app, "ann", {"source": "mark(3)"})

    assert (mine.version, mine.name) == (3, "Theirs")


async def test_who_is_overtaken_again_and_again_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await site.install("here")

    async def overtaken(*_: Any, **__: Any) -> Any:
        raise Conflict("Somebody else was faster.")

    monkeypatch.setattr(site.apps, "install", overtaken)
    with pytest.raises(Conflict, match="Somebody else was faster"):
        await site.installer.edit(app, "ann", {"source": "1"})


async def test_what_is_at_an_address_is_fetched_and_has_to_be_text(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"https://a.example/x.js": b"mark(4)", "https://a.example/y.js": b"\xff"}

    async def fetch(address: str, limit: int) -> bytes:
        assert limit == APP_FILE
        return found[address]

    monkeypatch.setattr(installing, "fetch", fetch)
    app = await site.installer.install(HERE, Recipe("https://a.example/x.js\n", WORKER))
    assert b"mark(4)" in await site.apps.content(app, "index.html")
    with pytest.raises(BadRequest, match="is no text"):
        await site.installer.edit(app, "ann", {"source": "https://a.example/y.js"})


async def test_a_user_has_one_turn_for_all_installs(site: Site) -> None:
    assert site.installer.turn("ann") is site.installer.turn("ann")
    assert site.installer.turn("ann") is not site.installer.turn("bob")
