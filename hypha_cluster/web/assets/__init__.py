"""Scripts of others that pages need, from npm packages: which there are, and their addresses."""

from hypha_cluster.web.assets.catalogue import is_there, url

__all__ = ["is_there", "url"]
