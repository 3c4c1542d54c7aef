"""What is installed by the functions of `server-apps`, and what it was before."""

import pytest

from hypha_cluster.errors import BadRequest, NotFound
from tests.unit.features.launcher.rig import URL, Functions, Site

SOURCE, CONFIG = "api.export({});", {"name": "Adder", "type": "window"}


async def test_an_app_is_installed_listed_and_removed(site: Site, functions: Functions) -> None:
    me = site.context()

    manifest = await functions.apps.install(me, SOURCE, config=CONFIG, app_id="adder")

    assert (manifest["id"], manifest["name"]) == ("ann/adder", "Adder")
    assert manifest["public_url"] == f"{URL}/apps/ann/adder/index.html"
    assert [each["id"] for each in await functions.apps.list_apps(me)] == ["ann/adder"]
    made_of = {"source": SOURCE, "config": CONFIG, "template": None}
    assert await functions.apps.get_source(me, "ann/adder") == made_of
    await functions.apps.uninstall(me, "ann/adder")
    assert await functions.apps.list_apps(me) == []
    with pytest.raises(NotFound):
        await functions.apps.uninstall(me, "ann/adder")


async def test_versions_are_listed_and_an_old_one_comes_back(
    site: Site, functions: Functions
) -> None:
    me = site.context()
    await functions.apps.install(me, SOURCE, config=CONFIG, app_id="adder")
    await functions.apps.edit(me, "ann/adder", config={**CONFIG, "name": "Second"})

    back = await functions.apps.rollback(me, "ann/adder")

    listed = await functions.apps.list_versions(me, "ann/adder")
    assert back["name"] == "Adder"
    assert [(each["version"], each["name"]) for each in listed] == [
        (3, "Adder"),
        (2, "Second"),
        (1, "Adder"),
    ]
    with pytest.raises(BadRequest, match="is a number, not 'one'"):
        await functions.apps.rollback(me, "ann/adder", "one")


async def test_a_plugin_file_is_read_and_not_installed(site: Site, functions: Functions) -> None:
    file = '<config lang="json">{"name": "A"}</config><script>1</script>'

    assert (await functions.apps.parse(site.context(), file))["name"] == "A"
    assert await functions.apps.list_apps(site.context()) == []
