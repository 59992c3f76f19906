"""The documents' examples, put together as a reader would, in a new project, and paid.

A block of code whose first line names a file goes into that file; every other block of Python is run, page by page.
Lines that call `manage.py` are tried against the commands' own parsers. emulator/README.md has a test of its own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from checkout.conf import DEFAULTS
from checkout.models import Checkout

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
#: Where a reader begins, then everything that goes on from there.
TRIED = [ROOT / "docs" / "quickstart.md"]
TRIED += [page for page in PAGES if page.name != "quickstart.md"]

FILE = re.compile(r"(?:# |<!-- )(\S+\.(?:py|html|ini))(, at the end)?")

#: What a reader does with it all. It runs in the new project, in a process of its own.
PROGRAM = """
import json
import pathlib
import re
import unittest

import django
from django.core.management import call_command, execute_from_command_line

django.setup()

from django.test import Client

for line in json.loads(pathlib.Path("commands.json").read_text()):
    execute_from_command_line(line)

# Their own test, on the tables that are there: `manage.py test` would make them all again.
ran = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromName("bookings.tests"))
assert ran.testsRun == 1 and ran.wasSuccessful()

from bookings.models import Booking
from checkout.gateway import gateway
from checkout.models import Checkout, ObjectPaymentPlanInstalment
from play_stripe import emulator

booking = Booking.objects.get()
browser = Client(SERVER_NAME="127.0.0.1")
assert "Pay 85.00" in browser.get(f"/bookings/{booking.pk}/").content.decode()
page = browser.post(f"/bookings/{booking.pk}/pay/", follow=True)
assert page.status_code == 200, page.content
checkout = Checkout.objects.get()
emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
assert browser.get(f"/checkout/{checkout.uuid}/return/").headers["Location"] == f"/bookings/{booking.pk}/"
assert "Alex Example: paid" in browser.get(f"/bookings/{booking.pk}/").content.decode()
assert emulator.ledger.taken_minor(currency="gbp") == 8500

# A page of one's own: the template that the document shows, under the view that it shows.
from bookings.views import BookingCheckoutView

BookingCheckoutView.template_name = "bookings/pay.html"
other = Booking.objects.create(name="Alex Example", email="alex@example.com", price=1000)
shown = browser.post(f"/bookings/{other.pk}/pay/", follow=True).content.decode()
assert "<h1>Pay £1,000.00</h1>" in shown and "checkout-elements-config" in shown, shown

for name, blocks in json.loads(pathlib.Path("blocks.json").read_text()).items():
    names = {}
    for block in blocks:
        try:
            exec(compile(block, name, "exec"), names)
        except Exception:
            print(f"This block of {name} does not run:", block, sep="\\n")
            raise

shown = browser.get(f"/bookings/{other.pk}/choose/?payment_plan=standard").content.decode()
assert "£200.00" in shown and "I have read this and I agree" in shown, shown

# What was moved from an old system is charged with its old card. Stripe has to know the two by their ids.
from checkout.models import Customer, ObjectPaymentPlan, SavedCard, StripeCustomer

moved = Customer.objects.get(email="robin@example.com")
at_stripe = gateway().create_customer(email=moved.email, name="", metadata={}, idempotency_key="moved")
StripeCustomer.objects.filter(customer=moved).update(stripe_customer_id=at_stripe)
SavedCard.objects.filter(customer=moved).update(
    stripe_customer_id=at_stripe, payment_method_id=emulator.bank.add_legacy_card(at_stripe)
)
call_command("process_payments", workers=1)
assert emulator.ledger.taken_minor(currency="gbp") == 8500 + 4000
assert not ObjectPaymentPlanInstalment.objects.exclude(state="success").exists()
assert Booking.objects.get(email=moved.email).status == "paid"
plan = ObjectPaymentPlan.objects.get(customer=moved)
booked = [
    (line.debt.paid, *(posting.kind for posting in line.debt.postings.all())) for line in plan.payments
]
assert booked == [(20, "owed", "other_means"), (40, "owed", "other_means"), (40, "owed", "taken")], booked

# Asking for an invoice, by the link on the page that offers it.
Booking.checkout_actions = ["payment", "invoice"]
shown = browser.get(f"/bookings/{other.pk}/choose/").content.decode()
form = re.search(r'href="(/checkout/invoice/[^"]+)"', shown)[1]
address = {"company_name": "Example Ltd", "address_1": "1 High Street", "town": "Leeds", "county": "Yorkshire",
    "postcode": "LS1 1AA", "country": "United Kingdom", "contact_name": "Alex Example", "email": "alex@example.com"}
