"""The HTTP side of a service: bounded answers of a known form, and every trouble with it a VantageError."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import httpx
import msgspec

import monitor
from monitor.model.seams import VantageError
from monitor.network.decoding import ACCEPT_ENCODING, Body

_Form = TypeVar("_Form")

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 20.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the service answered; `headers` in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def number(self, header: str) -> int | None:
        """Return what a header says as a number, if it says one."""
        text = self.headers.get(header, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class ServiceApi:
    """Asks one API. Proxies of the environment are not used and redirects not followed: the token goes nowhere else."""

    def __init__(self, name: str, base_url: str, authorization: str | None) -> None:
        self._name = name
        self._base_url = base_url
        self._headers = {
            "User-Agent": f"access-monitor/{monitor.__version__}",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            **({"Authorization": authorization} if authorization else {}),
        }
        self._client: httpx.AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float = _ANSWER_SECONDS,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the whole answer, whatever its status; raises VantageError if none comes within `seconds`."""
        content = None if json is None else msgspec.json.encode(json)
        sent = {**(headers or {}), **({"Content-Type": "application/json"} if content is not None else {})}
        try:
            async with asyncio.timeout(min(seconds, _ANSWER_SECONDS)):
                client = await self._connected()
                async with client.stream(method, path, content=content, headers=sent) as response:
                    body = Body(response.headers.get("content-encoding", ""), MAX_ANSWER_BYTES)
                    async for chunk in response.aiter_raw():
                        if body.add(chunk):
                            raise VantageError(f"{self._name}: the answer is larger than {MAX_ANSWER_BYTES} B")
                    return Answer(
                        status=response.status_code,
                        headers={name.lower(): value for name, value in response.headers.items()},
                        body=body.content,
                    )
        except (httpx.HTTPError, httpx.InvalidURL, OSError, EOFError, TimeoutError) as error:
            raise VantageError(f"{self._name}: {type(error).__name__}") from error

    def read(self, answer: Answer, form: type[_Form]) -> _Form:
        """Return what an answer holds; raises VantageError if it is not in the agreed form."""
        try:
            return msgspec.json.decode(answer.body, type=form)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise VantageError(f"{self._name}: the answer is not in the agreed form") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _connected(self) -> httpx.AsyncClient:
        async with self._connecting:
            if self._client is None:
                # Reading the bundle of authorities takes its time.
                context = await asyncio.to_thread(ssl.create_default_context)
                self._client = httpx.AsyncClient(
                    base_url=self._base_url,
                    headers=self._headers,
                    verify=context,
                    timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                    trust_env=False,
                    follow_redirects=False,
                )
            return self._client
