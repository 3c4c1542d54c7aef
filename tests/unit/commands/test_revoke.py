"""`hypha-cluster revoke` notes what holds no longer, for all gateways."""

import io
import json
import time
from pathlib import Path

import pytest

from hypha_cluster.commands import revoke as module
from hypha_cluster.commands.revoke import revoke
from hypha_cluster.errors import HubError, StartupError
from hypha_cluster.identity.revocation import FOR_GOOD
from hypha_cluster.identity.tokens import Tokens, listed_id
from tests.fake_redis import FakeRedis
from tests.token_rig import JOHN, SETTINGS, token_of
from tests.unit.commands.conftest import Opens

SHARED = "what the cluster has made up"


@pytest.fixture(autouse=True)
def _cluster(fake: FakeRedis, opens: Opens) -> None:
    opens(module)
    fake.answers |= {"get": SHARED.encode(), "set": None}


def noted(fake: FakeRedis) -> tuple[str, float]:
    """What was revoked, and before when it was made."""
    ((_, name, value, *_),) = fake.words("revoke")
    return name, json.loads(value)[0]


@pytest.mark.parametrize("kind", ["user", "workspace"])
def test_all_that_was_made_so_far_ends(
    fake: FakeRedis, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    revoke(**{kind: "ann"})  # type: ignore[arg-type]  # both are texts

    name, before = noted(fake)
    assert name == f"{kind}:ann"
    assert before == pytest.approx(time.time(), abs=60)
    assert f"The tokens of {kind} ann that were made before" in capsys.readouterr().out


def test_what_is_newer_is_spared(fake: FakeRedis) -> None:
    revoke(user="ann", older_than="30d")

    assert noted(fake)[1] == pytest.approx(time.time() - 30 * 86_400, abs=60)


@pytest.mark.parametrize("is_typed", [False, True])
def test_one_token_ends_by_itself(
    fake: FakeRedis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_typed: bool,
) -> None:
    token_id = listed_id()
    token = Tokens(SHARED, SETTINGS).issue(JOHN, token_id=token_id)
    (tmp_path / "token").write_text(f"{token}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))

    revoke(token_file=Path("-") if is_typed else tmp_path / "token")

    assert noted(fake) == (f"token:{token_id}", FOR_GOOD)
    assert fake.words("note_token") == [("p:tokens:john", "", "", token_id)]
    said = capsys.readouterr().out
    assert said == "A token of user john has ended.\n"


def test_a_token_of_another_hub_is_none(fake: FakeRedis, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token_of(JOHN))

    with pytest.raises(HubError, match="Invalid token"):
        revoke(token_file=tmp_path / "token")

    assert "revoke" not in fake.names


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "name one of --user, --workspace and --token-file"),
        ({"user": "a", "workspace": "b"}, "name one of"),
        ({"token_file": Path("x"), "older_than": "1d"}, "--older-than is for"),
        ({"user": "a", "older_than": "soon"}, "--older-than must be a time such as 15m"),
    ],
    ids=str,
)
def test_a_mistake_is_named(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(StartupError, match=complaint):
        revoke(**given)  # type: ignore[arg-type]  # each case has what it needs


def test_programs_get_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    revoke(user="ann", json=True)

    done = json.loads(capsys.readouterr().out)
    assert (done["kind"], done["name"]) == ("user", "ann")
    assert done["before"] == pytest.approx(time.time(), abs=60)
