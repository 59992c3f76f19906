"""Staff look at every letter with made-up words, in every language, and nothing is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation
from post_office.models import Email, EmailTemplate

import checkout
from checkout import letters, mail
from checkout.office.example_letters import example
from tests.unit.test_translations import variables

pytestmark = pytest.mark.django_db

FOLDER = Path(checkout.__file__).parent / "templates" / "checkout" / "mail"
#: What a filter or a loop adds, and what every letter is given by the door.
NOT_GIVEN = {"fact.label", "fact.value", "brand.button", "brand", "language"}


@pytest.fixture
def office(client: Client, admin_user: Any, settings: Any) -> Client:
    settings.LANGUAGES = [("en-gb", "English"), ("de", "German")]
    mail.install()
    client.force_login(admin_user)
    return client


def test_the_list_names_every_letter_and_which_are_off(office: Client, settings: Any) -> None:
    settings.CHECKOUT_LETTERS = {"payment_due": False}
    answer = office.get(reverse("checkout.letter.register"))
    assert [row["name"] for row in answer.context["letters"]] == list(letters.REGISTER)
    assert [row["name"] for row in answer.context["letters"] if not row["is_on"]] == ["payment_due"]


@pytest.mark.parametrize("language", ["en-gb", "de"])
def test_every_letter_can_be_looked_at_as_text_and_as_html(office: Client, language: str) -> None:
    for name in letters.REGISTER:
        page = office.get(reverse("checkout.letter.detail", args=[name]), {"language": language})
        said = page.context["said"]
        assert page.status_code == 200
        assert ("Sam Sample" if language == "en-gb" else "Max Muster") in said.text
        shown = office.get(page.context["html_url"])
        assert shown.content.decode() == said.html
        policy = shown["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'", "sandbox"} < set(policy), "nothing runs in it"
    assert not Email.objects.exists()


@pytest.mark.parametrize("name", letters.REGISTER)
def test_the_made_up_words_are_all_that_a_letter_asks_for(name: str) -> None:
    with translation.override("en-gb"):
        given = example(name)
    for path in FOLDER.glob(f"{name}.*"):
        asked = {word for word in variables(path.read_text()) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", word)}
        loops = set(re.findall(r"{%\s*for\s+(\w+)\s+in", path.read_text()))
        wanted = {word for word in asked - NOT_GIVEN if word.partition(".")[0] not in loops | {"brand"}}
        assert wanted <= set(given), path.name


def test_a_letter_that_was_reworded_wrongly_says_so(office: Client) -> None:
    EmailTemplate.objects.filter(name="payment_due").update(content="{% if %}")
    answer = office.get(reverse("checkout.letter.detail", args=["payment_due"]))
    assert "cannot be rendered" in answer.content.decode()
    assert "cannot be rendered" in office.get(reverse("checkout.letter.html", args=["payment_due"])).content.decode()


def test_what_is_no_letter_is_not_found(office: Client) -> None:
    assert office.get(reverse("checkout.letter.detail", args=["spam"])).status_code == 404
