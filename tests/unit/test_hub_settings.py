"""The settings of features are read, checked and shown like those of the node."""

import json
from dataclasses import dataclass

import pytest

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.feature import Feature
from hypha_cluster.hub_settings import HubSettings, all_settings
from hypha_cluster.settings import MIB, Setting, setting


class Files(Feature):
    """Keeps files."""

    name = "files"

    @dataclass(frozen=True)
    class Settings:
        """Where."""

        enable_s3: bool = setting(False, "Keep files in S3.")
        file_size: int = setting(MIB, "Largest file.", "bytes", within=(1, 2 * MIB))
        secret_access_key: str = setting("", "Key for S3.", secret=True, also=("AWS_SECRET",))


class Clash(Feature):
    """Wants a setting that the hub has."""

    name = "clash"

    @dataclass(frozen=True)
    class Settings:
        """Taken already."""

        port: int = setting(1, "A port.", within=(1, 2))


def load(*flags: str, **environ: str) -> tuple[Config, Files.Settings]:
    loaded = HubSettings.load(flags, environ, [Files])
    ((kind, settings),) = loaded.features
    assert kind is Files
    return loaded.node, settings


def test_flags_and_variables_reach_whose_they_are() -> None:
    node, files = load("--port=1", "--enable-s3", AWS_SECRET="hush", HYPHA_FILE_SIZE="1 KiB")

    assert node == Config(port=1)
    assert files == Files.Settings(enable_s3=True, file_size=1024, secret_access_key="hush")


def test_what_is_not_given_is_as_by_default() -> None:
    assert load() == (Config(), Files.Settings())


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--file-size=3MiB", "file_size must be at most 2 MiB, but is 3 MiB"),
        ("--fiel-size=1", "unknown flag '--fiel-size'; did you mean --file-size?"),
        ("--enable-s3=maybe", "must be true or false"),
    ],
)
def test_a_mistake_is_told(flag: str, complaint: str) -> None:
    with pytest.raises(StartupError) as refused:
        load(flag)

    assert complaint in str(refused.value)


def test_a_feature_that_is_not_there_has_no_settings() -> None:
    with pytest.raises(StartupError, match="--enable-s3 is not available"):
        HubSettings.load(["--enable-s3"], {}, [])
    with pytest.raises(StartupError, match="unknown variable HYPHA_FILE_SIZE"):
        HubSettings.load([], {"HYPHA_FILE_SIZE": "1"}, [])


@pytest.mark.parametrize("about", all_settings(BUILT_IN), ids=lambda about: about.name)
def test_every_setting_of_every_feature_says_what_it_is(about: Setting) -> None:
    is_number = isinstance(about.default, int | float) and not isinstance(about.default, bool)

    assert about.help.endswith(".")
    assert bool(about.within) is is_number, "a number says within what it makes sense"
    assert about.unit == "seconds" or not isinstance(about.default, float)


def test_no_two_have_a_setting_of_one_name() -> None:
    with pytest.raises(StartupError, match="clash and the hub both have a setting port"):
        all_settings([Clash])


def test_all_are_shown_and_no_secret_is() -> None:
    shown = {
        about.name: value
        for about, value in HubSettings.load(["--secret-access-key=hush"], {}, [Files]).shown()
    }

    assert shown["port"] == 9000
    assert shown["file_size"] == MIB
    assert shown["secret_access_key"] == "***"


def test_another_process_of_the_hub_gets_all() -> None:
    settings = HubSettings.load(["--file-size=5", "--port=1"], {}, [Files]).with_node(workers=2)

    wire = json.loads(json.dumps(settings.to_wire()))

    assert HubSettings.from_wire(wire, [Files]) == settings
    assert settings.node == Config(port=1, workers=2)
