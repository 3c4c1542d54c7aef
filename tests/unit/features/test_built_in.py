"""Every hub has the same features."""

from hypha_cluster.features.built_in import BUILT_IN, all_features
from hypha_cluster.features.pages.pages import HubPages


def test_what_is_built_in_has_names_and_settings_of_its_own() -> None:
    features = all_features()

    assert len({feature.name for feature in features}) == len(features)
    assert all(feature.Settings() == feature.Settings() for feature in features)


def test_pages_of_workspaces_stand_behind_the_routes_of_all_others() -> None:
    assert all_features()[-1] is HubPages
    assert set(BUILT_IN) <= set(all_features())
