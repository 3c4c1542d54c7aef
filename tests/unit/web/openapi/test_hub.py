"""The hub describes all of its own addresses, and refers to nothing that is not there."""

import json
import re
from typing import Any

from hypha_cluster.web.openapi.hub import hub_document
from tests.http_feature_routes import FEATURE_ROWS
from tests.http_routes import OFF_THE_RECORD, ROWS

DOCUMENT: dict[str, Any] = hub_document("http://hub/base")


def test_every_route_is_described() -> None:
    own = {row.route for row in ROWS if row.route and row not in FEATURE_ROWS}
    assert set(DOCUMENT["paths"]) == own - OFF_THE_RECORD
    assert DOCUMENT["servers"] == [{"url": "http://hub/base"}]


def test_every_status_of_the_table_is_described() -> None:
    for row in ROWS:
        operation = DOCUMENT["paths"].get(row.route, {}).get(row.method.lower())
        if operation is not None and row.status not in (307, 401):
            assert str(row.status) in operation["responses"], row


def test_what_it_refers_to_is_there() -> None:
    for path in re.findall(r'"#/([^"]+)"', json.dumps(DOCUMENT)):
        found = DOCUMENT
        for part in path.split("/"):
            found = found[part]
