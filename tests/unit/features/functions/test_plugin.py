"""What a plugin file says, and what is wrong with one that says nothing."""

from email.message import Message
from urllib.request import Request

import pytest

from hypha_cluster.features.functions.plugin import Exit, Failed, OnlyHttps, read_plugin

HTML = '<config lang="{lang}">\n{config}\n</config>\n<script lang="python">\nprint(1)\n</script>'


def test_a_file_of_python_is_called_by_its_name() -> None:
    assert read_plugin(f"/lab/{'x' * 40}.py", "pass") == ({"name": "x" * 32}, "pass")
    assert read_plugin("https://lab.example/a.py?token=1", "pass")[0] == {"name": "a"}


@pytest.mark.parametrize(
    ("lang", "config"),
    [("json", '{"name": "adder", "tags": []}'), ("yaml", "name: adder\ntags: []")],
)
def test_a_plugin_file_has_a_config_and_a_script(lang: str, config: str) -> None:
    read = read_plugin("a.imjoy.html", HTML.format(lang=lang, config=config))

    assert read == ({"name": "adder", "tags": []}, "print(1)\n")


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("a.txt", "", "a plugin is a .py or .imjoy.html file, unlike a.txt"),
        ("a.imjoy.html", "", "a.imjoy.html has no <config>"),
        ("a.imjoy.html", "<config>{}</config>", "a.imjoy.html has no <script>"),
        ("a.imjoy.html", HTML.format(lang="json", config="{"), "its <config> cannot be read"),
        ("a.imjoy.html", HTML.format(lang="json", config="[]"), "its <config> is no map"),
    ],
)
def test_what_is_no_plugin_is_told(file: str, content: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason) as failed:
        read_plugin(file, content)

    assert failed.value.code is Exit.BAD_FILE


def test_a_file_is_not_fetched_where_anybody_on_the_way_could_write_it() -> None:
    asked = Request("https://lab.example/a.py")

    onward = OnlyHttps().redirect_request(asked, None, 302, "Found", Message(), "https://b.org/a")
    assert onward is not None
    assert onward.full_url == "https://b.org/a"
    for address in ("http://b.org/a", "file:///etc/passwd", "ftp://b.org/a"):
        with pytest.raises(Failed, match="only https"):
            OnlyHttps().redirect_request(asked, None, 302, "Found", Message(), address)
