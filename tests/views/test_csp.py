"""The policy ships: every page of the app has it, whatever middleware the site has, and reports come to the log."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.http import HttpResponse
from django.template import Context, Template
from django.test import Client, RequestFactory

from checkout import csp
from checkout.models import Checkout
from checkout.views.access import problem_page
from tests.views.shop import order, pay_page

pytestmark = pytest.mark.django_db

POLICY = "Content-Security-Policy"
NOT_OURS = "example_checkout.middleware.ContentSecurityPolicyMiddleware"


@pytest.fixture
def without_middleware(settings: Any) -> None:
    """A site that sets no policy itself."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != NOT_OURS]


@pytest.fixture
def page(client: Client, emulator: Any) -> str:
    sale = order()
    session = client.session
    session["example_orders"] = [sale.pk]
    session.save()
    return pay_page(client, sale)


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (part.split() for part in policy.split(";"))}


@pytest.mark.usefixtures("without_middleware")
def test_payers_and_staff_pages_have_it_and_the_hosts_do_not(client: Client, page: str, boss: Any) -> None:
    staff = Client()
    staff.force_login(boss)
    payers = [page, f"/checkout/{Checkout.objects.get().uuid}/return/", "/checkout/pay/cut-off/"]
    for address in payers:
        policy = directives(client.get(address).headers[POLICY])
        assert policy["frame-ancestors"] == ["'none'"], address
    assert directives(staff.get("/checkout/staff/").headers[POLICY])["script-src"] == ["'self'"]
    assert POLICY not in client.get("/").headers
    assert POLICY not in staff.get("/admin/").headers


def test_it_allows_stripe_and_nothing_else(settings: Any) -> None:
    settings.CHECKOUT_STRIPE_JS_URL = "https://js.stripe.com/endive/stripe.js"
    policy = directives(csp.policy())
    assert policy["script-src"] == ["'self'", "https://js.stripe.com", "https://*.js.stripe.com"]
    assert policy["connect-src"] == ["'self'", "https://api.stripe.com"]
    assert policy["default-src"] == ["'self'"]
    assert policy["object-src"] == policy["base-uri"] == ["'none'"]
    assert "unsafe" not in csp.policy()
    assert "stripe.com" not in csp.policy(stripe=False)
    assert directives(csp.policy(stripe=False))["frame-src"] == ["'none'"]


def test_the_sites_own_policy_stays(settings: Any, rf: RequestFactory) -> None:
    response = HttpResponse()
    response.headers[POLICY] = "default-src 'none'"
    csp.protect(rf.get("/"), response, stripe=True)
    assert response.headers[POLICY] == "default-src 'none'"


@pytest.mark.parametrize(("value", "header"), [("enforce", POLICY), ("report", f"{POLICY}-Report-Only"), ("off", None)])
def test_the_setting_says_what_is_done(settings: Any, rf: RequestFactory, value: str, header: str | None) -> None:
    settings.CHECKOUT_CSP = value
    response = HttpResponse()
    csp.protect(rf.get("/"), response, stripe=True)
    assert [name for name in response.headers if name.startswith(POLICY)] == ([header] if header else [])


def test_a_site_adds_its_sources_and_its_nonce(settings: Any, rf: RequestFactory) -> None:
    settings.CHECKOUT_CSP_SOURCES = {"style-src": ["https://fonts.example"], "base-uri": ["'self'"]}
    request = rf.get("/")
    request.csp_nonce = "abc123"  # type: ignore[attr-defined]
    response = HttpResponse()
    csp.protect(request, response, stripe=False)
    policy = directives(response.headers[POLICY])
    assert policy["style-src"] == ["'self'", "https://fonts.example"]
    assert policy["base-uri"] == ["'self'"]
    assert policy["script-src"] == ["'self'", "'nonce-abc123'"]


