"""Files for the evidence of a dispute (https://docs.stripe.com/api/files).

At Stripe they are sent to a host of its own: `base_addresses={"files": ...}` of the SDK. What is in them is not kept,
so they have no address to be read from.
"""

from __future__ import annotations

from typing import Any

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World
from stripe_emulator.wire.forms import FilePart
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Choice, NotEmulated
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE

_URL = "/v1/files"
_PURPOSES = (
    "account_requirement", "additional_verification", "business_icon", "business_logo", "customer_signature",
    "dispute_evidence", "identity_document", "issuing_regulatory_reporting", "pci_document",
    "platform_terms_of_service", "tax_document_user_upload", "terminal_android_apk", "terminal_reader_splashscreen",
)  # fmt: skip
_TYPES = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}
_ENDINGS = {"jpeg": "jpg", "jpg": "jpg", "pdf": "pdf", "png": "png"}
_KEPT_DAYS = 365


class _Upload:
    """A part of multipart/form-data that is a file."""

    def read(self, value: Any, name: str) -> FilePart:
        if not isinstance(value, FilePart):
            raise invalid(f"Invalid file: send {name} as multipart/form-data.", name)
        return value


@route(
    "POST",
    _URL,
    {"file": _Upload(), "file_link_data": NotEmulated("it has no file links"), "purpose": Choice(*_PURPOSES)},
    ("file", "purpose"),
)
def create(world: World, call: Call) -> JSON:
    sent: FilePart = call.params["file"]
    if call.params["purpose"] != "dispute_evidence":
        raise invalid("The emulator takes files with the purpose dispute_evidence only.", "purpose")
    kind = _TYPES.get(sent.type) or _ENDINGS.get(sent.filename.rpartition(".")[2].lower())
    if kind is None:
        raise invalid("Evidence of a dispute is a PDF, a JPEG or a PNG.", "file")
    row: JSON = {
        "id": world.ids.new("file"),
        "object": "file",
        "created": world.timestamp(),
        "expires_at": world.timestamp() + _KEPT_DAYS * DAY,
        "filename": sent.filename,
        "links": {"object": "list", "data": [], "has_more": False, "url": "/v1/file_links"},
        "purpose": "dispute_evidence",
        "size": sent.size,
        "title": None,
        "type": kind,
        "url": None,
    }
    world.add(row)
    world.emit("file.created", row)
    return row


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return world.find("file", call.ids[0], "file", in_path=True)


@route("GET", _URL, {**CREATED_PAGE, "purpose": Choice(*_PURPOSES)})
def index(world: World, call: Call) -> JSON:
    return page(world, call, "file", _URL, {"purpose": call.params.get("purpose")})
