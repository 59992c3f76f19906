"""The documents' examples, put together as a reader would, in a project of their own, and paid."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

SETTINGS = """
SECRET_KEY = "a-reader-of-the-quickstart"
DEBUG = True
USE_TZ = True
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "bookings",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
"""

PROGRAM = """
import django

django.setup()

from decimal import Decimal

from bookings.models import Booking, prove
from django.core.management import call_command
from django.test import Client

from checkout.models import Checkout, ObjectPaymentPlan
from checkout.gateway import gateway
from play_stripe import emulator

for command in (["makemigrations", "bookings"], ["migrate"], ["init_app_checkout"], ["check"]):
    call_command(*command)

booking = Booking.objects.create(name="Alex Example", email="alex@example.com", price=Decimal("85.00"))
prove(booking)
browser = Client()
page = browser.post(f"/bookings/{booking.pk}/pay/", follow=True)
assert page.status_code == 200, page.content
checkout = Checkout.objects.get()
emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
assert browser.get(f"/checkout/{checkout.uuid}/return/").headers["Location"] == f"/bookings/{booking.pk}/"
booking.refresh_from_db()
assert booking.paid
assert emulator.ledger.taken_minor(currency="gbp") == 8500

import plans

other = Booking.objects.create(name="Alex Example", email="alex@example.com", price=Decimal("1000.00"))
shown = browser.get(f"/bookings/{other.pk}/choose/?payment_plan=standard").content.decode()
assert "£200.00" in shown and "I have read this and I agree" in shown, shown
print("paid")
"""


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


def test_a_reader_of_the_quickstart_is_paid(tmp_path: Path) -> None:
    settings, models, proof, views, urls = blocks("quickstart.md")
    template, choose = blocks("payment-plans.md")
    app = tmp_path / "bookings"
    (app / "migrations").mkdir(parents=True)
    (app / "__init__.py").touch()
    (app / "migrations" / "__init__.py").touch()
    (app / "models.py").write_text(f"{models}\n{proof}")
    (app / "views.py").write_text(f"from bookings.models import Booking\n{views}\n{choose}")
    (tmp_path / "plans.py").write_text(template)
    (tmp_path / "play_stripe.py").write_text("from stripe_emulator import Emulator\n\nemulator = Emulator()\n")
    (tmp_path / "settings.py").write_text(
        f"{SETTINGS}\n{settings}\n"
        "from play_stripe import emulator\n\nCHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport\n"
    )
    own = 'urlpatterns += [path("bookings/<int:pk>/", PayBookingView.as_view(), name="booking")]\n'
    own += 'urlpatterns += [path("bookings/<int:pk>/choose/", ChooseView.as_view())]\n'
    (tmp_path / "urls.py").write_text(f"from bookings.views import *\n{urls}\n{own}")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("paid")
