"""Links for emails: absolute, and for payers without a login signed and short-lived."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Model
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from checkout.conf import conf
from checkout.contract import ContentObject
from checkout.errors import CheckoutError
from checkout.models import (
    Checkout,
    CheckoutAdditional,
    CustomerPayment,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    content_key,
)

#: What a signed link opens for a payer without a login.
Linked: TypeAlias = ObjectPaymentPlanInstalment | ObjectPaymentPlan | PlanChange | CustomerPayment | Checkout

#: Bytes of a link that stand for its recipient.
RECIPIENT: Final = 6

#: As `sign` makes them: what is signed, the time, and 32 bytes of signature.
TOKEN: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{43}(?![\w-])")


class BadLink(CheckoutError):
    """The token was not made by us, or was altered."""


class RevokedLink(CheckoutError):
    """The token was ours, and is good no more: the payer's address was corrected since, or staff revoked it."""


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


def make_token(row: Linked) -> str:
    """Opens this one debt or plan, and says nothing else: no intent id, no e-mail address, no amount.

    It is good for the address that its letters go to now, and until staff revoke it: `is_current`.
    """
    raw = row.uuid.bytes + _recipient(row, settings.SECRET_KEY)
    return sign(base64.urlsafe_b64encode(raw).decode().rstrip("="), type(row))


def read_token(token: str, model: type[Model]) -> UUID:
    """The uuid of a row of `model`. Raises ExpiredLink or BadLink."""
    return UUID(bytes=_read(token, model)[:16])


def is_current(token: str, row: Linked) -> bool:
    """False when the letter with this link went to an address that was corrected since, or its links were revoked.
    Raises as `read_token`."""
    kept = _read(token, type(row))[16:]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(kept, _recipient(row, key)) for key in keys)


def read_expired(token: str, model: type[Model]) -> UUID:
    """The uuid of a row of `model`, however old the link is: whoever holds it may ask for a new one, which goes to the
    address that we know. Raises BadLink."""
    try:
        return UUID(bytes=_bytes(_signer(model).unsign(token, max_age=None))[:16])
    except signing.BadSignature as problem:
        raise BadLink("The link is not one of ours.") from problem


def _read(token: str, model: type[Model]) -> bytes:
    return _bytes(unsign(token, model))


def _bytes(text: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as problem:
        raise BadLink("The link is not one of ours.") from problem
    if len(raw) != 16 + RECIPIENT:
        raise BadLink("The link is not one of ours.")
    return raw


def _recipient(row: Linked, key: str | bytes) -> bytes:
    """What stands for the address in a link: it tells nobody the address, and changes with it and when links are
    revoked."""
    to: Any = row.content_object if isinstance(row, Checkout) else row
    email = str(getattr(to, "checkout_email", "")).strip().lower()
    revoked = to.object_payment_plan if isinstance(to, ObjectPaymentPlanInstalment) else to
    revoked = to.plan if isinstance(to, PlanChange) else revoked
    revoked_at = getattr(revoked, "links_revoked_at", None)
    since = revoked_at.isoformat() if revoked_at is not None else ""
    text = row.uuid.bytes + f"{email}{since}".encode()
    mac = salted_hmac("checkout.links.recipient", text, secret=key, algorithm="sha256")
    return mac.digest()[:RECIPIENT]


def payment_link(instalment: ObjectPaymentPlanInstalment) -> str:
    """The whole address for a payer without a login."""
    return absolute("checkout.pay.link", make_token(instalment))


def plan_page(plan: ObjectPaymentPlan) -> str:
    """The whole address of the payer's own page of a plan, for letters. It needs no login."""
    return absolute("checkout.plan.link", make_token(plan))


def receipt(checkout: Checkout) -> str:
    """The whole address of the receipt of a payment, for its letter. It needs no login: one of a plan is opened by the
    link to the plan."""
    line = checkout.content_object
    if isinstance(line, ObjectPaymentPlanInstalment):
        return f"{plan_page(line.object_payment_plan)}?receipt={checkout.uuid}"
    return absolute("checkout.receipt.link", make_token(checkout))


def receipt_page(row: ContentObject) -> str:
    """The path of the receipt of the newest payment of a row, or an empty text. It opens for its payer: by login, and
    in the browser that paid."""
    paid = Checkout.objects.for_content_object(row).paid().filter(total__gt=0).order_by("-pk").first()
    return reverse("checkout.receipt", args=[paid.uuid]) if paid is not None else ""


def without_tokens(text: str) -> str:
    """A letter's text for people to whom it was not sent: its links open nothing."""
    return TOKEN.sub("…", text)


def invoice_form(row: ContentObject) -> str:
    """The path of the payer's form for an invoice. Signed: put it only on pages that belong to the row's payer."""
    key = content_key(row)
    return reverse("checkout.invoice", args=[sign(f"{key['content_type'].pk}-{key['object_id']}", CheckoutAdditional)])


def _signer(model: type[Model]) -> signing.TimestampSigner:
    # A signature made for one kind of row is good for no other. Only letters, digits and -_. : mail programs cut
    # addresses at other signs.
    return signing.TimestampSigner(salt=f"checkout.links.{model._meta.model_name}", sep=".")
