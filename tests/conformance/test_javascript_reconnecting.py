"""A page that connects once more than it has to, as it does a while after a connection ended."""

import pytest

from tests.browser_client import BrowserClient
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_a_page_settles_on_the_connection_that_it_opened_last(
    hub: Hub, javascript: BrowserClient
) -> None:
    """If it saw the end of the old one after that, it would open another one for each message."""
    page = await javascript.connect(hub.first)

    opened = await page.run(
        """
        const connection = server.rpc._connection;
        if (!("_retry_count" in connection)) return 1;  // it opens one only when it has to send
        const open = connection.open.bind(connection);
        let opened = 0;
        connection.open = () => { opened++; return open(); };
        const here = new URL(connection._server_url), there = new URL(url.replace("http", "ws"));
        here.host = there.host;
        connection._server_url = here.href;
        await connection.open();
        for (let number = 0; number < 50; number++) await server.echo(number);
        return opened;
        """,
        url=hub.second,
    )

    assert opened == 1
