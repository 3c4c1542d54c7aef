"""Unit tests of serving/http11."""
