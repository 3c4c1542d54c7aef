"""What lies in deploy/ and beside docker-compose.yml agrees with the settings of the hub."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.hub_settings import HubSettings, all_settings
from hypha_cluster.settings import FILE, MIB

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

# What a gateway in a container is told by the image and by docker-compose.yml, not by .env.
GIVEN = {"host", "port", "certfile", "keyfile", "data_dir", "node_name", "reset_redis"}
SECRET = {"redis_url", "jwt_secret"}


def test_all_that_may_be_set_can_be_set_in_dot_env() -> None:
    passed_on = set(re.findall(r"^ +(HYPHA_\w+):$", COMPOSE, re.MULTILINE))

    free = {about for about in all_settings(BUILT_IN) if about.name not in GIVEN | SECRET}
    assert passed_on == {about.env for about in free}


def test_secrets_come_from_files() -> None:
    files = set(re.findall(r"^ +(HYPHA_\w+): /run/hypha/", COMPOSE, re.MULTILINE))

    assert files == {about.env + FILE for about in all_settings(BUILT_IN) if about.name in SECRET}


def test_the_example_has_the_defaults() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    environ = dict(re.findall(r"^#(HYPHA_\w+)=(.*)$", example, re.MULTILINE))
    own = dict(re.findall(r"^#(?!HYPHA_)(\w+)=(.*)$", example, re.MULTILINE))

    assert environ
    assert repr(HubSettings.load([], environ).node) == repr(Config())
    used = dict(re.findall(r"\$\{(\w+):-(.*?)\}", COMPOSE))
    assert {**used, "JWT_SECRET": ""} == own


def test_a_container_is_given_the_time_that_a_drain_takes() -> None:
    grace = re.search(r"stop_grace_period: \$\{STOP_GRACE_PERIOD:-(\d+)s\}", COMPOSE)

    assert grace
    assert int(grace[1]) >= Config().drain_delay + Config().drain_time + 10


def test_systemd_starts_the_hub_as_it_can_be_started() -> None:
    unit = (ROOT / "deploy" / "hypha-cluster.service").read_text(encoding="utf-8")
    flags = re.search(r"^ExecStart=\S+/hypha-cluster serve (.*)$", unit, re.MULTILINE)
    environ = dict(re.findall(r"^Environment=(HYPHA_\w+)=(.*)$", unit, re.MULTILINE))
    patience = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)

    assert flags
    assert patience
    config = HubSettings.load(flags[1].split(), environ).node
    assert config.workers > 1, "SIGHUP replaces workers only"
    assert int(patience[1]) >= config.drain_delay + config.drain_time + 20
    home = re.search(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    assert home
    assert environ["HYPHA_DATA_DIR"] == f"/var/lib/{home[1]}"


def test_nginx_lets_through_what_the_hub_takes() -> None:
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    body = re.search(r"client_max_body_size (\d+)m;", text)
    silence = re.findall(r"proxy_read_timeout (\d+)s;", text)

    assert body
    assert int(body[1]) * MIB == Config().max_message_size
    assert min(map(int, silence)) >= 3 * Config().ping_interval


def test_a_runner_in_a_container_is_told_what_is_a_runners() -> None:
    runner = COMPOSE[
        COMPOSE.index("  runner:\n") : COMPOSE.index("  # docker-compose --profile obs")
    ]
    told = set(re.findall(r"^ +(HYPHA_APP_\w+):", runner, re.MULTILINE))
    patience = re.search(r"RUNNER_GRACE_PERIOD:-(\d+)s", runner)

    gateways = {
        *("HYPHA_APP_RUNNERS", "HYPHA_APP_PACKAGES", "HYPHA_APP_PACKAGE_INDEX"),
        "HYPHA_APP_BROWSER",  # its browser is that of the image
    }
    known = {about.env for about in all_settings(BUILT_IN) if about.name.startswith("app_")}
    assert told == known - gateways
    assert "jwt" not in runner
    assert patience
    assert int(patience[1]) >= LauncherSettings().app_drain_time + 20


def made_secrets(home: Path, **environ: str) -> tuple[dict[str, str], dict[str, str]]:
    """What deploy/make-secrets.sh leaves in both volumes, by the names of the files."""
    folders = [home / "secrets", home / "runner-secrets"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    script = ROOT / "deploy" / "make-secrets.sh"
    environ |= {"PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", script, *folders], env=environ, check=True)
    hub, runners = ({f.name: f.read_text().strip() for f in each.iterdir()} for each in folders)
    return hub, runners


def test_a_runner_in_a_container_has_no_secret_but_its_way_to_redis(tmp_path: Path) -> None:
    """It runs what strangers have written, and its browser has no sandbox there."""
    services = yaml.safe_load(COMPOSE)["services"]
    hub, runners = made_secrets(tmp_path)

    assert services["runner"]["volumes"] == ["runner-secrets:/run/hypha:ro"]
    assert services["secrets"]["volumes"][1:] == [
        "secrets:/run/hypha",
        "runner-secrets:/run/hypha-runner",
    ]
    assert [*runners] == ["redis_url"]
    url = urlsplit(runners["redis_url"])
    assert (url.username, url.password) == ("runner", hub["runner_password"])
    for name in ("jwt_secret", "redis_password", "grafana_password"):
        assert hub[name] not in runners["redis_url"]
    assert len({*hub.values()}) == len(hub)
    assert made_secrets(tmp_path) == (hub, runners), "it changes nothing when it is run again"


@pytest.mark.parametrize("prefix", ["hypha", "lab-2"])
def test_the_redis_user_of_runners_may_do_what_the_docs_say(tmp_path: Path, prefix: str) -> None:
    docs = (ROOT / "docs" / "redis.md").read_text(encoding="utf-8")
    (rule,) = re.findall(r"^ACL SETUSER runner on >other (.*)$", docs, re.MULTILINE)
    given = {} if prefix == "hypha" else {"HYPHA_REDIS_PREFIX": prefix}

    hub, _ = made_secrets(tmp_path, **given)

    user = f"user runner on >{hub['runner_password']} {rule.replace('hypha:', f'{prefix}:')}"
    assert hub["redis.conf"].splitlines() == [f"requirepass {hub['redis_password']}", user]


def test_the_image_of_a_runner_gets_what_drives_its_browser() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile.runner").read_text(encoding="utf-8")
    program = re.search(r"python3 -c '([^']+)'", dockerfile)
    assert program
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    said = subprocess.run(
        [sys.executable, "-c", program[1]], capture_output=True, text=True, check=True
    ).stdout

    assert {*said.split()} == {*project["optional-dependencies"]["server-apps"]}
