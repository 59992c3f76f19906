"""Links for emails: absolute, and for payers without a login signed and short-lived."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from uuid import UUID

from django.core import signing
from django.db.models import Model
from django.urls import reverse

from checkout.conf import conf
from checkout.contract import ContentObject
from checkout.errors import CheckoutError
from checkout.models import CheckoutAdditional, CustomerPayment, ObjectPaymentPlanInstalment, content_key


class BadLink(CheckoutError):
    """The token was not made by us, or was altered."""


class ExpiredLink(CheckoutError):
    """The token was ours, and is older than CHECKOUT_LINK_DAYS."""


def base_url() -> str:
    """The site's own address without a slash at the end. Raises CheckoutError when the site has not set it."""
    if not conf.CHECKOUT_BASE_URL:
        raise CheckoutError(
            "Set CHECKOUT_BASE_URL in your settings, for example https://www.example.org: mails need whole addresses."
        )
    return str(conf.CHECKOUT_BASE_URL).rstrip("/")


def absolute(name: str, *args: object) -> str:
    """The whole address of a URL name, for mails: there is no request to ask."""
    return base_url() + reverse(name, args=args)


def sign(text: str, model: type[Model]) -> str:
    """A token that opens what `text` names, for a page of `model`. The time it was made is in it, so that
    CHECKOUT_LINK_DAYS counts when it is opened."""
    return _signer(model).sign(text)


def unsign(token: str, model: type[Model]) -> str:
    """What `sign` was given. Raises ExpiredLink, or BadLink for whatever we did not make for this model."""
    try:
        return _signer(model).unsign(token, max_age=timedelta(days=conf.CHECKOUT_LINK_DAYS))
    except signing.SignatureExpired as problem:
        raise ExpiredLink("The link has expired.") from problem
    except signing.BadSignature as problem:
        raise BadLink("The link is not one of ours.") from problem


def make_token(row: ObjectPaymentPlanInstalment | CustomerPayment) -> str:
    """Opens this one debt, and says nothing else: no intent id, no e-mail address, no amount."""
    return sign(base64.urlsafe_b64encode(row.uuid.bytes).decode().rstrip("="), type(row))


def read_token(token: str, model: type[Model]) -> UUID:
    """The uuid of the debt, a row of `model`. Raises ExpiredLink or BadLink."""
    text = unsign(token, model)
    try:
        return UUID(bytes=base64.urlsafe_b64decode(text + "=="))
    except (binascii.Error, ValueError) as problem:
        raise BadLink("The link is not one of ours.") from problem


def payment_link(instalment: ObjectPaymentPlanInstalment) -> str:
    """The whole address for a payer without a login."""
    return absolute("checkout.pay.link", make_token(instalment))


def invoice_form(row: ContentObject) -> str:
    """The path of the payer's form for an invoice. Signed: put it only on pages that belong to the row's payer."""
    key = content_key(row)
    return reverse("checkout.invoice", args=[sign(f"{key['content_type'].pk}-{key['object_id']}", CheckoutAdditional)])


def _signer(model: type[Model]) -> signing.TimestampSigner:
    # A signature made for one kind of row is good for no other. Only letters, digits and -_. : mail programs cut
    # addresses at other signs.
    return signing.TimestampSigner(salt=f"checkout.links.{model._meta.model_name}", sep=".")
