"""A client of the application as a browser or Prometheus on the same host would be."""

import asyncio
from typing import Any

import httpx

from monitor.web.app import create_app
from tests.fakes.services import ScriptedServices


class Client:
    """Sends requests to the application; an exception of the application is raised here."""

    def __init__(self, services: ScriptedServices) -> None:
        self._app = create_app(services)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9817") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)
