"""Unit tests of the login."""
