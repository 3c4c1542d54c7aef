from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.manifest import DEFAULTS, manifest_of
from hypha_cluster.features.launcher.scaling import is_kept_up, scale_of
from hypha_cluster.protocol.limits import APP_IDLE, APP_TARGET
from hypha_cluster.registry.instance import Scale


@pytest.mark.parametrize(
    ("config", "scale", "kept"),
    [
        ({}, Scale(0, 1, None, APP_TARGET), False),
        ({"stop_after_inactive": 60}, Scale(0, 1, 60.0, APP_TARGET), False),
        ({"stop_after_inactive": 0}, Scale(0, 1, None, APP_TARGET), False),
        ({"daemon": True}, Scale(1, 1, None, APP_TARGET), True),
        ({"daemon": True, "stop_after_inactive": 9}, Scale(1, 1, 9.0, APP_TARGET), True),
        ({"min_instances": 2}, Scale(2, 2, APP_IDLE, APP_TARGET), True),
        ({"max_instances": 3}, Scale(1, 3, APP_IDLE, APP_TARGET), False),
        (
            {"max_instances": 3, "stop_after_inactive": 5, "target_requests_per_instance": 10},
            Scale(0, 3, 5.0, 10),
            False,
        ),
        ({"min_instances": 1, "max_instances": 3}, Scale(1, 3, APP_IDLE, APP_TARGET), True),
    ],
)
def test_a_config_says_how_many_there_are(config: dict[str, Any], scale: Scale, kept: bool) -> None:
    assert scale_of(config) == scale
    assert is_kept_up(config) is kept
    manifest = manifest_of({**DEFAULTS, **config}, [])
    assert {key: manifest[key] for key in config} == config


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"daemon": 1}, "'daemon' of an app is true or false"),
        ({"stop_after_inactive": "60"}, "'stop_after_inactive' of an app is a number of seconds"),
        ({"stop_after_inactive": 0.5}, "at least 1, or 0 for never"),
        ({"stop_after_inactive": float("nan")}, "number of seconds"),
        ({"stop_after_inactive": True}, "number of seconds"),
        ({"min_instances": -1}, "'min_instances' of an app is a number from 0 to 32"),
        ({"max_instances": 33}, "'max_instances' of an app is a number from 1 to 32"),
        ({"max_instances": 2.0}, "'max_instances'"),
        ({"min_instances": 3, "max_instances": 2}, "at least the 3 that there always are"),
        ({"target_requests_per_instance": 0}, "'target_requests_per_instance'"),
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        manifest_of({**DEFAULTS, **config}, [])
