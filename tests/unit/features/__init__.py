"""Unit tests of features."""
