"""Tests of docker-compose.yml with real containers: `make compose-test`."""
