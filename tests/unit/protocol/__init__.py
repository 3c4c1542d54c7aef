"""Tests of how a node is put on the network."""
