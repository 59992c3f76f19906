"""Put the states, the actions and the one row of settings there. Written out: a migration must not change when the code does."""

from django.db import migrations

STATES = [
    ("pending", "Pending"),
    ("request", "Request"),
    ("pay_on_session", "Pay on session"),
    ("success", "Success"),
    ("fail", "Fail"),
]
ACTIONS = [
    ("payment", "Payment", True),
    ("payment_plan", "Payment plan", False),
    ("card_refresh", "Card refresh", False),
    ("charge", "Charge", True),
    ("manual", "Manual", True),
    ("invoice", "Invoice", False),
]


def fill(apps, schema_editor):
    using = schema_editor.connection.alias
    state = apps.get_model("checkout", "CheckoutState")
    action = apps.get_model("checkout", "CheckoutAction")
    for slug, name in STATES:
        state.objects.using(using).get_or_create(slug=slug, defaults={"name": name})
    for slug, name, payment in ACTIONS:
        action.objects.using(using).get_or_create(slug=slug, defaults={"name": name, "payment": payment})
    # With its mark, by which Stripe's objects are known as ours: a database that is restored has to have its own.
    apps.get_model("checkout", "CheckoutSettings").objects.using(using).get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("checkout", "0001_initial")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
