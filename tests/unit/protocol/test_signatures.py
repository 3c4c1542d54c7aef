"""Signatures that every published client reads, and those at which some lose a whole answer."""

from typing import Final

import pytest

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.signatures import is_readable, parameters

# tests/conformance/test_python_signatures.py has the parsers of the clients read them.
READABLE: Final = (
    "f()",
    "f(a)",
    "f(a, b)",
    "f(name, key=12, context=None)",
    "f(a=0)",
    "f(a=-1)",
    "f(a=1.5)",
    "f(a=-1.5)",
    "f(a=1e-05)",
    "f(a=1.5e+20)",
    "f(a=True, b=False, c=None)",
    "f(a='text')",
    "f(a='')",
    "f(a='two words')",
    "f(a='a/b.c-d_e')",
    "f(a='x(y)')",
    "f(a='\\n')",
    "f(a=[])",
    "f(a=[1, 2])",
    "f(a=[1.5, -2])",
    "f(a: int)",
    "f(a: int, b: str)",
    "f(a: int = 5)",
    "f(a: float = 1e-05, b=2)",
    "f(a: str = 'x', b: bool = True)",
    "f(a: Optional[str] = None)",
    "f(a: list[int])",
    "f(a: Dict[str, int], b)",
    "f(a: Union[int, str, None] = 3, b=[1, 2])",
    "f(a: list = [1, 2])",
    "f(*args)",
    "f(**kwargs)",
    "f(*args, **kwargs)",
    "f(a, b=1, *args, **kwargs)",
    "f(a: int, **kwargs)",
    "f() -> None",
    "f(a) -> int",
    "f(a: int = 1) -> str",
    "f(a, *args) -> Dict[str, int]",
    "lambda(name)",
    "größe(länge)",
)
UNREADABLE: Final = (
    "f",
    "",
    "f(",
    "f)",
    "(a)",
    "f (a)",
    "f(a={})",
    "f(a={'x': 1})",
    "f(a=())",
    "f(a=(1, 2))",
    "f(*, a)",
    "f(a, *, b=1)",
    "f(a, /)",
    "f(a, /, b)",
    "f(a=inf)",
    "f(a=nan)",
    "f(a=-inf)",
    "f(a='x, y')",
    "f(a='x: y')",
    "f(a='x=y')",
    "f(a='x -> y')",
    "f(a='x>y')",
    "f(a='[')",
    "f(a=']', b=1)",
    'f(a="it\'s")',
    "f(a='\\x1b')",
    "f(a='x\ny')",
    "f(a=b'x')",
    "f(a=<object object at 0x7f>)",
    "f(a=007)",
    "f(a=['x'])",
    "f(a=[[1]])",
    "f(a: Optional[Dict[str, int]])",
    "f(a: numpy.ndarray)",
    "f(a: 'int')",
    "f(a) -> ",
    "f(a) -> int -> str",
    "f(a) -> Callable[[int], str]",
    "f(*args, a)",
    "f(**kwargs, a)",
    "f(**kwargs, *args)",
    "f(*a, *b)",
    "f(a, a)",
    "f(1a)",
    "f(class)",
    "f(None)",
    "f(a,b)",
    "f(a, )",
    "f(a)\n",
    "f(a=" + "9" * 5_000 + ")",
    "f(" + ", ".join(f"a{n}" for n in range(1_000)) + ")",
    None,
    5,
    ["f(a)"],
)


@pytest.mark.parametrize("signature", READABLE)
def test_what_every_release_reads_is_passed_on(signature: str) -> None:
    assert is_readable(signature)
    reference = {**rpc.reference("c", "services.s.f"), "_rsig": signature}
    assert rpc.relayed(reference, "home")["_rsig"] == signature


@pytest.mark.parametrize("signature", UNREADABLE, ids=str)
def test_what_some_release_cannot_read_is_left_out(signature: object) -> None:
    assert not is_readable(signature)
    reference = {**rpc.reference("c", "services.s.f"), "_rsig": signature}
    assert "_rsig" not in rpc.relayed(reference, "home")


def test_parameters_are_told_with_what_is_written_of_them() -> None:
    found = parameters(
        "f(a, b: int = 5, c: Dict[str, int] = [1, 2], d='x', *args, **kwargs) -> str"
    )

    assert found is not None
    assert [(each.name, each.stars, each.type, each.value()) for each in found] == [
        ("a", "", "", None),
        ("b", "", "int", 5),
        ("c", "", "Dict[str, int]", [1, 2]),
        ("d", "", "", "x"),
        ("args", "*", "", None),
        ("kwargs", "**", "", None),
    ]
    assert [each.default is None for each in found] == [True, False, False, False, True, True]
    assert parameters("f()") == []
    assert parameters("f(a={})") is None
