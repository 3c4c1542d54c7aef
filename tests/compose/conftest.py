"""Fixtures of the tests with containers."""

from collections.abc import Iterator

import pytest

from tests.compose.deployment import Missing, RunnerImage


@pytest.fixture(scope="session")
def runner_image() -> Iterator[str]:
    """Build the image of runners once, for it gets a browser."""
    try:
        image = RunnerImage()
    except Missing as missing:
        pytest.skip(str(missing))
    with image:
        yield image.image
