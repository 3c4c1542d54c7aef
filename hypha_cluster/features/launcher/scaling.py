"""How many instances of an app there are: what its config says of it."""

from collections.abc import Mapping
from typing import Any, Final

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_IDLE, APP_INSTANCES, APP_TARGET
from hypha_cluster.registry.instance import Scale

FIELDS: Final = (
    *("daemon", "stop_after_inactive", "min_instances", "max_instances"),
    "target_requests_per_instance",
)
_LONGEST: Final = 31_536_000.0  # seconds


def scale_of(config: Mapping[str, Any]) -> Scale:
    """How an app scales, by its config; BadRequest names what makes no sense, and what would."""
    is_daemon = config.get("daemon") or False
    if not isinstance(is_daemon, bool):
        raise BadRequest(f"'daemon' of an app is true or false, not {shown(is_daemon)}.")
    least = _number(config, "min_instances", int(is_daemon), (0, APP_INSTANCES))
    least = max(least, int(is_daemon))
    most = _number(config, "max_instances", max(least, 1), (1, APP_INSTANCES))
    if most < least:
        raise BadRequest(
            f"'max_instances' of an app is at least the {least} that there always are."
        )
    target = _number(config, "target_requests_per_instance", APP_TARGET, (1, 1_000_000))
    idle = _idle_of(config)
    if idle is None and most > 1:  # instances that were started for many calls stop after those
        return Scale(max(least, 1), most, APP_IDLE, target)
    return Scale(least, most, idle, target)


def is_kept_up(config: Mapping[str, Any]) -> bool:
    """Whether instances of an app are there even if nobody asks for them."""
    return bool(config.get("daemon")) or bool(config.get("min_instances"))


def _number(config: Mapping[str, Any], name: str, default: int, within: tuple[int, int]) -> int:
    value = config.get(name)
    if value is None:
        return default
    least, most = within
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequest(
            f"{name!r} of an app is a number from {least} to {most}, not {shown(value)}."
        )
    return value


def _idle_of(config: Mapping[str, Any]) -> float | None:
    value = config.get("stop_after_inactive")
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= _LONGEST:
        raise BadRequest(
            "'stop_after_inactive' of an app is a number of seconds, at least 1, or 0 for never; "
            f"not {shown(value)}."
        )
    return float(value)
