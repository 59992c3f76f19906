"""The levers over HTTP, as JSON under /emulator/, for tests that run in another process or another language."""

import json
from collections.abc import Callable
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stripe_emulator import Emulator

from .challenge_page import ChallengePage
from .hosted import HostedPages
from .levers import Levers
from .pages import Panel
from .refusals import RefusedError

JSON = dict[str, Any]
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Control:
    """The control API over one emulator."""

    def __init__(self, emulator: Emulator, levers: Levers) -> None:
        self.emulator = emulator
        self.levers = levers

    def routes(self) -> list[Route]:
        return [
            Route("/emulator/health", self.health),
            Route("/emulator/ledger", self.ledger),
            Route("/emulator/requests", self.requests),
            Route("/emulator/snapshot", self.snapshot),
            *ChallengePage(self.emulator).routes(),
            *HostedPages(self.emulator).routes(),
            Route("/emulator/{action}", self.act, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "now": self.emulator.clock.now()})

    async def ledger(self, request: Request) -> Response:
        """Sums in minor units: ?currency=gbp&customer=cus_...&metadata[order]=7."""
        metadata = {}
        for name, value in request.query_params.items():
            if name.startswith("metadata[") and name.endswith("]"):
                metadata[name[9:-1]] = value
            elif name not in {"currency", "customer"}:
                return refusal(f"The ledger knows no {name}; it takes currency, customer and metadata[key].")
        asked = {name: request.query_params.get(name) for name in ("currency", "customer")}
        return JSONResponse(self.levers.ledger_sums(**asked, metadata=metadata or None))

    async def requests(self, request: Request) -> Response:
        return JSONResponse({"data": self.levers.requests()})

    async def snapshot(self, request: Request) -> Response:
        return JSONResponse(self.emulator.snapshot())

    async def act(self, request: Request) -> Response:
        actions: dict[str, Callable[[JSON], JSON]] = {
            "weather": self._weather,
            "clock": self._clock,
            "reset": self._reset,
            "webhooks": self._webhooks,
            "bank": self.levers.bank,
            "restore": self._restore,
        }
        action = actions.get(request.path_params["action"])
        if action is None:
            return refusal("There is no such lever.", 404)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return refusal("Send JSON, with the header Content-Type: application/json.", 415)
        try:
            data = json.loads(await request.body() or b"{}")
        except ValueError:
            return refusal("The body is not JSON.")
        if not isinstance(data, dict):
            return refusal("The body should be a JSON object.")
        try:
            return JSONResponse(action(data))
        except RefusedError as error:
            return refusal(str(error))

    def _weather(self, data: JSON) -> JSON:
        """{"clear": true} or {"fault": "lost_after", "call": 1, "path": "POST /v1/refunds", "times": 1}.

        Without `times` the fault strikes once, as in `Weather.add`; `"times": null` means for good.
        """
        if data.pop("clear", False):
            self.levers.clear_weather()
        if data:
            self.levers.add_fault({"times": 1, **data})
        return {"weather": self.levers.rules()}

    def _clock(self, data: JSON) -> JSON:
        """{"days": 1, "hours": 2}; an empty object only tells the time."""
        if data:
            self.levers.advance(data)
        return {"now": self.emulator.clock.now()}

    def _reset(self, data: JSON) -> JSON:
        self.levers.reset()
        return {"now": self.emulator.clock.now()}

    def _restore(self, data: JSON) -> JSON:
        """What GET /emulator/snapshot answered."""
        self.levers.restore(data)
        return {"now": self.emulator.clock.now()}

    def _webhooks(self, data: JSON) -> JSON:
        """{"url": ..., "secret": ..., "events": [...]} adds an endpoint; anything else sets a knob."""
        if "url" in data:
            self.levers.add_endpoint({name: data.pop(name) for name in ("url", "secret", "events") if name in data})
        if data:
            self.levers.set_knobs(data)
        return {"endpoints": self.levers.endpoints(), "knobs": self.levers.knobs()}


def refusal(sentence: str, status: int = 400) -> Response:
    return JSONResponse({"error": {"message": sentence, "type": "invalid_request_error"}}, status)


class SameSiteOnly:
    """Pages and levers are for this machine's own user: not for another site in the same browser.

    The name in `Host` must be a loopback one, or a stranger's domain could be pointed at 127.0.0.1 and read all; and
    nothing but our own pages, or a program that is no browser, may post.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (sentence := objection(scope)):
            await PlainTextResponse(f"{sentence}\n", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def objection(scope: Scope) -> str:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name not in LOCAL_NAMES:
        return "The emulator's pages are only served under 127.0.0.1, localhost or [::1]."
    if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
        return ""
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return "Another site may not pull the emulator's levers."
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return "Another site may not pull the emulator's levers."
    return ""


def create_pages(emulator: Emulator) -> ASGIApp:
    """Panel and control API."""
    levers = Levers(emulator)
    routes = [*Panel(emulator, levers).routes(), *Control(emulator, levers).routes()]
    return SameSiteOnly(Starlette(routes=routes))
