"""The pages that a person sees, and what the hub says of itself."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hypha_cluster import __version__


class PagesApi:
    """The front page."""

    def routes(self) -> list[Route]:
        return [Route("/", self.index)]

    async def index(self, request: Request) -> Response:
        return JSONResponse({"name": "Hypha", "version": __version__, "server": "hypha_cluster"})
