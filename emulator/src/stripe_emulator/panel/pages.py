"""The panel at /: what the emulator holds and the levers to pull, as plain pages that need no JavaScript.

The JSON twin of the levers is `control.py`.
"""

import json
import urllib.parse
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from stripe_emulator import Emulator

from .levers import Levers
from .markup import Html, badge, field, form, join, link, moment, money, object_link, select, table, tag
from .panel_bank import bank_section
from .refusals import RefusedError

JSON = dict[str, Any]
PAGE_SIZE: Final = 50
POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
NAVIGATION: Final = [
    ("/", "Overview"),
    ("/objects", "Objects"),
    ("/ledger", "Ledger"),
    ("/events", "Events"),
    ("/weather", "Weather"),
    ("/clock", "Clock"),
]
TEST_CARDS: Final = [
    ("4242 4242 4242 4242", "pays"),
    ("4000 0025 0000 3155", "asks for authentication, once set up it pays by itself"),
    ("4000 0027 6000 3184", "asks for authentication every time"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has insufficient funds"),
    ("4000 0000 0000 0341", "can be saved, then every charge is declined"),
    ("4000 0082 6000 3178", "can be saved, then has insufficient funds"),
]
FAULTS: Final = [
    ("lost_before", "The line is cut before the work"),
    ("lost_after", "The line is cut after the work"),
    ("cut_body", "The reply breaks off"),
    ("status", "A reply with a status (500) instead"),
    ("lock_timeout", "429: the object is locked"),
    ("key_in_use", "409: the key is in use"),
    ("slow", "A slow reply"),
    ("html_body", "A page of HTML (502) instead"),
    ("duplicate", "The request arrives twice"),
]
KNOBS: Final = {
    "duplicate": "the same event twice",
    "double_event": "two event ids for one change",
    "delay": "seconds late",
    "swap": "overtaken by the next one",
    "drop": "never sent",
    "old_signature": "signed ten minutes ago",
    "wrong_secret": "signed with another secret",
}


def describe(rule: JSON) -> str:
    """A fault that is set, in words."""
    name = dict(FAULTS).get(rule["fault"]) or str(rule["fault"])
    words = [f"{key.replace('_', ' ')} {value}" for key, value in rule.items() if key != "fault" and value is not None]
    return f"{name}: {', '.join(words)}" if words else name


def summary(row: JSON) -> str:
    """One line that tells this object from its neighbours."""
    if row.get("deleted"):
        return "deleted"
    if isinstance(row.get("amount"), int) and row.get("currency"):
        return money(row["amount"], row["currency"])
    if isinstance(row.get("card"), dict):
        card = row["card"]
        return f"{card.get('brand')} {card.get('last4')}, {card.get('exp_month')}/{card.get('exp_year')}"
    for name in ("type", "email", "name", "url", "description", "usage"):
        if row.get(name):
            return str(row[name])
    return ""


class Panel:
    """The pages over one emulator."""

    def __init__(self, emulator: Emulator, levers: Levers) -> None:
        self.emulator = emulator
        self.levers = levers

    def routes(self) -> list[Route]:
        return [
            Route("/", self.overview),
            Route("/objects", self.objects),
            Route("/objects/{object_id}", self.object),
            Route("/ledger", self.ledger),
            Route("/events", self.events),
            Route("/weather", self.weather),
            Route("/clock", self.clock),
            Route("/snapshot", self.snapshot),
            Route("/panel/{action}", self.act, methods=["POST"]),
        ]

    # -- shared ------------------------------------------------------------------------------------
    def page(self, request: Request, title: str, *content: object, status: int = 200) -> Response:
        path = request.url.path
        here = next((url for url, _ in NAVIGATION if url != "/" and path.startswith(url)), "/")
        items = [tag("li", link(url, text, aria_current="page" if url == here else None)) for url, text in NAVIGATION]
        done = self.levers.said.get(request.query_params.get("done", ""))
        document = tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("title", f"{title} · Stripe emulator"),
                tag("link", rel="stylesheet", href="/panel.css"),
            ),
            tag(
                "body",
                link("#main", "Skip to the content", class_="skip"),
                tag(
                    "header",
                    tag("p", link("/", "Stripe emulator"), class_="name"),
                    tag("nav", tag("ul", *items), aria_label="Sections"),
                    tag("p", "Clock ", moment(self.emulator.clock.now()), class_="now"),
                ),
                tag(
                    "main",
                    tag("h1", title),
                    tag("p", done, role="status", class_="done") if done else "",
                    *content,
                    id="main",
                ),
            ),
            lang="en",
        )
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
        return HTMLResponse(f"<!doctype html>\n{document}", status, headers)

    # -- pages -------------------------------------------------------------------------------------
    async def overview(self, request: Request) -> Response:
        counts = [
            tag("li", link(f"/objects?kind={kind}", f"{name.replace('_', ' ')} "), tag("strong", len(found.rows)))
            for kind, found in self.levers.tables.items()
            if len(found.rows) and kind != "event"
            for name in [kind.split(".")[-1]]
        ]
        base = f"{request.url.scheme}://{request.url.netloc}"
        access = [("API base", base), ("Stripe.js", f"{base}/stripe.js")]
        access += [("Secret key", self.emulator.secret_key), ("Publishable key", self.emulator.publishable_key)]
        facts = [tag("div", tag("dt", name), tag("dd", tag("code", value))) for name, value in access]
        cards: list[list[object]] = [[tag("code", number), what] for number, what in TEST_CARDS]
        recent = [
            *self.levers.rows("payment_intent")[:10],
            *self.levers.rows("setup_intent")[:5],
        ]
        return self.page(
            request,
            "Overview",
            tag("p", "A stand-in for Stripe on this machine. Nothing here is real, and no card is charged."),
            tag("dl", *facts, class_="facts"),
            tag("h2", "Kept here"),
            tag("ul", *counts, class_="counts") if counts else tag("p", "Nothing yet.", class_="muted"),
            tag("h2", "Latest intents"),
            self._object_table("Latest intents", recent),
            tag("h2", "Cards to try"),
            table("Cards to try", ["Number", "What happens"], cards, ""),
        )

    def _object_table(self, caption: str, rows: list[JSON]) -> Html:
        cells: list[list[object]] = [
            [
                object_link(row["id"]),
                summary(row),
                badge(row["status"]) if row.get("status") else "",
                moment(row.get("created")),
            ]
            for row in rows
        ]
        return table(caption, ["Id", "What", "Status", "Created"], cells, "None.")

    async def objects(self, request: Request) -> Response:
        kinds = [kind for kind in self.levers.tables if kind != "event"]
        kind = request.query_params.get("kind", "payment_intent")
        if kind not in kinds:
            return self.missing(request, "There is no such kind of object.")
        page = int(number) if (number := request.query_params.get("page", "1")).isdecimal() else 1
        rows = self.levers.rows(kind)
        first = max(page - 1, 0) * PAGE_SIZE
        tabs = [
            tag(
                "li",
                link(f"/objects?kind={one}", one.split(".")[-1].replace("_", " "),
                     aria_current="true" if one == kind else None),
                " ",
                tag("span", len(self.levers.tables[one].rows), class_="muted"),
            )
            for one in kinds
        ]  # fmt: skip
        pages = []
        if page > 1:
            pages.append(link(f"/objects?kind={kind}&page={page - 1}", "Newer"))
        if first + PAGE_SIZE < len(rows):
            pages.append(link(f"/objects?kind={kind}&page={page + 1}", "Older"))
        name = kind.split(".")[-1].replace("_", " ")
        return self.page(
            request,
            "Objects",
            tag("nav", tag("ul", *tabs, class_="counts"), aria_label="Kinds of objects"),
            tag("h2", name.capitalize()),
            self._object_table(name, rows[first : first + PAGE_SIZE]),
            tag("p", *(part for one in pages for part in (one, " "))),
        )

    async def object(self, request: Request) -> Response:
        object_id = request.path_params["object_id"]
        row = self.levers.find(object_id)
        if row is None:
            return self.missing(request, f"There is no {object_id[:80]} here.")
        told = self.levers.events_about(object_id, PAGE_SIZE)
        text = json.dumps(row, indent=2, ensure_ascii=False, default=str)
        return self.page(
            request,
            object_id,
            tag("p", str(row.get("object", "")).replace("_", " "), " · ", moment(row.get("created"))),
            *bank_section(row),
            tag("h2", "As the API shows it"),
            tag("pre", linked_json(text, self.levers.find), tabindex="0", aria_label="The object as JSON"),
            tag("h2", "Events that mention it"),
            self._event_table(told, delivered=False) if told else tag("p", "None.", class_="muted"),
        )

    async def ledger(self, request: Request) -> Response:
        totals, customers = self.levers.ledger_rows()

        def cells(lines: list[JSON], *, whose: bool) -> list[list[object]]:
            return [
                [
                    *([object_link(line["customer"])] if whose else []),
                    line["currency"].upper(),
                    *(
                        money(line[f"{sum_}_minor"], line["currency"])
                        for sum_ in ("taken", "refunded", "disputed", "net")
                    ),
                ]
                for line in lines
            ]

        heads = ["Currency", "Taken", "Refunded", "Disputed", "Net"]
        return self.page(
            request,
            "Ledger",
            tag("p", "What was really taken, whatever the replies said."),
            tag("h2", "In all"),
            table("In all", heads, cells(totals, whose=False), "Nothing was taken yet."),
            tag("h2", "By customer"),
            table("By customer", ["Customer", *heads], cells(customers, whose=True), "Nothing yet."),
        )

    def _event_table(self, events: list[JSON], *, delivered: bool = True) -> Html:
        heads = ["Event", "When", *(["Deliveries", "Send"] if delivered else [])]
        log = self.levers.deliveries() if delivered else {}
        cells: list[list[object]] = []
        for event in events:
            line: list[object] = [
                tag(
                    "div",
                    tag("div", link(f"/objects/{event['id']}", event["type"])),
                    object_link(self.levers.readable(event)["data"]["object"].get("id")),
                    class_="event",
                ),
                moment(event["created"]),
            ]
            if delivered:
                again = form("/panel/resend", "Send again", event=event["id"])
                line += [self._deliveries(log.get(event["id"], [])), again]
            cells.append(line)
        return table("Events", heads, cells, "Nothing has happened yet.")

    def _deliveries(self, tries: list[JSON]) -> Html:
        if not tries:
            return tag("span", "none", class_="muted")
        lines = []
        for one in tries:
            taken = one["status"] is not None and 200 <= one["status"] < 300
            answer = f"{one['status'] or 'no answer'}, try {one['attempt']}, {one['url']}"
            again = join([", again at ", moment(one["again_at"])]) if one["again_at"] else ""
            note = tag("span", answer, again, class_="muted")
            lines.append(tag("li", badge("delivered" if taken else "failed"), " ", note))
        return tag("ul", *lines, class_="plain")

    async def events(self, request: Request) -> Response:
        endpoints: list[list[object]] = [
            [tag("code", one["url"]), ", ".join(one["enabled_events"]), tag("code", one["secret"])]
            for one in self.levers.endpoints()
        ]
        return self.page(
            request,
            "Events",
            tag("h2", "Webhook endpoints"),
            table("Endpoints", ["URL", "Events", "Secret"], endpoints, "None: nobody is told of events."),
            form(
                "/panel/endpoint",
                "Add the endpoint",
                field("URL", "url", "url", required=True, placeholder="http://127.0.0.1:8000/webhook/"),
                field("Signing secret", "secret", value="whsec_emulator", required=True),
                field("Events", "events", hint="separated by commas; * means all", value="*"),
                class_="row",
            ),
            tag("h2", "Latest events"),
            self._event_table(self.levers.rows("event")[:PAGE_SIZE]),
        )

    async def weather(self, request: Request) -> Response:
        rules: list[list[object]] = [
            [describe(rule), form("/panel/unfault", "Remove", index=index)]
            for index, rule in enumerate(self.levers.rules())
        ]
        return self.page(
            request,
            "Weather",
            tag("p", "Faults that calls to the API meet, as they do in real life."),
            table("Faults set", ["Fault", "Remove"], rules, "Fair weather: every call gets its answer."),
            form("/panel/clear", "Clear the weather") if rules else "",
            tag("h2", "Add a fault"),
            form(
                "/panel/fault",
                "Add the fault",
                select("Fault", "fault", FAULTS),
                field("Call", "call", hint="which call from now, 1 is the next; empty for any", inputmode="numeric"),
                field("Path", "path", hint="a pattern such as POST /v1/refunds; empty for any"),
                field("Status", "status", hint="for the faults with a status", inputmode="numeric"),
                field("Seconds", "seconds", hint="for slow replies", inputmode="decimal"),
                field("Times", "times", hint="how often; empty for always", inputmode="numeric", value="1"),
                field("Probability", "probability", hint="between 0 and 1; empty for always", inputmode="decimal"),
                class_="row",
            ),
            tag("h2", "Webhooks"),
            tag("p", "Each is a chance between 0 and 1, but for the delay, which is in seconds of the clock."),
            form("/panel/knobs", "Set the webhooks", *self._knobs(), class_="row"),
        )

    def _knobs(self) -> list[Html]:
        return [
            field(name.replace("_", " ").capitalize(), name, value=f"{value:g}", hint=KNOBS.get(name, ""))
            for name, value in self.levers.knobs().items()
        ]

    async def clock(self, request: Request) -> Response:
        steps = [("hours", "One hour"), ("days", "One day"), ("weeks", "One week"), ("months", "Thirty days")]
        return self.page(
            request,
            "Clock",
            tag("p", "The emulator's time is ", tag("strong", moment(self.emulator.clock.now())), "."),
            tag(
                "p",
                "Move it on to see keys lapse (24 hours), holds expire (7 days), webhooks retried and charges settled.",
            ),
            tag("div", *(form("/panel/advance", text, **{unit: "1"}) for unit, text in steps), class_="buttons"),
            tag("h2", "Snapshot"),
            tag("p", link("/snapshot", "Download everything the emulator holds"), " as one JSON file, for --state."),
            tag("h2", "Reset"),
            tag(
                "p",
                "Forget everything: objects, events, faults, endpoints and how far the clock was moved. What was given "
                "on the command line stays.",
            ),
            form("/panel/reset", "Reset the emulator", class_="danger"),
        )

    async def snapshot(self, request: Request) -> Response:
        body = json.dumps(self.emulator.snapshot())
        headers = {"Content-Disposition": 'attachment; filename="stripe-emulator.json"', "Cache-Control": "no-store"}
        return Response(body, media_type="application/json", headers=headers)

    def missing(self, request: Request, sentence: str) -> Response:
        return self.page(request, "Not found", tag("p", sentence), status=404)

    # -- levers ------------------------------------------------------------------------------------
    async def act(self, request: Request) -> Response:
        name = request.path_params["action"]
        data = dict(urllib.parse.parse_qsl((await request.body()).decode("utf-8", "replace")))
        actions: dict[str, tuple[Callable[[JSON], object], str]] = {
            "advance": (self.levers.advance, "/clock"),
            "reset": (lambda _: self.levers.reset(), "/clock"),
            "fault": (self.levers.add_fault, "/weather"),
            "unfault": (self.levers.remove_fault, "/weather"),
            "clear": (lambda _: self.levers.clear_weather(), "/weather"),
            "knobs": (self.levers.set_knobs, "/weather"),
            "endpoint": (self.levers.add_endpoint, "/events"),
            "resend": (self.levers.resend, "/events"),
            "bank": (self.levers.bank, f"/objects/{urllib.parse.quote(data.get('object', ''), safe='')}"),
        }
        if name not in actions:
            return self.missing(request, "There is no such lever.")
        lever, back = actions[name]
        try:
            lever({key: value.strip() for key, value in data.items() if value.strip()})
        except RefusedError as error:
            return self.page(request, "That did not work", tag("p", error), link(back, "Go back"), status=400)
        return RedirectResponse(f"{back}?done={name}", 303)


def linked_json(text: str, find: Callable[[str], JSON | None]) -> Html:
    """JSON in which the ids of objects kept here are links."""
    parts: list[object] = []
    for index, piece in enumerate(text.split('"')):
        if index:
            parts.append('"')
        known = "_" in piece and len(piece) < 100 and piece.replace("_", "").isalnum() and find(piece)
        parts.append(object_link(piece) if known else piece)
    return join(parts)
