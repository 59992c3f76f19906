"""One brand: pages, Stripe's form and letters look as CHECKOUT_BRAND says, and nobody's style gets in by it."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from checkout import brand, checks, csp, mail
from checkout.office.example_letters import example

RED = {
    "accent": "#a00000",
    "on_accent": "#fffff0",
    "font": "'Gill Sans', sans-serif",
    "logo": "https://cdn.example/l.png",
}


def test_a_site_that_says_nothing_has_no_stylesheet_of_its_own(client: Client) -> None:
    assert client.get(reverse("checkout.brand")).content == b""
    assert "brand.css" not in render_to_string("checkout/_css.html")
    assert "<img" not in render_to_string("checkout/base.html")


def test_pages_get_the_colours_the_font_and_the_logo(client: Client, settings: Any) -> None:
    settings.CHECKOUT_BRAND = RED
    answer = client.get(reverse("checkout.brand"))
    assert answer["Content-Type"] == "text/css; charset=utf-8"
    assert answer.content.decode() == (
        ":where(.checkout) { --checkout-accent: light-dark(#a00000, #a00000);"
        " --checkout-on-accent: light-dark(#fffff0, #fffff0); }\n"
        ".checkout-page body, :where(.checkout) { font-family: 'Gill Sans', sans-serif; }\n"
    )
    assert f'href="{reverse("checkout.brand")}?' in render_to_string("checkout/_css.html")
    assert 'src="https://cdn.example/l.png"' in render_to_string("checkout/base.html")
    assert "https://cdn.example" in csp.policy().partition("img-src")[2].partition(";")[0]


def test_a_new_brand_has_a_new_address(settings: Any) -> None:
    settings.CHECKOUT_BRAND = RED
    before = render_to_string("checkout/_css.html")
    settings.CHECKOUT_BRAND = RED | {"accent": "#00a000"}
    assert render_to_string("checkout/_css.html") != before


@pytest.mark.django_db
def test_letters_have_the_same(settings: Any) -> None:
    settings.CHECKOUT_BRAND = RED
    mail.install()
    html = mail.preview("plan_agreed", example("plan_agreed"), "en-gb").html
    for said in ("background:#a00000;color:#fffff0", "Gill Sans", "https://cdn.example/l.png"):
        assert said in html


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"accent": "red", "font": "'Gill Sans', sans-serif", "logo": "https://cdn.example/l.png?a=1&b=2"}, []),
        ({"acent": "red"}, ["checkout.E037"]),
        ({"accent": "red; } body { display: none"}, ["checkout.E038"]),
        ({"font": '"Gill Sans"'}, ["checkout.E038"]),
    ],
)
def test_what_cannot_stand_in_a_stylesheet_is_refused(settings: Any, said: dict[str, str], found: list[str]) -> None:
    settings.CHECKOUT_BRAND = said
    assert [each.id for each in checks.check_brand()] == found


def test_every_part_is_known() -> None:
    assert set(RED) < set(brand.DEFAULTS)
