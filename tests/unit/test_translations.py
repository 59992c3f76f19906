"""The catalogues hold every text of the code, translated, and say the same as the code."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.template import Engine, Template
from django.utils import translation
from post_office.models import EmailTemplate

from checkout import actions, advice, journal, letters, money, states, timetable
from checkout.errors import MoneyError
from checkout.models import ObjectPaymentPlan, PaymentPlan
from scripts import messages
from tests.german import PLACEHOLDER, english_in, texts

LANGUAGES = messages.languages()
TEMPLATES = messages.APP / "templates" / "checkout"
LETTERS = TEMPLATES / "mail"
FOLDERS = sorted(path.name for path in LETTERS.iterdir() if path.is_dir())
ENDINGS = [".subject.txt", ".txt", ".html"]


@pytest.mark.parametrize("language", LANGUAGES)
class TestCatalogue:
    def test_it_is_what_the_code_and_the_tool_make_of_it(self, language: str) -> None:
        catalog, path = messages.updated(language), messages.po_path(language)
        assert path.read_bytes() == messages.po_bytes(catalog), "Run `make messages`."
        assert path.with_suffix(".mo").read_bytes() == messages.mo_bytes(catalog), "Run `make messages`."

    def test_nothing_is_left_to_translate(self, language: str) -> None:
        assert [message.id for message in messages.unfinished(messages.read(language))] == []

    def test_placeholders_are_the_same_on_both_sides(self, language: str) -> None:
        for message in messages.read(language):
            for one, other in zip(texts(message.id), texts(message.string), strict=True):
                if message.id:
                    # One of something may be said without its number, as English does there.
                    assert {*PLACEHOLDER.findall(other)} == {*PLACEHOLDER.findall(one)}, message.id
                    assert "{{" not in other

    def test_it_begins_and_ends_as_the_english_does(self, language: str) -> None:
        for message in messages.read(language):
            for one, other in zip(texts(message.id), texts(message.string), strict=True):
                if message.id:
                    assert (one[:1].isspace(), one[-1:].isspace()) == (other[:1].isspace(), other[-1:].isspace())
                    assert one.endswith((".", "?", ":", "…")) == other.endswith((".", "?", ":", "…")), message.id

    def test_no_date_and_no_person_is_in_it(self, language: str) -> None:
        head = messages.po_path(language).read_text().split("\n\n")[0]
        assert not re.search(r"Date|Translator|Team|Generated|/home|@", head)


def test_german_is_there() -> None:
    assert "de" in LANGUAGES
    assert FOLDERS == LANGUAGES


class TestTheTool:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A language of which one text is translated, one was reworded since, and one is gone."""
        monkeypatch.setattr(messages, "LOCALE", tmp_path)
        catalog = messages.Catalog("fr")
        catalog.add("Pay %(amount)s", "Payer %(amount)s")
        catalog.add("The payment was cancelled!", "Le paiement a été annulé.")
        catalog.add("A text of long ago", "Un texte de jadis")
        path = messages.po_path("fr")
        path.parent.mkdir(parents=True)
        path.write_bytes(messages.po_bytes(catalog))
        return tmp_path

    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["messages.py", *arguments])
        return messages.main()

    def test_it_keeps_marks_and_puts_aside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.run(monkeypatch, "--check") == 1
        assert self.run(monkeypatch) == 0
        catalog = messages.read("fr")
        assert catalog["Pay %(amount)s"].string == "Payer %(amount)s"
        reworded = catalog["The payment was cancelled."]
        assert (reworded.fuzzy, reworded.string) == (True, "Le paiement a été annulé.")
        assert "A text of long ago" in catalog.obsolete
        assert "The payment was cancelled." in [message.id for message in messages.unfinished(catalog)]
        compiled = messages.po_path("fr").with_suffix(".mo").read_bytes()
        assert b"Payer" in compiled
        assert "annulé".encode() not in compiled
        # Nor a plural that nobody has translated: an empty one would be shown as nothing.
        assert b"instalments" not in compiled

    def test_a_second_time_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(monkeypatch, "pt_BR")
        files = sorted(messages.LOCALE.rglob("django.*"))
        assert [file.parent.parent.name for file in files] == ["fr", "fr", "pt_BR", "pt_BR"]
        before = [file.read_bytes() for file in files]
        assert self.run(monkeypatch, "--check") == 0
        self.run(monkeypatch)
        assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(
    "path", [path for path in sorted(TEMPLATES.rglob("*")) if path.is_file() and LETTERS not in path.parents], ids=str
)
def test_templates_have_no_words_outside_a_translation(path: Path) -> None:
    said = path.read_text()
    for tag in ("comment", "blocktranslate"):
        said = re.sub(rf"{{%\s*{tag}\b.*?{{%\s*end{tag}\s*%}}", " ", said, flags=re.DOTALL)
    said = re.sub(r"{%.*?%}|{{.*?}}", " ", said)
    shown = re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]*)"', said)
    assert re.findall(r"[A-Za-z]{2,}", " ".join([*shown, re.sub(r"<[^>]*>", " ", said)])) == []


