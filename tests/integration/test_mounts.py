"""Directories of the operator's are served beside the hub, and nothing around them."""

import gzip
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hypha_cluster.app import create_app
from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.features.mounts import Mounts, MountSettings
from hypha_cluster.features.webapps.webapps import WebApps
from tests.gateways import SECOND, Gateway, command, environment
from tests.http import ask, request
from tests.in_process import served

PAGE = b"<p>The tools of the lab</p>"
TEXT = b"0123456789"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory with a page, files, a hidden file, and a link that leads out."""
    directory = tmp_path / "tools"
    (directory / "services").mkdir(parents=True)
    (directory / "empty").mkdir()
    (directory / "index.html").write_bytes(PAGE)
    (directory / "a.txt").write_bytes(TEXT)
    (directory / "services" / "info").write_bytes(TEXT)
    (directory / ".secret").write_bytes(b"secret")
    (directory / "large.js").write_bytes(b"// as it is")
    (directory / "large.js.gz").write_bytes(gzip.compress(b"// compressed beforehand"))
    (tmp_path / "outside.txt").write_bytes(b"secret")
    (directory / "link.txt").symlink_to(tmp_path / "outside.txt")
    return directory


@pytest.fixture(params=["", "/hypha"])
async def base(
    request: pytest.FixtureRequest, valkey_url: str, redis_prefix: str, tools: Path
) -> AsyncIterator[str]:
    config = Config(
        port=0, base_path=request.param, redis_url=valkey_url, redis_prefix=redis_prefix
    )
    settings = MountSettings(f"/tools:{tools}")
    async with served(config, [(WebApps, None), (Mounts, settings)]) as (url, _):
        yield f"{url}{request.param}/tools"


@pytest.mark.parametrize("path", ["", "/", "/index.html"])
async def test_a_directory_has_a_page(base: str, path: str) -> None:
    answer = await ask(f"{base}{path}")

    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_its_files_are_served(base: str) -> None:
    whole = await ask(f"{base}/a.txt")
    part = await ask(f"{base}/a.txt", Range="bytes=2-4", Accept_Encoding="gzip")
    again = await ask(f"{base}/a.txt", If_None_Match=whole.headers["etag"])
    below = await ask(f"{base}/services/info")

    assert whole.body == below.body == TEXT
    assert (part.status, part.body) == (206, b"234")
    assert (again.status, again.body) == (304, b"")


async def test_who_takes_gzip_gets_what_is_compressed_beforehand(base: str) -> None:
    plain = await ask(f"{base}/large.js")
    packed = await ask(f"{base}/large.js", Accept_Encoding="gzip")

    assert plain.body == b"// as it is"
    assert gzip.decompress(packed.body) == b"// compressed beforehand"
    assert packed.headers["content-type"] == plain.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    ["/missing", "/empty", "/empty/", "/.secret", "/link.txt", "/../outside.txt"]
    + ["/%2e%2e/outside.txt", "/..%2foutside.txt", "//etc/passwd", "/a.txt%00"],
)
async def test_nothing_else_is_served(base: str, path: str) -> None:
    answer = await ask(f"{base}{path}")

    assert answer.status == 404
    assert b"secret" not in answer.body


async def test_nothing_is_changed_there(base: str) -> None:
    assert (await ask(f"{base}/a.txt", method="DELETE")).status == 405


@pytest.mark.parametrize("path", ["/health", "/public", "/ws/pages"])
async def test_no_directory_hides_what_is_the_hubs(
    path: str, tmp_path: Path, valkey_url: str, redis_prefix: str
) -> None:
    settings = MountSettings(f"{path}:{tmp_path}")
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    app = create_app(config, [(Mounts, settings)])
    with pytest.raises(StartupError, match="is the hub's own"):
        async with app.router.lifespan_context(app):
            pytest.fail("it has started")


# As operators start it.


def test_a_gateway_serves_them_as_it_was_told(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"secret")
    with Gateway(tmp_path / "log", static_mounts=f"/tools:{tools}") as gateway:
        base = f"{gateway.url}/tools"
        text = request(f"{base}/a.txt")
        answers = {
            "/tools": request(base),
            "/tools/": request(f"{base}/"),
            "range": request(f"{base}/a.txt", Range="bytes=0-3"),
            "unchanged": request(f"{base}/a.txt", If_None_Match=text.headers["etag"]),
            "since": request(f"{base}/a.txt", If_Modified_Since=text.headers["last-modified"]),
            "above": request(f"{base}/../x"),
            "hidden above": request(f"{base}/%2e%2e/x"),
            "no index": request(f"{base}/empty"),
            "no index, slash": request(f"{base}/empty/"),
            "hub": request(f"{gateway.url}/health/live"),
        }

    assert (text.status, text.body) == (200, TEXT)
    assert {name: answer.status for name, answer in answers.items()} == {
        **dict.fromkeys(("/tools", "/tools/", "hub"), 200),
        "range": 206,
        **dict.fromkeys(("unchanged", "since"), 304),
        **dict.fromkeys(("above", "hidden above", "no index", "no index, slash"), 404),
    }
    assert answers["/tools"].body == answers["/tools/"].body == PAGE
    assert answers["range"].body == TEXT[:4]


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("/static:{}", "/static is the hub's own"),
        ("/health:{}", "/health is the hub's own"),
        ("/tools:{}/missing", "is no directory"),
        ("/tools", "must be like /path:directory"),
        ("/tools:{} /tools:{}", "/tools is there twice"),
    ],
)
def test_one_that_cannot_be_ends_the_start(mount: str, reason: str, tmp_path: Path) -> None:
    words = command("serve", host="127.0.0.1", port=0, data_dir=":memory:")
    mounts = mount.replace("{}", str(tmp_path)).split()

    ended = subprocess.run(
        [*words, "--static-mounts", *mounts],
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
        env=environment(),
    )

    assert ended.returncode == 2
    assert reason in ended.stderr.splitlines()[-1]
    assert " is up." not in ended.stderr
