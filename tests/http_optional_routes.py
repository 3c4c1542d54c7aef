"""The routes of what an operator turns on, asked rightly and wrongly; see tests/http_routes.py.

`/tools` is a directory of `--static-mounts` with a page and `a.txt`. In the workspace `ann` the app
`{app}` is installed.
"""

from typing import Final

from tests.http_row import Row

TOOLS: Final = "/tools"
APP_FILES: Final = "/apps/{workspace}/{app}/{path:path}"
CLIENT: Final = "/assets/app-python.zip"
PAGE: Final = "/{workspace}/apps/"
HTML: Final = "text/html"

OPTIONAL_ROWS: Final = (
    Row(TOOLS, "GET", "/tools", 200, "The tools of the lab"),
    Row(TOOLS, "GET", "/tools/", 200, "The tools of the lab"),
    Row(TOOLS, "HEAD", "/tools/a.txt", 200),
    Row(TOOLS, "GET", "/tools/a.txt", 200, "0123456789"),
    Row(TOOLS, "GET", "/tools/nothing", 404, "Not Found"),
    Row(TOOLS, "GET", "/tools/..%2Fsecret", 404, "Not Found"),
    Row(TOOLS, "GET", "/tools/.hidden", 404, "Not Found"),
    Row(TOOLS, "POST", "/tools/a.txt", 405, body=b""),
    Row(APP_FILES, "GET", "/apps/{app}/index.html", 200, "add", token="member"),
    Row(APP_FILES, "GET", "/apps/{app}/", 200, "add", token="member"),
    Row(APP_FILES, "HEAD", "/apps/{app}/index.html", 200, token="member"),
    Row(APP_FILES, "GET", "/apps/{app}/index.html", 403, "Token not provided"),
    Row(APP_FILES, "GET", "/apps/{app}/index.html", 401, token="nonsense"),
    Row(APP_FILES, "GET", "/apps/{app}/nothing.js", 404, "File not found", token="member"),
    Row(APP_FILES, "GET", "/apps/{app}/~old/index.html", 403, "too old"),
    Row(APP_FILES, "GET", "/apps/ann/nothing/index.html", 404, "nothing", token="member"),
    Row(APP_FILES, "GET", "/apps/{app}/rdf.json", 200, "format_version", token="member"),
    Row(APP_FILES, "POST", "/apps/{app}/index.html", 405, body=b""),
    Row(PAGE, "GET", "/ann/apps/", 200, "<!doctype html>", accept=HTML, token="member"),
    Row(PAGE, "GET", "/ann/apps/", 403, "<!doctype html>", accept=HTML),
    Row(PAGE, "POST", "/ann/apps/", 404, body=b""),
    Row(CLIENT, "GET", "/assets/app-python.zip", 200),
    Row(CLIENT, "POST", "/assets/app-python.zip", 405, body=b""),
)
