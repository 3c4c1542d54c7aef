"""Unit tests of links."""
