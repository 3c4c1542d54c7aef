import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.plugins import check_source, parse_plugin

NAMED = '<config lang="json">{"name": "My Plugin"}</config>'


def test_what_is_not_said_has_a_default() -> None:
    plugin = parse_plugin(f"{NAMED}<script>a < b && c</script>")

    assert plugin["script"] == "a < b && c"
    assert (plugin["lang"], plugin["tag"], plugin["docs"]) == ("javascript", None, None)
    assert plugin["_id"] == "My_Plugin"
    assert plugin["id"].startswith("My_Plugin_")
    assert (plugin["runnable"], plugin["requirements"]) == (True, [])


def test_the_last_script_of_the_tag_counts_else_the_first() -> None:
    scripts = '<script lang="python">1</script><script tag="b">2</script><script tag="b">3</script>'
    source = '<config lang="json">{"name": "x", "tags": ["a", "b"]}</config>' + scripts

    assert parse_plugin(source)["script"] == "1"
    assert parse_plugin(source)["lang"] == "python"
    assert parse_plugin(source, "b")["script"] == "3"


def test_a_field_may_differ_by_tag() -> None:
    source = '<config lang="json">{"name": "x", "tags": ["a"], "env": {"a": 1, "b": 2}}</config>'

    assert parse_plugin(source)["env"] == 1
    assert parse_plugin(source.replace('"a": 1, ', ""))["env"] is None
    with pytest.raises(BadRequest, match="You must use 'tags' with configurable fields"):
        parse_plugin(source.replace('"tags": ["a"], ', ""))


def test_blocks_are_raw_where_they_hold_code_and_text_elsewhere() -> None:
    blocks = parse_plugin(
        f"{NAMED}<!-- <docs>no</docs> --><window><div a='1'>&amp;</div></window>"
        "<style>a > b {}</style><docs>&lt;b&gt;</docs>"
        "<LINK rel=stylesheet href='a.css'></link><attachment name=\"n\">t</attachment>"
    )

    assert blocks["window"] == [{"attrs": {}, "content": "<div a='1'>&amp;</div>"}]
    assert blocks["style"][0]["content"] == "a > b {}"
    assert blocks["docs"] == "<b>"
    assert blocks["link"][0]["attrs"] == {"rel": "stylesheet", "href": "a.css"}
    assert blocks["attachment"] == [{"attrs": {"name": "n"}, "content": "t"}]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("", "no <config> block"),
        ("<config>{}</config>", 'lang="json" or lang="yaml"'),
        ('<config lang="json">[1]</config>', "an object"),
        ('<config lang="json">{"name": 1}</config>', "has a name"),
        ('<config lang="json">{"name": "x", "tags": "a"}</config>', "a list of texts"),
        ('<config lang="json">' + "[" * 100_000 + "</config>", "no json"),
        ('<config lang="yaml">a: [</config>', "no yaml"),
        ('<config lang="yaml">a: !!python/object:os.system {}</config>', "no yaml"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_said(config: str, reason: str) -> None:
    with pytest.raises(BadRequest, match="^Failed to parse or compile the imjoy plugin") as error:
        parse_plugin(config)
    assert reason in str(error.value)


def test_blocks_that_are_never_closed_cost_little() -> None:
    plugin = parse_plugin(NAMED + "<script>" * 100_000 + "<docs>x</docs>" + "<!--" * 100_000)

    assert (plugin["script"], plugin["docs"]) == ("", "x")


def test_a_source_is_text() -> None:
    assert check_source("x") == "x"
    with pytest.raises(BadRequest):
        check_source(b"x")
