"""Tax ids of customers (https://docs.stripe.com/api/tax_ids): kept as they are given; no authority is asked."""

from __future__ import annotations

from stripe_emulator.core.errors import missing
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Choice, Hash, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import PAGE

_URL = "/v1/customers/*/tax_ids"
TYPES = (
    "ad_nrt", "ae_trn", "al_tin", "am_tin", "ao_tin", "ar_cuit", "au_abn", "au_acn", "au_arn", "aw_tin", "az_tin",
    "ba_tin", "bb_tin", "bd_bin", "bf_ifu", "bg_uic", "bh_vat", "bj_ifu", "bo_tin", "br_cnpj", "br_cpf", "bs_tin",
    "by_tin", "ca_bn", "ca_gst_hst", "ca_pst_bc", "ca_pst_mb", "ca_pst_sk", "ca_qst", "cd_nif", "ch_uid", "ch_vat",
    "cl_tin", "cm_niu", "cn_tin", "co_nit", "cr_tin", "cv_nif", "de_stn", "do_rcn", "ec_ruc", "eg_tin", "es_cif",
    "et_tin", "eu_oss_vat", "eu_vat", "gb_vat", "ge_vat", "gn_nif", "hk_br", "hr_oib", "hu_tin", "id_npwp",
    "il_vat", "in_gst", "is_vat", "jp_cn", "jp_rn", "jp_trn", "ke_pin", "kg_tin", "kh_tin", "kr_brn", "kz_bin",
    "la_tin", "li_uid", "li_vat", "ma_vat", "md_vat", "me_pib", "mk_vat", "mr_nif", "mx_rfc", "my_frp", "my_itn",
    "my_sst", "ng_tin", "no_vat", "no_voec", "np_pan", "nz_gst", "om_vat", "pe_ruc", "ph_tin", "pl_nip", "ro_tin",
    "rs_pib", "ru_inn", "ru_kpp", "sa_vat", "sg_gst", "sg_uen", "si_tin", "sn_ninea", "sr_fin", "sv_nit", "th_vat",
    "tj_tin", "tr_tin", "tw_vat", "tz_vat", "ua_vat", "ug_tin", "us_ein", "uy_ruc", "uz_tin", "uz_vat", "ve_rif",
    "vn_tin", "za_vat", "zm_tin", "zw_tin",
)  # fmt: skip
# Stripe asks an authority about these; here they stay pending.
_VERIFIED = ("au_abn", "eu_vat", "gb_vat")

DATA = Hash({"type": Choice(*TYPES), "value": Text(200)}, ("type", "value"))


@route("POST", _URL, DATA.known, DATA.required)
def create(world: World, call: Call) -> JSON:
    return make(world, _customer(world, call), call.params)


def _customer(world: World, call: Call) -> JSON:
    row = world.find("customer", call.ids[0], "customer", in_path=True)
    if row.get("deleted"):
        raise missing("customer", row["id"], "customer", in_path=True)
    return row


def make(world: World, customer: JSON, data: JSON) -> JSON:
    kind = data["type"]
    row: JSON = {
        "id": world.ids.new("txi"),
        "object": "tax_id",
        "country": _country(kind, data["value"]),
        "created": world.timestamp(),
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
        "owner": {"customer": customer["id"], "customer_account": None, "type": "customer"},
        "type": kind,
        "value": data["value"],
        "verification": {
            "status": "pending" if kind in _VERIFIED else "unavailable",
            "verified_address": None,
            "verified_name": None,
        },
    }
    world.add(row)
    world.emit("customer.tax_id.created", row)
    return row


def _country(kind: str, value: str) -> str | None:
    """The country of a number: that of its type; of the Union's, the one it begins with."""
    if not kind.startswith("eu_"):
        return kind[:2].upper()
    return value[:2].upper() if value[:2].isalpha() else None


def _find(world: World, call: Call) -> JSON:
    customer = _customer(world, call)
    row = world.find("tax_id", call.ids[1], "id", in_path=True)
    if row["customer"] != customer["id"]:
        raise missing("tax_id", row["id"], "id", in_path=True)
    return row


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("DELETE", f"{_URL}/*")
def delete(world: World, call: Call) -> JSON:
    row = _find(world, call)
    world.emit("customer.tax_id.deleted", row)
    world.remove("tax_id", row["id"])
    return {"id": row["id"], "object": "tax_id", "deleted": True}


@route("GET", _URL, PAGE)
def index(world: World, call: Call) -> JSON:
    customer = _customer(world, call)
    return page(world, call, "tax_id", f"/v1/customers/{customer['id']}/tax_ids", {"customer": customer["id"]})
