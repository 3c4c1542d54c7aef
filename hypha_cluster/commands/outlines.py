"""Commands that read their own words, as an app knows them: to complete their flags.

Nothing here is ever run; `main.py` has what runs.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hypha_cluster.settings import Setting


def add_outlines(app: App, settings: Iterable[Setting]) -> None:
    """Let the app know `serve`, `runner` and `user` with all that may follow them."""
    flags = [_parameter(about) for about in settings]
    app.command(_outline(flags), name="serve")
    slots = Annotated[int, Parameter(name="--slots")]
    app.command(_outline([_keyword("slots", slots, 8), *flags]), name="runner")
    user = App(name="user")
    for name, parameters in _OF_USERS.items():
        user.command(_outline([*parameters, *flags]), name=name)
    app.command(user)


def _outline(parameters: Iterable[inspect.Parameter]) -> Callable[..., None]:
    def outline(**_: Any) -> None:
        raise AssertionError("an outline is not run")

    signature = inspect.Signature(list(parameters))
    outline.__signature__ = signature  # type: ignore[attr-defined]  # what cyclopts reads
    outline.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return outline


def _parameter(about: Setting) -> inspect.Parameter:
    is_switch = isinstance(about.default, bool)
    kind: Any = Literal[about.choices] if about.choices else type(about.default)
    negative = f"--no-{about.flag[2:]}" if is_switch else ()
    more = Parameter(name=about.flags, help=about.help, negative=negative)
    return _keyword(about.name, Annotated[kind, more], about.default)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _switch(name: str, text: str) -> inspect.Parameter:
    return _keyword(name, Annotated[bool, Parameter(help=text, negative=())], False)


_EMAIL = _keyword("email", Annotated[str, Parameter(help="E-mail address.")], "")
_ADMIN = _switch("admin", "May do everything.")
_STDIN = _switch("password_stdin", "Read the password from standard input.")
_JSON = _switch("json", "Print for programs.")
_OF_USERS = {
    "add": [_EMAIL, _ADMIN, _STDIN, _JSON],
    "passwd": [_STDIN, _JSON],
    "list": [_JSON],
    "remove": [_JSON],
}
