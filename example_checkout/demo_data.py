"""What the demo shop starts with. Safe to load again: what is there is left as it is."""

from __future__ import annotations

from decimal import Decimal

from django.contrib.auth import get_user_model
from django.db import transaction

from checkout.models import CheckoutSettings, PaymentPlan
from example_checkout.models import Contact, Product

#: name and password alike
PAYER, STAFF = "payer", "staff"
#: Whose login the first one is.
PAYER_NAME = "Pat Payer"

PRODUCTS = [
    {
        "slug": "library",
        "name": "Library membership",
        "when": "One year from today",
        "price": Decimal("30.00"),
        "description": "Borrow from four thousand books, and use the reading room in the evenings.",
    },
    {
        "slug": "beekeeping",
        "name": "Beekeeping: a first look",
        "when": "Saturday 9 May, 10 am to 4 pm",
        "price": Decimal("48.50"),
        "description": "A day among the hives on the south meadow.\n\nSuits are lent; bring boots. Lunch is included.",
    },
    {
        "slug": "pottery",
        "name": "Pottery for beginners",
        "when": "Tuesdays, 7 pm, ten weeks",
        "price": Decimal("85.00"),
        "description": "Pinch, coil, throw and glaze. Clay and firing are included.\n\nEight places at eight wheels.",
    },
    {
        "slug": "first-aid",
        "name": "First aid at work",
        "when": "Friday 15 May, 9 am to 5 pm",
        "price": Decimal("120.00"),
        "description": "The one-day course, with the certificate that employers ask for.",
    },
    {
        "slug": "bookkeeping",
        "name": "Certificate in bookkeeping",
        "when": "Thursdays, 6 pm, thirty weeks",
        "price": Decimal("1050.00"),
        "description": "From the first ledger to the year's accounts, with the exam at the end.",
        "on_plan": True,
    },
    {
        "slug": "garden-design",
        "name": "Diploma in garden design",
        "when": "Every second weekend, one year",
        "price": Decimal("2400.00"),
        "description": "Survey, plan, plant. You leave with a garden that you have drawn and somebody has dug.",
        "on_plan": True,
    },
]

PLANS = [
    {
        "slug": "deposit-20-4-monthly",
        "name": "20% now, then 4 monthly payments",
        "deposit": 20,
        "count": 4,
        "interval": 1,
    },
    {
        "slug": "deposit-10-10-monthly",
        "name": "10% now, then 10 monthly payments",
        "deposit": 10,
        "count": 10,
        "interval": 1,
    },
]


@transaction.atomic
def load() -> None:
    """Put the demo's people, products and payment plans there."""
    users = get_user_model().objects
    if not users.filter(username=STAFF).exists():
        users.create_superuser(STAFF, "office@green-lane.example", STAFF)
    if not users.filter(username=PAYER).exists():
        users.create_user(PAYER, "pat@payer.example", PAYER)
    payer = users.get(username=PAYER)
    Contact.objects.get_or_create(user=payer, defaults={"name": PAYER_NAME, "email": payer.email})
    for product in PRODUCTS:
        Product.objects.get_or_create(slug=product["slug"], defaults=product)
    for plan in PLANS:
        PaymentPlan.objects.get_or_create(slug=plan["slug"], defaults=plan)
    chosen = CheckoutSettings.objects.settings
    if chosen.default_payment_plan is None:
        chosen.default_payment_plan = PaymentPlan.objects.get(slug=PLANS[0]["slug"])
        chosen.save(update_fields=["default_payment_plan"])
