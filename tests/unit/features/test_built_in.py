"""Every hub has the same features."""

from hypha_cluster.features.built_in import all_features


def test_what_is_built_in_has_names_and_settings_of_its_own() -> None:
    features = all_features()

    assert len({feature.name for feature in features}) == len(features)
    assert all(feature.Settings() == feature.Settings() for feature in features)
