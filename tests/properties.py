"""How much is tried of a property: a little, and always the same, in CI; much by `make fuzz`."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

EXAMPLES: Final = int(os.environ.get("HYPHA_TEST_EXAMPLES", "0"))
_FEW: Final = 40

PROPERTY: Final = settings(
    max_examples=EXAMPLES or _FEW,
    derandomize=not EXAMPLES,  # whoever changes something else does not find what is new
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