asked = browser.post(form, address, follow=True)
assert asked.status_code == 200 and Checkout.objects.get(action="invoice").state_id == "success", asked.content
assert Booking.objects.get(pk=other.pk).checkout_can_charge
print("paid")
"""


def blocks(page: Path, *languages: str) -> list[str]:
    return re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", page.read_text(), re.DOTALL)


def files(page: Path) -> list[tuple[str, bool, str]]:
    """Path, whether it is added to what is there, and text of each block that names a file."""
    found = [(FILE.match(block), block) for block in blocks(page, "python", "html", "ini")]
    return [(match[1], bool(match[2]), block) for match, block in found if match]


def loose(page: Path) -> list[str]:
    return [block for block in blocks(page, "python") if not FILE.match(block)]


def python(folder: Path, *arguments: str) -> str:
    env = {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f"{folder}:{ROOT / 'src'}", "PATH": os.defpath}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with every file that the documents show."""
    tmp_path = tmp_path_factory.mktemp("project")
    # As the quickstart says; both programs only write files, so they run in one process.
    begin = "from django.core.management import execute_from_command_line as run; import os, sys"
    begun = f"{begin}; os.environ.pop('DJANGO_SETTINGS_MODULE'); run(['', 'startproject', 'mysite', '.'])"
    python(tmp_path, "-c", f"{begun}; run(['', 'startapp', 'bookings'])")
    for page in TRIED:
        for name, added, text in files(page):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path.read_text()}\n{text}" if added else text)
    (tmp_path / "play_stripe.py").write_text("from stripe_emulator import Emulator\n\nemulator = Emulator()\n")
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        # The emulator inside this process instead of the one on port 12111.
        settings.write("\nfrom play_stripe import emulator\n\nCHECKOUT_STRIPE_HTTP_CLIENT = emulator.transport\n")
    return tmp_path


def test_a_reader_of_the_documents_is_paid(project: Path) -> None:
    step = ("makemigrations", "migrate", "init_app_checkout", "check", "shell")
    commands = [line for line in manage_lines(TRIED[0]) if line[1] in step]
    assert tuple(line[1] for line in commands) == step
    commands[step.index("check")] += ["--fail-level", "WARNING"]
    (project / "commands.json").write_text(json.dumps(commands))
    (project / "blocks.json").write_text(json.dumps({str(page): loose(page) for page in TRIED if loose(page)}))
    (project / "program.py").write_text(PROGRAM)

    assert python(project, "program.py").strip().endswith("paid")


def test_the_tests_that_a_reader_writes_pass(project: Path) -> None:
    # Without migrations the tables come from the models; the other test may be the one that makes the first migration.
    plain = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-migrations"]
    # Where the package is installed its entry point loads the plugin; elsewhere a plain -p stands for it.
    installed = [entry.value for entry in importlib.metadata.entry_points(group="pytest11")]
    load = [] if "stripe_emulator.pytest_plugin" in installed else ["-p", "stripe_emulator.pytest_plugin"]
    run = python(project, *plain, *load, "bookings")
    pages = [ROOT / "docs" / "quickstart.md", ROOT / "docs" / "testing.md"]
    written = [text.count("def test_") for page in pages for _, _, text in files(page)]
    assert f"{sum(written)} passed" in run


def manage_lines(page: Path) -> list[list[str]]:
    """Each call of manage.py that a page shows, in blocks and in sentences, as the words after `python`."""
    text = re.sub(r"\\\n", " ", page.read_text())
    found = re.findall(r"manage\.py (?!COMMAND)([a-z_]+(?: [^`\n#]*)?)", text)
    return [["manage.py", *shlex.split(re.split(r"\s(?:>|\|\||&&|\|)\s", line)[0])] for line in found]


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_each_command_is_one_that_manage_py_takes(document: Path) -> None:
    for _, name, *arguments in manage_lines(document):
        if name in ("startapp", "test", "send_queued_mail", "demo"):
            continue
        app = get_commands()[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        command.create_parser("manage.py", name).parse_args(arguments)


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_each_setting_is_one_that_the_app_reads(document: Path) -> None:
    named = set(re.findall(r"\b(?:CHECKOUT|STRIPE)_[A-Z_]+[A-Z]\b", document.read_text()))
    # The others are read from the environment, by our own tests.
    assert named <= {*DEFAULTS, "CHECKOUT_REQUEST_LOG"}


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_each_target_of_make_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)(?:[A-Z_]+=\S+ )*make ([a-z]+)", document.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


#: A name of a private room as a host would write it in code; `services/runs.py` is for who works on the app.
PRIVATE = re.compile(
    r"checkout\.(?:services|gateway|office)(?:\.\w| import)|from checkout import .*\b(?:services|gateway|office)"
)


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_no_document_sends_a_host_to_what_is_private(document: Path) -> None:
    assert PRIVATE.findall(document.read_text()) == []


def test_no_default_of_a_setting_names_what_is_private() -> None:
    assert [name for name, default in DEFAULTS.items() if PRIVATE.search(str(default))] == []


@pytest.mark.parametrize(
    "line", ["checkout.services.runs.Run", "from checkout.gateway import gateway", "from checkout import links, office"]
)
def test_what_is_private_would_be_found(line: str) -> None:
    assert PRIVATE.search(line)


REFERENCE = ROOT / "docs" / "reference.md"


@pytest.mark.parametrize("document", [page for page in PAGES if page != REFERENCE], ids=lambda path: path.name)
def test_each_dotted_name_leads_to_something(document: Path) -> None:
    """`checkout.…` in a document is a name of Python, a column of `Checkout`, or one that the reference lists."""
    listed = re.findall(r"`(checkout\.[\w.]+)", REFERENCE.read_text())
    for name in re.findall(r"`(checkout(?:\.\w+)+)", document.read_text()):
        # A whole family is written `checkout.payment.plan.…`.
        known = any(each == name or each.startswith(f"{name}.") for each in listed)
        assert known or hasattr(Checkout, name.partition(".")[2]) or importable(name), name


def importable(name: str) -> bool:
    module, _, last = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), last) or bool(importlib.import_module(name))
    except ImportError:
        return False
