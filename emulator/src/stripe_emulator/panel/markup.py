"""Markup for the panel's pages, without a template engine: `tag` escapes whatever is not already `Html`."""

import datetime
import html
import urllib.parse
from collections.abc import Iterable

from stripe_emulator.core.money import shown


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(_name: str, *content: object, **attributes: object) -> Html:
    """One element. `class_` and `for_` stand for class and for, `aria_label` for aria-label; None is left out."""
    parts = [_name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.rstrip("_").replace("_", "-")
        parts.append(name if value is True else f'{name}="{html.escape(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    if _name in {"input", "link", "meta", "br", "hr"}:
        return Html(opening)
    return Html(f"{opening}{join(content)}</{_name}>")


def join(content: Iterable[object]) -> Html:
    return Html("".join(part if isinstance(part, Html) else html.escape(str(part)) for part in content))


def link(url: str, text: object, **attributes: object) -> Html:
    return tag("a", text, href=url, **attributes)


def object_link(object_id: object) -> Html:
    if not object_id:
        return tag("span", "none", class_="muted")
    quoted = urllib.parse.quote(str(object_id), safe="")
    return link(f"/objects/{quoted}", tag("code", object_id))


def moment(stamp: float | None) -> Html:
    if stamp is None:
        return tag("span", "never", class_="muted")
    at = datetime.datetime.fromtimestamp(stamp, tz=datetime.UTC)
    return tag("time", f"{at:%d %b %Y, %H:%M:%S}", datetime=at.isoformat())


def money(amount: int, currency: str) -> str:
    return f"{shown(amount, currency)} {currency.upper()}"


def table(caption: str, heads: list[str], rows: list[list[object]], empty: str) -> Html:
    if not rows:
        return tag("p", empty, class_="muted")
    # data-label names the cell where the table is shown as cards, on a phone.
    body = [
        tag("tr", *(tag("td", cell, data_label=head) for head, cell in zip(heads, row, strict=True))) for row in rows
    ]
    return tag(
        "table",
        tag("caption", caption, class_="hidden"),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *body),
    )


def field(label: str, name: str, kind: str = "text", hint: str = "", **attributes: object) -> Html:
    hint_id = f"{name}-hint" if hint else None
    control = tag("input", id=name, name=name, type=kind, aria_describedby=hint_id, **attributes)
    note = tag("span", hint, id=hint_id, class_="hint") if hint else ""
    return tag("div", tag("label", label, for_=name), control, note, class_="field")


def select(label: str, name: str, choices: list[tuple[str, str]], chosen: str = "") -> Html:
    options = [tag("option", text, value=value, selected=value == chosen) for value, text in choices]
    return tag("div", tag("label", label, for_=name), tag("select", *options, id=name, name=name), class_="field")


def form(action: str, button: str, *fields: object, class_: str = "", **hidden: object) -> Html:
    inputs = [tag("input", type="hidden", name=name, value=value) for name, value in hidden.items()]
    submit = tag("button", button, type="submit")
    return tag("form", *inputs, *fields, submit, method="post", action=action, class_=class_ or None)


def badge(status: object) -> Html:
    tone = {
        "succeeded": "good",
        "active": "good",
        "delivered": "good",
        "available": "good",
        "won": "good",
        "failed": "bad",
        "lost": "bad",
        "needs_response": "bad",
        "canceled": "dull",
    }.get(str(status), "wait")
    return tag("span", str(status).replace("_", " "), class_=f"badge {tone}")
