"""Scripts of others that pages need, from npm packages: which there are, and their addresses."""

from hypha_cluster.web.assets.catalogue import find, how_to_get, is_there, url

__all__ = ["find", "how_to_get", "is_there", "url"]