def test_reports_have_an_address(settings: Any, rf: RequestFactory) -> None:
    response = problem_page(rf.get("/"), 404, "x", "y")
    csp.protect(rf.get("/"), response, stripe=True)
    assert directives(response.headers[POLICY])["report-uri"] == ["/checkout/csp-report/"]
    assert response.headers["Reporting-Endpoints"] == 'checkout-csp="/checkout/csp-report/"'
    settings.CHECKOUT_CSP_REPORT_URI = "https://reports.example/csp"
    assert directives(csp.policy())["report-uri"] == ["https://reports.example/csp"]


# -- reports ---------------------------------------------------------------------------------------------------

STOPPED = {
    "document-uri": "https://shop.example/checkout/pay/secret-token/",
    "effective-directive": "script-src",
    "blocked-uri": "https://evil.example/skimmer.js?card=4242",
}


@pytest.mark.parametrize(
    "body",
    [
        {"csp-report": STOPPED},
        [
            {
                "type": "csp-violation",
                "body": {
                    "documentURL": STOPPED["document-uri"],
                    "effectiveDirective": "script-src",
                    "blockedURL": STOPPED["blocked-uri"],
                },
            }
        ],
    ],
)
def test_a_report_is_logged_without_the_link_that_it_came_from(client: Client, caplog: Any, body: Any) -> None:
    answer = client.post("/checkout/csp-report/", json.dumps(body), content_type="application/csp-report")
    assert answer.status_code == 204
    assert "a policy stopped script-src from https://evil.example on checkout.pay.link" in caplog.text
    assert "secret-token" not in caplog.text
    assert "4242" not in caplog.text


@pytest.mark.parametrize(
    "body", ["", "[]", "null", "{", '{"csp-report": 5}', "[" * 9000, '[{"body": {}}]', "\x00", "x" * 30_000]
)
def test_a_report_that_is_none_is_no_error(client: Client, body: str) -> None:
    assert client.post("/checkout/csp-report/", body, content_type="application/csp-report").status_code == 204


def test_a_flood_of_reports_fills_no_log(client: Client, caplog: Any) -> None:
    for _number in range(80):
        client.post("/checkout/csp-report/", json.dumps({"csp-report": STOPPED}), content_type="application/json")
    assert caplog.text.count("a policy stopped") == 50


# -- scripts ---------------------------------------------------------------------------------------------------


def test_every_script_of_a_template_is_in_the_inventory_and_no_other() -> None:
    folder = Path(csp.__file__).parent / "templates"
    named = {
        path
        for template in folder.rglob("*.html")
        for path in re.findall(r'checkout_script "([^"]+)"', template.read_text())
    }
    assert named == {script.path for script in csp.SCRIPTS if script.path}
    elements = [line for file in folder.rglob("*.html") for line in re.findall(r"<script[^>]*>", file.read_text())]
    assert [line for line in elements if "{{ stripe_js_url }}" not in line] == []


def test_the_inventory_is_printed_with_hash_and_reason() -> None:
    out = StringIO()
    call_command("payment_page_scripts", stdout=out)
    for path in ("checkout/elements.js", "checkout/status.js"):
        content = Path(str(finders.find(path))).read_bytes()
        known = "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()
        assert known in out.getvalue()
    assert "Stripe.js shows the card form" in out.getvalue()
    assert "default-src 'self'" in out.getvalue()


def script(**context: Any) -> str:
    return Template("{% load checkout_tags %}{% checkout_script 'checkout/status.js' %}").render(Context(context))


def test_a_script_has_its_hash_where_its_name_changes_with_its_content(monkeypatch: Any) -> None:
    assert script() == '<script src="/static/checkout/status.js" defer></script>'
    monkeypatch.setattr(csp, "is_pinned", lambda: True)
    known = csp.integrity("checkout/status.js")
    assert f'integrity="{known}"' in script()
    assert 'nonce="a&quot;b"' in script(csp_nonce='a"b')
