import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.identifiers import (
    check_file_name,
    check_key,
    multihash,
    split_app_id,
)


def test_a_multihash_is_what_other_programs_make_of_the_same_source() -> None:
    assert multihash(b"hello") == "QmRN6wdp1S2A5EtjW9A3M1vKSBuQQGcgvuhoMUoEz4iiT5"
    assert multihash(b"") == "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"


@pytest.mark.parametrize("app_id", ["a", "a/b/c", "/b", "a/", "", 5, None])
def test_an_app_id_has_a_workspace_and_a_key(app_id: object) -> None:
    with pytest.raises(BadRequest, match="the correct format is `user-id/app-id`"):
        split_app_id(app_id)
    assert split_app_id("ws/Qm") == ("ws", "Qm")


@pytest.mark.parametrize("name", ["a", "a.txt", "data/a b.txt", "ü/…", ".well-known/x", "a..b"])
def test_names_of_files_may_have_folders(name: str) -> None:
    assert check_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a%2fb", "a?b", "a#b", "a\0"),
        *("~a/b", "x" * 257, None, 5, b"a"),
    ],
)
def test_names_of_files_lead_nowhere_else(name: object) -> None:
    with pytest.raises(BadRequest):
        check_file_name(name)


@pytest.mark.parametrize("key", ["~a", "a/b", "", 5, "a:b"])
def test_a_key_of_ones_own_is_the_name_of_a_service(key: object) -> None:
    with pytest.raises(BadRequest):
        check_key(key)
    assert check_key("my app") == "my app"