@pytest.mark.parametrize("language", FOLDERS)
@pytest.mark.parametrize("name", sorted(letters.REGISTER))
def test_every_letter_is_whole_in_every_language(name: str, language: str) -> None:
    for ending in ENDINGS:
        ours, theirs = ((folder / f"{name}{ending}").read_text() for folder in (LETTERS, LETTERS / language))
        assert variables(theirs) == variables(ours)
        assert re.findall(r"<\w+|</\w+>|https?:", theirs) == re.findall(r"<\w+|</\w+>|https?:", ours)
        for line in re.findall(r"[^\n]{20,}", re.sub(r"<[^>]*>|{%.*?%}|{{.*?}}", "\n", ours)):
            assert line.strip() not in theirs


def variables(source: str) -> set[str]:
    """Everything that a letter puts in or asks about."""
    Template(source, engine=Engine())
    found = re.findall(r"{{(.*?)}}|{%\s*(?:if|for\s+\w+\s+in)\b(.*?)%}", source)
    return {word for shown, asked in found for word in f"{shown} {asked}".split()}


def test_names_of_states_actions_checks_and_jobs_are_translated() -> None:
    with translation.override("de"):
        assert str(advice.STATE_NAMES["fail"]) == "Fehlgeschlagen"
        assert {*states.STATES} == {*advice.STATE_NAMES} == {*advice.DEBT_NAMES}
        assert actions.name_of("invoice") == "Rechnung"
        assert translation.gettext("endpoint") == "Endpunkt"
        for job in filter(lambda each: each.silent_for, timetable.JOBS):
            assert translation.gettext(job.what_is_lost) != job.what_is_lost


def test_stripes_codes_are_said_in_words() -> None:
    with translation.override("de"):
        assert journal.code_in_words("needs_response") == "Antwort nötig"
        assert journal.code_in_words("brand_new") == "brand new"


def test_a_sites_own_words_come_first_in_english_too(tmp_path: Path, settings: Any) -> None:
    ours = messages.Catalog("en")
    ours.add("Pay %(amount)s", "Give %(amount)s")
    folder = tmp_path / "en" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(messages.mo_bytes(ours))
    settings.LOCALE_PATHS = [tmp_path]
    with translation.override("en-gb"):
        assert translation.gettext("Pay %(amount)s") == "Give %(amount)s"


def test_amounts_in_sentences_are_written_as_the_reader_writes_them() -> None:
    plan = ObjectPaymentPlan(payment_plan=PaymentPlan(name="Standard"), total=Decimal("100.000"), currency="GBP")
    assert str(plan) == "Standard over 100.00 GBP"
    with translation.override("de"):
        # 100.000 would be a hundred thousand.
        assert str(plan) == "Standard über 100,00 GBP"
        with pytest.raises(MoneyError, match="0,10 GBP können nicht mit Karte bezahlt werden"):
            money.check_chargeable(Decimal("0.100"), "GBP")


def test_the_search_for_english_finds_it() -> None:
    said: Any = '<p title="Your payments">Die Karte</p> <script id="x">{"a": "Save card"}</script><b>Pay £5.00</b>'
    assert english_in(said)[:2] == ["Your payments", "Save card"]
    assert english_in("<p>Ihre Zahlungen, Status: Offen</p>") == []


def test_every_subject_with_its_tags_fits_the_column_of_post_office() -> None:
    """PostgreSQL refuses a longer one, which SQLite takes."""
    most = EmailTemplate._meta.get_field("subject").max_length
    folder = Path(letters.__file__).parent / "templates" / "checkout" / "mail"
    texts = {str(path.relative_to(folder)): path.read_text().strip() for path in folder.rglob("*.subject.txt")}
    assert texts
    assert [name for name, text in texts.items() if len(text) > most] == []
