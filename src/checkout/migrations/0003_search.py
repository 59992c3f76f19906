"""An index for the staff pages' search."""

from django.db import migrations

# Words of names and addresses, for the staff pages' search: `checkout.office.search.Words` asks with the same expression.
# Only PostgreSQL has such an index; on SQLite the search reads the table, which is small there.
SEARCH = {
    "checkout_checkout_words": ("checkout_checkout", "payer || ' ' || description", ""),
    "checkout_customer_words": ("checkout_customer", "name || ' ' || email", ""),
    "checkout_request_words": ("checkout_customerpayment", "description", ""),
    # What staff wrote; the words of Stripe's are not looked for.
    "checkout_change_words": ("checkout_statechange", "note", " WHERE user_id IS NOT NULL"),
}


def add_search(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name, (table, text, where) in SEARCH.items():
            schema_editor.execute(
                f"CREATE INDEX {name} ON {table} "
                f"USING gin (to_tsvector('simple'::regconfig, translate({text}, '@.-_+<>', '       '))){where}"
            )


def remove_search(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name in SEARCH:
            schema_editor.execute(f"DROP INDEX IF EXISTS {name}")


class Migration(migrations.Migration):
    dependencies = [("checkout", "0002_lookups")]

    operations = [migrations.RunPython(add_search, remove_search)]
