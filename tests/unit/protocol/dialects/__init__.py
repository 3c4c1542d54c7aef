"""Tests of what travels on the wire."""
