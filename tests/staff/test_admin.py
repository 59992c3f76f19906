"""Django's admin: every table is there, money is read-only, and no list asks a question per row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from checkout.models import Checkout, CheckoutSettings, Customer, PaymentPlan, RecoveryPolicy, StateChange, StripeEvent
from tests.staff.conftest import Books
from tests.staff.test_pages import make_rows

pytestmark = pytest.mark.django_db

MODELS = list(apps.get_app_config("checkout").get_models())
EDITED = {PaymentPlan, CheckoutSettings, Customer, RecoveryPolicy}


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def test_every_table_is_there() -> None:
    assert {model for model in MODELS if model not in admin.site._registry} == set()


def test_a_list_asks_a_fixed_number_of_questions(office: Client, count_queries: Callable[..., int]) -> None:
    def asked(model: Any) -> int:
        def look() -> None:
            url = reverse(f"admin:checkout_{model._meta.model_name}_changelist")
            assert office.get(url).status_code == 200, model

        look()
        return count_queries(look)

    make_rows(3)
    ContentType.objects.get_for_models(*MODELS)
    few = {model.__name__: asked(model) for model in MODELS}
    make_rows(10)
    assert {model.__name__: asked(model) for model in MODELS} == few


def test_the_newest_stands_first(office: Client) -> None:
    make_rows(3)
    for model in (Checkout, StripeEvent, StateChange):
        shown = office.get(reverse(f"admin:checkout_{model._meta.model_name}_changelist")).context["cl"].result_list
        assert [row.pk for row in shown] == sorted((row.pk for row in shown), reverse=True)


def test_money_is_to_read_only(office: Client, books: Books) -> None:
    wrong = []
    for model in MODELS:
        stem = f"admin:checkout_{model._meta.model_name}"
        row = model._default_manager.first()
        answers = {}
        if row is not None:
            answers["read", 200] = office.get(reverse(f"{stem}_change", args=[row.pk]))
            answers["delete", 403] = office.post(reverse(f"{stem}_delete", args=[row.pk]), {"post": "yes"})
        if model not in EDITED:
            answers["add", 403] = office.post(reverse(f"{stem}_add"), {})
            if row is not None:
                answers["change", 403] = office.post(reverse(f"{stem}_change", args=[row.pk]), {})
        wrong += [
            (model.__name__, what, answer.status_code)
            for (what, expected), answer in answers.items()
            if answer.status_code != expected
        ]
    assert wrong == []


def test_the_admins_action_goes_through_the_service(office: Client, books: Books) -> None:
    url = reverse("admin:checkout_checkout_changelist")
    data = {"action": "ask_stripe", "_selected_action": [books.open.pk]}
    assert office.post(url, data).status_code == 302
    books.open.refresh_from_db()
    assert books.open.is_open
    assert Checkout.objects.count()
