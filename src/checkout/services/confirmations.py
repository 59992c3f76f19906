"""The letter that confirms a payment plan to its payer: the card networks ask for one, and payers keep it."""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import formats, translation
from django.utils.translation import gettext as _

from checkout import links, mail, money, states
from checkout.conf import conf
from checkout.models import ObjectPaymentPlan
from checkout.services import notices, unsent

logger = logging.getLogger("checkout.confirmations")


def confirm_plan(plan: ObjectPaymentPlan) -> bool:
    """Queue the letter with every date and amount, once per plan, in the transaction that began the plan.

    False when it had been queued, or cannot be: the deposit is taken, and no wrong template or row may undo that.
    """
    try:
        with transaction.atomic():
            return _send(plan)
    except Exception as problem:
        # Staff word the template, and the host's row is in it, so anything may come out of them.
        if isinstance(problem, mail.MailNotReady):
            logger.error("plan %s was not confirmed by mail: %s", plan.pk, problem, extra={"plan": plan.pk})
        else:
            logger.exception("plan %s was not confirmed by mail", plan.pk, extra={"plan": plan.pk})
        unsent.report(_cause(plan), problem)
    return False


def _cause(plan: ObjectPaymentPlan) -> str:
    return f"plan_agreed:{plan.pk}"


def _send(plan: ObjectPaymentPlan) -> bool:
    content_object = plan.content_object
    language = notices.language_of(content_object, plan.customer)
    with translation.override(language):
        context = {
            "name": plan.checkout_name,
            "description": ", ".join(str(line) for line in getattr(content_object, "checkout_description", [])),
            "total": money.format_money(plan.total, plan.currency, language),
            "card": plan.card.description if plan.card is not None else "",
            "lines": [
                {
                    "label": _("deposit") if line.deposit else _("instalment %(number)d") % {"number": line.count - 1},
                    "due": formats.date_format(line.due, "DATE_FORMAT"),
                    "amount": money.format_money(line.amount, plan.currency, language),
                    "paid": line.state_id == states.SUCCESS,
                }
                for line in plan.payments
            ],
            "link": links.plan_page(plan),
            "contact": conf.CHECKOUT_CONTACT_TEXT,
            "organisation": conf.STRIPE_CAPTION,
        }
    return notices.send_once(
        _cause(plan),
        mail.PLAN_AGREED,
        plan.checkout_email,
        context,
        language=language,
        customer=plan.customer,
    )
