"""`hypha-cluster user`: accounts by command, whether a hub runs or not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hypha_cluster.config import IN_MEMORY
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, environment

PASSWORD = "correct horse battery"


def user(*words: str, text: str = "", **settings: str) -> tuple[int, str, str]:
    """Run the command; return its exit code, what it prints, and its complaint."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "hypha_cluster", "user", *words, *flags]
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
        env=environment(),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def data_dir(tmp_path: Path) -> str:
    return str(tmp_path / "data")


def test_users_are_made_listed_and_removed_before_the_hub_runs(data_dir: str) -> None:
    add = ("add", "ann", "--email", "ann@example.org", "--admin", "--password-stdin")
    made = f"They are in a new store; start the hub with --data-dir {data_dir}.\n"
    assert user(*add, text=f"{PASSWORD}\n", data_dir=data_dir) == (
        0,
        f"User ann is there.\n{made}",
        "",
    )

    _, listed, _ = user("list", "--json", data_dir=data_dir)
    assert json.loads(listed) == [{"name": "ann", "email": "ann@example.org", "roles": ["admin"]}]
    assert user("list", data_dir=data_dir)[1] == "ann  ann@example.org  admin\n"

    assert user("remove", "ann", data_dir=data_dir)[0] == 0
    assert f"no users yet in {data_dir};" in user("list", data_dir=data_dir)[1]
    code, _, complaint = user("remove", "ann", data_dir=data_dir)
    assert (code, complaint) == (2, "hypha-cluster: There is no user 'ann'.\n")


@pytest.mark.parametrize(
    "words", [["list"], ["list", "--json"], ["passwd", "ann"], ["remove", "a"]]
)
def test_where_no_hub_was_there_is_nobody_and_no_store_is_made(
    words: list[str], data_dir: str
) -> None:
    code, printed, complaint = user(*words, data_dir=data_dir)

    assert (code, printed) == (2, "")
    assert f"no hub has kept anything in {data_dir}; name its --data-dir" in complaint
    assert not Path(data_dir).exists()


def test_users_of_a_running_hub_are_in_its_redis(
    gateway_factory: GatewayFactory, valkey_url: str, redis_prefix: str
) -> None:
    gateway_factory()
    shared = {"redis_url": valkey_url, "redis_prefix": redis_prefix}

    assert user("add", "ann", "--email", "ann@example.org", **shared)[0] == 0

    assert user("list", **shared)[1] == "ann  ann@example.org\n"
    code, _, complaint = user("add", "ann", "--email", "a@example.org", **shared)
    assert (code, complaint) == (2, "hypha-cluster: There is a user ann already.\n")


def test_the_link_leads_to_the_hub_that_runs(
    gateway_factory: GatewayFactory, valkey_url: str, redis_prefix: str
) -> None:
    url = gateway_factory().url
    shared = {"redis_url": valkey_url, "redis_prefix": redis_prefix}

    _, said, _ = user("add", "ann", "--email", "ann@example.org", **shared)

    assert f"\n{url}/login/invitation?code=" in said


def test_who_gives_no_password_gets_a_link_by_which_the_user_chooses_one(data_dir: str) -> None:
    settings = {"data_dir": data_dir, "public_base_url": "https://hub.example.org/lab"}

    _, said, _ = user("add", "ann", "--email", "ann@example.org", **settings)
    assert "https://hub.example.org/lab/login/invitation?code=" in said

    _, said, _ = user("passwd", "ann", "--password-stdin", text=PASSWORD, **settings)
    assert said == "User ann has a new password.\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ad"], "unknown command user 'ad'; there are add, passwd, list, remove"),
        (["add"], "required: name, --email"),
        (["add", "ann"], "required: --email"),
        (["add", "ann", "--email", "ann"], "'ann' is no e-mail address."),
        (["add", "a b", "--email", "a@b"], "'a b' cannot be a workspace name"),
        (["add", "root", "--email", "a@b"], "'root' cannot be the name of a user"),
        (["list", "--jsn"], "unknown flag '--jsn'"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], complaint: str, data_dir: str) -> None:
    code, printed, said = user(*words, data_dir=data_dir)

    assert (code, printed) == (2, "")
    assert complaint in said
    assert said.count("\n") == 1


def test_a_password_is_never_repeated(data_dir: str) -> None:
    add = ("add", "ann", "--email", "ann@example.org", "--password-stdin")

    for password in ("hush", "aaaaaaaaaa", "x" * 300):
        code, _, said = user(*add, text=f"{password}\n", data_dir=data_dir)
        assert code == 2
        assert "assword" in said
        assert password not in said


def test_help_is_given() -> None:
    for words in ([], ["--help"], ["add", "--help"]):
        code, printed, _ = user(*words)
        assert code == 0
        assert printed.startswith("usage: hypha-cluster user add NAME")


def test_a_store_in_memory_keeps_no_users() -> None:
    code, _, said = user("list", data_dir=IN_MEMORY)

    assert (code, said.count("\n")) == (2, 1)
    assert "keeps nothing" in said
