import pytest

from hypha_cluster.errors import BadRequest, TooLarge
from hypha_cluster.features.launcher.plugins import check_source, parse_plugin
from hypha_cluster.protocol.limits import APP_FILE, APP_RECORD

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


def test_a_field_that_is_empty_differs_by_no_tag() -> None:
    for tags in ("", '"tags": [], ', '"tags": ["a"], '):
        source = f'<config lang="json">{{"name": "x", {tags}"env": {{}}, "icon": ""}}</config>'

        assert (parse_plugin(source)["env"], parse_plugin(source)["icon"]) == ({}, "")


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
        ('<config lang="json">' + "[" * 60_000 + "</config>", "no json"),
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


@pytest.mark.parametrize("opening", ["<config ", "<script a", "<docs\n", "<config a='"])
def test_tags_that_never_end_cost_little(opening: str) -> None:
    source = opening * (APP_FILE // len(opening))  # minutes, if each were read to the end

    with pytest.raises(BadRequest, match="no <config> block"):
        parse_plugin(source)


@pytest.mark.parametrize("lang", ["json", "yaml"])
def test_a_config_has_a_bound(lang: str) -> None:
    long = " " * APP_RECORD

    with pytest.raises(TooLarge, match=f"at most {APP_RECORD} characters"):
        parse_plugin(f'<config lang="{lang}">{long}name: x</config>')


@pytest.mark.parametrize("source", ["x" * (APP_FILE + 1), "ü" * (APP_FILE // 2 + 1)])
def test_a_source_is_no_larger_than_a_file(source: str) -> None:
    with pytest.raises(TooLarge, match=f"has at most {APP_FILE} bytes"):
        check_source(source)


def test_a_source_can_be_written_down() -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        check_source("\ud800")


def test_a_source_is_text() -> None:
    assert check_source("x") == "x"
    with pytest.raises(BadRequest):
        check_source(b"x")
