"""Tests of docker-compose.yml and of the chart's pods with real containers: `make compose-test`."""
