"""The pages by which people log in, and what is theirs."""

from unittest.mock import Mock

import pytest
from starlette.applications import Starlette

from hypha_cluster.features.login.login import Login
from hypha_cluster.features.login.terms import LoginSettings
from tests.unit.features.rig import Ground, site_of


@pytest.fixture
def site(ground: Ground) -> Starlette:
    lookups = Mock(lookup=Mock(source=lambda _: "address 198.51.100.7"))
    return site_of(Login(LoginSettings(), ground.grounds).routes(lookups))
