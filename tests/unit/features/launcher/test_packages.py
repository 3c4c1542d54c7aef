import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.packages import Packages


@pytest.mark.parametrize(
    "requirement",
    [
        *("numpy", "NumPy>=2", "cow_say[a]", "Cow.Say ; python_version > '3'", "cow-say (>1)"),
        *("imjoy-rpc", "imjoy_rpc==0.5.59", "shortuuid", "msgpack"),
        *("mine-1.0-py3-none-any.whl", "wheels/mine-1.0-py3-none-any.whl", "/assets/a@1/a-1.whl"),
        "https://files.example/x/numpy-2.0-py3-none-any.whl",
    ],
)
def test_what_is_allowed_or_here_may_be_required(requirement: str) -> None:
    Packages("numpy, cow-say", "").check([requirement])


@pytest.mark.parametrize(
    "requirement",
    [
        *("pandas", "numpy2", "numpy @ https://evil.example/a.whl", "", "-e .", "git+https://a/b"),
        *("https://files.example/evil-1.0-py3-none-any.whl", "http://a.example/numpy-2.0.whl"),
        *("//evil.example/evil-1.0.whl", "file:///evil-1.0.whl", "emfs:/evil-1.0.whl"),
        "https://files.example/numpy",
    ],
)
def test_what_is_not_allowed_is_refused_by_its_name(requirement: str) -> None:
    with pytest.raises(BadRequest, match="is no package that apps of this hub may require") as no:
        Packages("numpy", "").check(["numpy", requirement])

    assert requirement in str(no.value)
    assert "there are anyio, fastapi, idna, imjoy-rpc, micropip, msgpack, numpy, pydantic" in str(
        no.value
    )


def test_all_may_be_allowed() -> None:
    Packages("*", "").check(["pandas", "https://files.example/any-1.0-py3-none-any.whl"])


def test_what_a_page_has_is_not_installed_again() -> None:
    assert Packages("*", "").missing(["imjoy_rpc", "pandas", "a-1.whl"]) == ["pandas", "a-1.whl"]


def test_where_others_come_from() -> None:
    assert Packages("", "").indexes == Packages("", "https://a.example").indexes == []
    assert Packages("numpy", "").indexes == ["https://pypi.org/simple"]
    assert Packages("*", "https://a.example").indexes == ["https://a.example"]
