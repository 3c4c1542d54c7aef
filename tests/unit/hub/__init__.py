"""Unit tests of hub."""
