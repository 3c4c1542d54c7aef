import json
import re
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher import rendering
from hypha_cluster.features.launcher.rendering import Code, render, template_of


def held(page: str) -> Any:
    """Return what the page holds as JSON."""
    found = re.search(r'id="hypha-app">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("kind", ["window", "iframe", "web-worker", "web-worker-plugin.html"])
def test_code_comes_through_unchanged(kind: str) -> None:
    script = "const a = `</script>${1}\\n` // <!-- \u2028 ' \" &"

    page = render(Code(script, {"name": "</title>", "type": kind}), template_of(kind), "/hypha")

    assert held(page)["script"] == script
    assert "<title>&lt;/title&gt;</title>" in page
    assert re.findall(r'src="([^"]*)"', page) == [held(page)["client"]]
    assert held(page)["client"].startswith("/hypha/assets/imjoy-rpc@")


def test_a_page_is_told_of_its_config_what_it_may_know() -> None:
    config = {"name": "x", "type": "window", "env": "e", "owner": "ann"}

    assert held(render(Code("", config), "window.html", ""))["config"] == {
        "name": "x",
        "type": "window",
        "env": "e",
    }


def test_the_blocks_of_a_plugin_are_rendered() -> None:
    block = {"attrs": {"href": "a.css"}, "content": "<b>x</b>"}
    config = {"name": "x", "window": [block], "style": [block], "link": [block]}

    page = render(Code("", config), "window.html", "")

    assert page.count("<b>x</b>") == 2
    assert '<link rel="stylesheet" href="a.css">' in page


@pytest.mark.parametrize("name", ["login_template.html", "../base", "native-python", ""])
def test_there_are_no_other_templates(name: str) -> None:
    with pytest.raises(BadRequest, match="There is no template for apps of the type"):
        template_of(name)


@pytest.mark.parametrize("requirements", [5, [5], {"a": 1}])
def test_requirements_are_texts(requirements: object) -> None:
    with pytest.raises(BadRequest, match="'requirements' of an app"):
        render(Code("", {"name": "x", "requirements": requirements}), "window.html", "")


def test_requirements_of_python_are_addresses_or_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "is_complete", lambda _: True)
    given = ["fastapi==0.70.0", "mine-1.0-py3-none-any.whl", "https://x/a.whl", "starlette"]
    code = Code("", {"name": "x", "requirements": given})

    about = held(render(code, "web-python.html", "/hub"))

    assert about["named"] == ["fastapi==0.70.0", "starlette"]
    assert about["requirements"] == ["mine-1.0-py3-none-any.whl", "https://x/a.whl"]
    assert about["index"] == "/hub/assets/python/{package_name}"
    assert about["micropip"].startswith("/hub/assets/micropip@")


def test_requirements_by_name_need_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "is_complete", lambda _: False)

    for requirements, is_refused in ((["fastapi"], True), (["a.whl"], False), ([], False)):
        code = Code("", {"name": "x", "requirements": requirements})
        if is_refused:
            with pytest.raises(BadRequest, match="hypha-cluster assets --get micropip"):
                render(code, "web-python.html", "")
        else:
            render(code, "web-python.html", "")
