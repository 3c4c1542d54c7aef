"""The parts that descriptions are made of."""

from hypha_cluster.web.openapi.parts import ERRORS, document, in_path, query, responses


def test_every_error_has_a_component() -> None:
    components = document("t", "d", "", {})["components"]["responses"]

    assert set(components) == {f"Error{status}" for status in ERRORS}
    assert responses({"description": "x"}, (404,)) == {
        "200": {"description": "x"},
        "404": {"$ref": "#/components/responses/Error404"},
    }


def test_a_server_without_a_url_is_the_one_that_was_asked() -> None:
    assert document("t", "d", "", {})["servers"] == [{"url": "/"}]


def test_parameters_say_where_they_are() -> None:
    assert in_path("a", "b")["required"] is True
    assert query("a", {}) == {"name": "a", "in": "query", "required": False, "schema": {}}
