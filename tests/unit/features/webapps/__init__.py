"""Unit tests of webapps."""
