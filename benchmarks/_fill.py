"""Books of a busy office, made in seconds: instalments, checkouts and all that goes with them, by generate_series.

    DATABASE_URL=postgresql://… python benchmarks/_fill.py [--instalments 1000000] [--checkouts 200000]

For an empty, migrated PostgreSQL database. Ten lines to a plan; most are paid, some late, some declined; five years.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

LINES = 10

#: Each is one statement; {plans}, {checkouts} and {content_type} are filled in.
STATEMENTS = {
    "template": """
        INSERT INTO checkout_paymentplan (id, name, slug, deposit, count, interval, late_deposit, paid_early,
            deleted, created_at)
        VALUES (1000, 'Ten parts', 'ten-parts', 10, 9, 1, 'move', 'next', false, now())
    """,
    "customers": """
        INSERT INTO checkout_customer (id, name, email, email_folded, uuid, created_at, language)
        SELECT n, first || ' ' || last, address, address, gen_random_uuid(), now() - n * interval '10 minutes', ''
        FROM generate_series(1, {plans}) n,
            LATERAL (SELECT
                (ARRAY['Ann','Bob','Cleo','Dan','Eve','Finn','Gwen','Hugo','Iris','Jack'])[1 + n % 10] first,
                (ARRAY['Smith','Jones','Taylor','Brown','Wilson','Evans','Thomas','Roberts','Walker','Wright','Hall',
                'Green','Wood','Clarke','Hill','Scott','Moore','Young'])[1 + n % 18] || (n % 250) last) names,
            LATERAL (SELECT lower(first) || '.' || lower(last) || n || '@example.com' address) addresses
    """,
    "cards": """
        INSERT INTO checkout_savedcard (id, customer_id, account, livemode, stripe_customer_id, payment_method_id,
            brand, last4, exp_month, exp_year, fingerprint, expiry_date, set_up_at, refresh, gone, replaced)
        SELECT n, n, '', false, 'cus_' || n, 'pm_' || n, 'visa', lpad((n % 10000)::text, 4, '0'), 1 + n % 12,
            2026 + n % 6, md5(n::text), date '2026-09-30' + (n % 1800), now(), n % 97 = 0, false, false
        FROM generate_series(1, {plans}) n
    """,
    "agreements": """
        INSERT INTO checkout_agreement (id, kind, saved_card_id, other_amounts, note, text, version, total, currency,
            lines, agreed_at, user_agent)
        SELECT n, 'payer', n, false, '', 'As agreed.', '1', 1000, 'GBP', '[]', now(), ''
        FROM generate_series(1, {plans}) n
    """,
    "plans": """
        INSERT INTO checkout_objectpaymentplan (id, uuid, content_type_id, object_id, payment_plan_id, customer_id,
            agreement_id, total, currency, deleted, deleted_at, paused, version, created_at)
        SELECT n, gen_random_uuid(), {content_type}, n::text, 1000, n, n, 1000, 'GBP', n % 40 = 0,
            CASE WHEN n % 40 = 0 THEN now() END, n % 5000 = 1, 0,
            now() - (({plans} - n) * 1800.0 / {plans}) * interval '1 day'
        FROM generate_series(1, {plans}) n
    """,
    # Each line has a debt of the same number.
    "debts": """
        INSERT INTO checkout_debt (id, uuid, content_type_id, object_id, currency, owed, paid, earlier, asked, attempts,
            created_at)
        SELECT id, gen_random_uuid(), {line_type}, id::text, 'GBP', 100,
            CASE WHEN due > current_date THEN 0
                WHEN n % 50 = 0 AND line > 6 THEN 0
                ELSE 100 END, 0, 0, CASE WHEN id <= {checkouts} THEN 1 ELSE 0 END, due
        FROM generate_series(1, {plans}) n, generate_series(1, {lines}) line,
            LATERAL (SELECT (current_date - ((({plans} - n) * 1800 / {plans})::int) + (line - 1) * 30) due) days,
            LATERAL (SELECT (n - 1) * {lines} + line id) ids
    """,
    # A plan began somewhere in five years; a line is paid once its day has passed, but for the late ones.
    "instalments": """
        INSERT INTO checkout_objectpaymentplaninstalment (id, uuid, object_payment_plan_id, count, deposit, amount, due,
            ended, debt_id, state_id)
        SELECT (n - 1) * {lines} + line, gen_random_uuid(), n, line, line = 1, 100, due, '', (n - 1) * {lines} + line,
            CASE WHEN due > current_date THEN 'pending'
                WHEN n % 50 = 0 AND line > 6 THEN (ARRAY['fail', 'pay_on_session', 'pending'])[1 + line % 3]
                ELSE 'success' END
        FROM generate_series(1, {plans}) n, generate_series(1, {lines}) line,
            LATERAL (SELECT (current_date - ((({plans} - n) * 1800 / {plans})::int) + (line - 1) * 30) due) days
    """,
    "checkouts": """
        INSERT INTO checkout_checkout (id, uuid, action_id, state_id, content_type_id, object_id, customer_id,
            description, payer, total, refunded, currency, payment_intent_id, setup_intent_id, payment_method_id,
            stripe_customer_id, on_session, livemode, created_at, seen_at, settled_at, error_code, decline_code,
            advice_code, network_advice_code, network_decline_code, failure, failure_code, superseded, allocated,
            unapplied, language, debt_id, number)
        SELECT n, gen_random_uuid(), CASE WHEN n % 5 = 0 THEN 'payment' ELSE 'charge' END,
            CASE WHEN n % 25 = 0 THEN 'fail' WHEN n % 601 = 0 THEN 'pay_on_session' ELSE 'success' END,
            {line_type}, n::text, 1 + n % {plans}, 'Instalment of a course', c.name || ' <' || c.email || '>', 100, 0,
            'GBP', 'pi_' || n, '', 'pm_' || n, 'cus_' || n, n % 5 = 0, false, moment, moment, moment,
            CASE WHEN n % 25 = 0 THEN 'card_declined' ELSE '' END,
            CASE WHEN n % 25 = 0 THEN (ARRAY['insufficient_funds', 'do_not_honor', 'expired_card'])[1 + n % 3]
                ELSE '' END,
            '', '', '', '', CASE WHEN n % 25 = 0 THEN 'card_declined' ELSE '' END, false, false, false, '',
            n, 1
        FROM generate_series(1, {checkouts}) n JOIN checkout_customer c ON c.id = 1 + n % {plans},
            LATERAL (SELECT now() - (({checkouts} - n) * 1800.0 / {checkouts}) * interval '1 day' moment) at
    """,
    "postings": """
        INSERT INTO checkout_posting (debt_id, kind, amount, day, cause, checkout_id, note, method, reference,
            at)
        SELECT d.id, moved.kind, moved.amount, i.due, moved.kind || ':' || d.id,
            CASE WHEN moved.kind = 'taken' THEN c.id END, '', '', '', i.due
        FROM checkout_debt d JOIN checkout_objectpaymentplaninstalment i ON i.debt_id = d.id
            LEFT JOIN checkout_checkout c ON c.id = d.id,
            LATERAL (VALUES ('owed', d.owed), ('taken', d.paid)) moved (kind, amount)
        WHERE moved.amount <> 0
    """,
    "receipts": """
        INSERT INTO checkout_paper (checkout_id, series, number, card_brand, card_last4, card_wallet, issued_at)
        SELECT id, 'R-2024', id, 'visa', lpad((id % 10000)::text, 4, '0'), '', settled_at
        FROM checkout_checkout WHERE state_id = 'success'
    """,
    "state changes": """
        INSERT INTO checkout_statechange (checkout_id, from_state, to_state, at, code, facts, note)
        SELECT id, 'pending', state_id, settled_at,
            CASE state_id WHEN 'fail' THEN 'stripe_says' WHEN 'success' THEN 'stripe_succeeded'
                ELSE 'stripe_wants_payer' END,
            CASE state_id WHEN 'fail' THEN jsonb_build_object('code', decline_code) ELSE '{{}}' END, ''
        FROM checkout_checkout
    """,
    "refunds": """
        INSERT INTO checkout_refund (uuid, checkout_id, amount, currency, reason, note, state, refund_id, failure,
            from_dashboard, plan_effect, plan_effect_done, created_at, settled_at)
        SELECT gen_random_uuid(), id, 10, 'GBP', 'duplicate', '', 'succeeded', 're_' || id, '', false, 'keep', true,
            settled_at, settled_at
        FROM checkout_checkout WHERE id % 100 = 1 AND state_id = 'success'
    """,
    "runs": """
        INSERT INTO checkout_paymentrun (id, started_at, finished_at, note, stopped_why)
        SELECT n, now() - (1800 - n) * interval '1 day', now() - (1800 - n) * interval '1 day', '', ''
        FROM generate_series(1, 1800) n
    """,
    "run items": """
        INSERT INTO checkout_paymentrunitem (payment_run_id, instalment_id, checkout_id, outcome, note)
        SELECT 1 + (n * 1799.0 / {checkouts})::int, n, n, CASE WHEN n % 25 = 0 THEN 'declined' ELSE 'charged' END, ''
        FROM generate_series(1, {checkouts}) n
    """,
    "requests": """
        INSERT INTO checkout_customerpayment (uuid, customer_id, description, total, currency, state_id, created_at,
            withdrawn_why)
        SELECT gen_random_uuid(), n, 'Books', 20, 'GBP', CASE WHEN n % 7 = 0 THEN 'pending' ELSE 'success' END, now(),
            ''
        FROM generate_series(1, {plans}, 5) n
    """,
    "events": """
        INSERT INTO checkout_stripeevent (event_id, event_type, object_id, livemode, api_version, created_at,
            received_at, payload, attempts, handled_at, error, outcome)
        SELECT 'evt_' || n, 'payment_intent.succeeded', 'pi_' || n, false, '', now(), now(), '{{}}'::jsonb, 1,
            CASE WHEN n % 5000 = 0 THEN NULL ELSE now() END, '', ''
        FROM generate_series(1, {checkouts}) n
    """,
    "disputes": """
        INSERT INTO checkout_dispute (kind, dispute_id, status, is_open, reason, amount, currency, evidence_sent,
            charge_id, payment_intent_id, checkout_id, opened_at, read_at)
        SELECT 'dispute', 'du_' || id, CASE WHEN id % 4000 = 1 THEN 'needs_response' ELSE 'won' END, id % 4000 = 1,
            'fraudulent', 100, 'GBP', false, 'ch_' || id, payment_intent_id, id, settled_at, settled_at
        FROM checkout_checkout WHERE id % 1000 = 1
    """,
}


def _print(words: str) -> None:
    print(words, flush=True)


def fill(instalments: int = 1_000_000, checkouts: int = 200_000, *, say: Callable[[str], None] = _print) -> None:
    """Write the rows."""
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    from checkout.models import ObjectPaymentPlanInstalment
    from tests.host.models import Membership

    words = {
        "plans": instalments // LINES,
        "lines": LINES,
        "checkouts": checkouts,
        "content_type": ContentType.objects.get_for_model(Membership).pk,
        "line_type": ContentType.objects.get_for_model(ObjectPaymentPlanInstalment).pk,
    }
    with connection.cursor() as cursor:
        for name, statement in STATEMENTS.items():
            started = time.perf_counter()
            sql = statement.format(**words)
            cursor.execute(sql)
            say(f"  {name}: {cursor.rowcount:,} in {time.perf_counter() - started:.1f} s")


def restart_numbers() -> None:
    """Let rows that come later take numbers after those that were written with theirs."""
    from django.apps import apps
    from django.core.management.color import no_style
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_app_config("checkout").get_models()):
            cursor.execute(statement)


def analyze() -> None:
    """Let the planner know the new rows, as autovacuum would; not inside a transaction."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def main() -> None:
    import django

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--instalments", type=int, default=1_000_000)
    options.add_argument("--checkouts", type=int, default=200_000)
    chosen = options.parse_args()
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    fill(chosen.instalments, chosen.checkouts)
    analyze()


if __name__ == "__main__":
    main()
