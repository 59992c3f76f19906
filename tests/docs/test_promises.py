"""Every promise that a payer reads is kept: by a test that drives the letter or the page that keeps it.

A sentence that promises something stands in one of the tables below beside its keeper. A new one without a keeper, in
an agreement, a letter or a page, turns this red, and so does a keeper that is gone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import checkout

SOURCE: Final = Path(checkout.__file__).parent
TEMPLATES: Final = SOURCE / "templates" / "checkout"
TESTS: Final = Path(__file__).parents[1]

#: What makes a sentence a promise, in the languages of the letters.
PROMISES: Final = {
    "en": re.compile(
        r"\b(?:we (?:will|write|tell|take|try|send|ask your|do not)|you (?:will|can|may)|I (?:get|can)"
        r"|by (?:itself|ourselves)|at any time|(?:is|are) (?:then )?(?:taken|used|charged)\b|cannot be charged"
        r"|our office knows|goes to the card|works (?:for|until)|stays open)",
        re.IGNORECASE,
    ),
    "de": re.compile(
        r"\b(?:wir (?:schreiben|schicken|senden|buchen|versuchen|bitten)|(?:schreiben|schicken|buchen|versuchen) wir"
        r"|Sie können|können Sie|von selbst|wird (?:\w+ ){0,5}abgebucht|werden (?:\w+ ){0,6}abgebucht"
        r"|unser Büro|geht auf die Karte|Link (?:funktioniert|gilt|geht)|bleibt (?:\w+ ){0,2}offen)",
        re.IGNORECASE,
    ),
}

#: Elements between which no sentence goes on.
BLOCKS: Final = "p|td|tr|table|h[1-6]|li|ul|div|section|br|button|dt|dd|dl|form|main"


def sentences(text: str) -> Iterator[str]:
    """Those of a template, each on one line, with a … for every value."""
    text = re.sub(r"{% comment %}.*?{% endcomment %}", "", text, flags=re.DOTALL)
    text = re.sub(r"{%\s*translate\s+\"(.*?)\".*?%}", r" | \1 | ", text)
    text = re.sub(r"{{.*?}}|%\(\w+\)[sd]", "…", text)
    text = re.sub(rf"{{%.*?%}}|</?(?:{BLOCKS})\b[^>]*>|\n\n", " | ", text)
    text = re.sub(r"<[^>]*>", "", text)
    for part in text.split("|"):
        for sentence in re.split(r"(?<=[.!?:])\s+(?=\w|…)", " ".join(part.split())):
            yield sentence.strip()


def texts_for_payers() -> Iterator[tuple[str, str, str]]:
    """(language, where, text) of everything that a payer is sent or shown."""
    for path in sorted(TEMPLATES.rglob("*")):
        where = path.relative_to(TEMPLATES)
        if path.is_file() and where.parts[0] != "staff":
            yield "de" if "de" in where.parts else "en", str(where), path.read_text()
    for path in sorted((SOURCE / "views").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                for said in node.args[:1]:
                    if isinstance(said, ast.Constant) and isinstance(said.value, str):
                        yield "en", f"views/{path.name}", said.value


def promised(language: str) -> dict[str, str]:
    """Every sentence that promises something, and one place where it stands."""
    found = {}
    for spoken, where, text in texts_for_payers():
        if spoken == language:
            found.update({each: where for each in sentences(text) if PROMISES[language].search(each)})
    return found


DEPOSIT_DECLINED: Final = "services/test_plans.py::test_a_declined_deposit"

#: Keeper -> what it keeps. A keeper is a test, below tests/.
KEPT: Final[dict[str, tuple[str, ...]]] = {
    "services/test_recovery.py::test_without_money_it_is_asked_three_days_later_and_taken": (
        "If you do nothing, we ask your card again on ….",
        "If you do nothing, we ask your card again, first on ….",
        "Before that, it is taken only if you press the button on that page.",
        "Wenn Sie nichts tun, versuchen wir es am … noch einmal mit Ihrer Karte.",
        "Wenn Sie nichts tun, versuchen wir es noch einmal mit Ihrer Karte, zuerst am ….",
        "Vorher wird die Zahlung nur abgebucht, wenn Sie auf der Seite auf die Schaltfläche drücken.",
    ),
    "services/test_recovery.py::test_after_the_last_try_nothing_more_is_asked_and_staff_are_told_once": (
        "That is the last time that we try it by ourselves.",
        "we do not try your card again",
        "we do not ask this card again by ourselves.",
        "The payment stays open, and you can settle it on your page in a minute:",
        "Das ist das letzte Mal, dass wir es von selbst versuchen.",
        "Wir versuchen es nicht noch einmal mit Ihrer Karte",
        "Von selbst versuchen wir es mit dieser Karte nicht mehr.",
        "Die Zahlung bleibt offen, und auf Ihrer Seite ist sie in einer Minute erledigt:",
    ),
    "services/test_recovery.py::test_a_card_that_will_not_work_is_not_asked_again": (
        "We do not ask this card again by ourselves, so please pay on that page, or give another card there:",
        "What has no date above is not tried again by itself with this card, so please pay it on that page.",
        "We do not ask that card again by ourselves.",
        (
            "Was oben ohne Tag steht, versuchen wir mit dieser Karte nicht von selbst noch einmal; bitte "
            "bezahlen Sie es auf der Seite."
        ),
        "Mit dieser Karte versuchen wir es nicht von selbst noch einmal.",
    ),
    "services/test_recovery.py::test_a_new_card_is_asked_at_once_for_what_was_declined": (
        "what is overdue is then taken from that one.",
        "It is taken from the new card as soon as that is saved.",
        "Was überfällig ist, wird dann von ihr abgebucht.",
    ),
    "views/test_on_session_pages.py::test_nothing_is_taken_from_a_new_card_while_a_bank_looks_into_the_plan": (
        "While your bank looks into one of your payments, nothing is taken.",
        "Solange Ihre Bank eine Ihrer Zahlungen prüft, wird nichts abgebucht.",
    ),
    "views/test_plan_link.py::test_a_declined_payment_is_paid_with_a_new_card_by_link": (
        "on your page you can pay now, or give another card first.",
        "See what you can do and pay here:",
        "pay with any card, or give another card, from which it is then taken.",
        "On your page you can pay with any card, or give another card, from which it is then taken.",
        "your page shows which one, and you can pay it there.",
        "If you cannot pay at the moment, please tell us.",
        "Auf Ihrer Seite können Sie jetzt bezahlen oder vorher eine andere Karte angeben.",
        (
            "Auf Ihrer Seite können Sie mit einer beliebigen Karte bezahlen oder eine andere Karte angeben, von "
            "der dann abgebucht wird."
        ),
        "Ihre Seite zeigt, welche es ist, und Sie können sie dort bezahlen.",
    ),
    "views/test_plan_link.py::test_a_new_card_by_link_is_for_this_plan_with_an_agreement_of_its_own": (
        "I can give another card at any time.",
        "On your page you can change your card.",
        "Nothing is taken while you enter the card.",
        "Your instalments are taken from:",
        "Your payments are taken from another card now",
        "From now on what is left of your payment plan is taken from it.",
        "From then on your instalments are taken from the new card; dates and amounts stay as agreed.",
        "Once the new card is saved they are taken from that one, on the days and in the amounts that you agreed to.",
        "Auf Ihrer Seite können Sie die Karte wechseln.",
        "Beim Eingeben der Karte wird nichts abgebucht.",
        "Ihre Zahlungen werden jetzt von einer anderen Karte abgebucht",
        "Von jetzt an wird von ihr abgebucht, was von Ihrem Ratenplan noch offen ist.",
        "Von da an werden Ihre Raten von der neuen Karte abgebucht; Tage und Beträge bleiben wie vereinbart.",
    ),
    "services/test_on_session.py::test_one_mail_for_a_refusal_however_often_it_runs": (
        "If my bank requires me to confirm one of them, I get an e-mail with a link.",
    ),
    "services/test_letters.py::test_every_cause_has_one_letter_whose_every_claim_holds": (
        "If your bank requires you to confirm one, or the card stops working, we will write to you.",
        "Wenn Ihre Bank eine Bestätigung verlangt oder die Karte nicht mehr funktioniert, schreiben wir Ihnen.",
    ),
    "services/test_requests.py::test_a_card_is_charged_for_what_its_owner_agreed_to_only": (
        "The card is used for these payments only.",
    ),
    "services/test_runs.py::test_a_run_takes_what_is_due_and_nothing_else": (
        "We take each payment from your card on its day; there is nothing to do.",
        "We take it from your card on that day; there is nothing to do.",
        "We take … on …",
        "Your next payment is taken from your card on ….",
        "Wir buchen jede Zahlung an ihrem Tag von Ihrer Karte ab; Sie brauchen nichts zu tun.",
        "Wir buchen sie an diesem Tag von Ihrer Karte ab; Sie brauchen nichts zu tun.",
        "Wir buchen … am … ab",
    ),
    "services/test_runs.py::test_the_deposit_and_stopped_plans_are_left_alone": (
        "Nothing more is taken from your card for it.",
        "Nothing more is taken.",
    ),
    "services/test_early.py::test_all_that_is_left_is_one_payment": (
        "Nothing more is taken afterwards.",
        "Nothing more is taken from your card for this plan.",
        "Für diesen Plan wird nichts mehr von Ihrer Karte abgebucht.",
    ),
    "staff/test_plan_changes.py::test_what_does_not_favour_the_payer_waits_for_them": (
        "It is taken from the card that you agreed to.",
        "Hier können Sie sie, ohne Anmeldung, ansehen und entscheiden:",
        "Wir bitten Sie, einer Änderung Ihres Ratenplans zuzustimmen:",
    ),
    "services/test_take_overs.py::test_until_the_new_payer_has_given_a_card_everything_is_as_it_was": (
        "Until then, and if you do not agree, nothing is taken from you.",
        "Until your card is saved nothing changes, and nothing is taken from you.",
        "Bis dahin, und wenn Sie nicht zustimmen, wird Ihnen nichts abgebucht.",
    ),
    "services/test_take_overs.py::test_the_new_payer_agrees_and_their_card_is_charged_from_then_on": (
        "If you agree, you give a card of your own, and these payments are taken from it.",
        "No new payment of it is taken from your card.",
        "what is left of it is taken from your card from now on, as you agreed.",
        "Von Ihrer Karte wird dafür keine neue Zahlung mehr abgebucht.",
        "Wenn Sie zustimmen, geben Sie eine eigene Karte an, und diese Zahlungen werden von ihr abgebucht.",
    ),
    "services/test_take_overs.py::test_what_was_declined_or_waits_for_a_bank_is_taken_from_the_new_card_at_once": (
        "It is taken from your card as soon as that is saved.",
    ),
    "services/test_take_overs.py::test_what_is_withdrawn_while_the_payer_is_at_the_bank_is_not_taken_over": (
        "Nothing is taken from you.",
    ),
    "views/test_take_over.py::test_who_does_not_agree_changes_nothing": (
        "Nothing was changed, and nothing is taken from you.",
    ),
    "services/test_cards.py::test_a_card_for_a_plan_that_the_site_made_is_given_for_every_line_of_it": (
        "These payments are taken from the card that you give, while you are not there:",
    ),
    "views/test_take_over.py::test_nothing_but_the_link_opens_it": (
        "The link works until ….",
        "Der Link gilt bis ….",
    ),
    "views/test_take_over.py::test_the_office_asks_and_the_new_payer_agrees_and_sees_the_plan": (
        "Hier können Sie es, ohne Anmeldung, ansehen und entscheiden:",
        "Hier können Sie den Plan ansehen, früher bezahlen oder eine andere Karte angeben:",
    ),
    "services/test_early.py::test_a_part_leaves_the_rest_to_its_day": ("… of it is taken on ….",),
    "services/test_cards.py::test_a_card_replaced_by_the_bank_is_taken_in_and_the_flag_cleared": (
        "If your bank has sent you a new card and told us about it, you can ignore this mail.",
        "Hat Ihre Bank Ihnen eine neue Karte geschickt und uns das mitgeteilt, können Sie diese E-Mail ignorieren.",
    ),
    "services/test_cards.py::test_a_card_that_runs_out_is_flagged_and_its_payer_told_once": (
        "The card that we take your instalments from expires soon",
        "The card that we take your instalments from has expired",
    ),
    "services/test_requests.py::test_the_link_shows_on_get_begins_on_post_and_is_paid_once": (
        "If you have paid already, you can ignore this mail.",
        "The page shows the amount before anything is taken.",
        "Nothing is taken yet:",
        "Wenn Sie schon bezahlt haben, können Sie diese E-Mail ignorieren.",
    ),
    "services/test_requests.py::test_links_expire_and_cannot_be_made_up": (
        "The link works for … day",
        "Der Link gilt … Tag",
    ),
    "services/test_invoices.py::test_the_form_keeps_the_address_and_mails_staff_and_payer_once": (
        "We will send you an invoice",
        "We will send you an invoice for …",
        "You asked to pay by invoice, and we will send it to this address:",
        "We send an invoice to you or your organisation.",
        "We send you the invoice, and you pay it by bank transfer.",
        "Wir schicken Ihnen eine Rechnung für …",
        "Sie möchten auf Rechnung bezahlen; wir schicken die Rechnung an diese Adresse:",
    ),
    "services/test_choosing.py::test_an_invoice_is_offered_where_the_row_allows_it": (
        "We will send you an invoice, as you asked.",
        "You can still pay by card instead.",
    ),
    "services/test_on_session.py::test_nobody_charges_a_line_that_waits": (
        "Until you confirm, this payment stays open, and we do not try the card again by ourselves.",
        "Until you pay, this payment stays open.",
        "We do not take it from your card by ourselves.",
        (
            "Bis Sie bestätigen, bleibt diese Zahlung offen, und wir versuchen es nicht von uns aus noch einmal "
            "mit der Karte."
        ),
        "Bis Sie bezahlen, bleibt diese Zahlung offen.",
        "Wir buchen sie nicht von uns aus von Ihrer Karte ab.",
    ),
    "views/test_on_session_pages.py::test_another_card_from_the_first_page": (
        "You can also use another card.",
        "You can use any card.",
        "Sie können auch eine andere Karte nehmen.",
        "Sie können jede Karte nehmen.",
    ),
    "views/test_on_session_pages.py::test_looking_at_the_link_changes_nothing": (
        "Nothing is taken until you press the button there.",
        "Nothing is taken by opening it.",
        "Es wird nichts abgebucht, bevor Sie dort auf die Schaltfläche drücken.",
        "Durch das Öffnen wird nichts abgebucht.",
    ),
    "services/test_on_session.py::test_the_link_names_one_debt_and_nothing_else": (
        "The link is for this payment only and works until ….",
        "Der Link gilt nur für diese Zahlung und bis zum ….",
    ),
    "services/test_on_session.py::test_another_card_is_saved_and_used_from_then_on": (
        "If you use another card, the instalments that follow are taken from that one too.",
    ),
    f"{DEPOSIT_DECLINED}_waits_as_failed_and_can_be_paid_with_another_card_there_and_then": (
        "You can pay it with another card now; that card is then used for the instalments too.",
    ),
    "services/test_plans.py::test_the_card_is_saved_the_deposit_taken_and_the_lines_made": (
        "As soon as your card is saved, the deposit of … is taken from it.",
        "Nothing is taken while your card is saved.",
    ),
    "services/test_withdrawing.py::test_its_link_says_so_and_takes_nothing": (
        "You do not need to pay it, and nothing is taken for it.",
        "Sie müssen den Betrag nicht bezahlen, und es wird dafür nichts abgebucht.",
    ),
    "services/test_plan_deposits.py::test_the_payer_meets_the_bank_once_and_the_plan_begins": (
        "Your card is saved with it for the instalments; nothing else is taken now.",
    ),
    "services/test_refunds.py::test_partial_refunds_add_up_and_never_exceed": (
        "It goes to the card that you paid with.",
        "Es geht auf die Karte, mit der Sie bezahlt haben.",
    ),
    "services/test_refunds.py::test_a_refund_that_fails_days_later_is_shown_mailed_once_and_can_be_made_again": (
        "Our office knows, and has been asked to give it back to you in another way.",
        "Unser Büro weiß Bescheid und ist gebeten, Ihnen das Geld auf anderem Weg zurückzugeben.",
    ),
    "views/test_moving.py::test_it_is_moved_once_told_and_taken_on_the_new_day": ("… is taken on … now.",),
    "views/test_payer_pages.py::test_a_decline_in_a_sentence": ("You can try again, or use another card.",),
    "views/test_payer_pages.py::test_no_answer_is_never_told_as_not_paid": ("You may close this page:",),
    "views/test_payer_pages.py::test_a_lost_answer_is_finished_by_the_next_visit": (
        "What was begun is found again, so you cannot be charged twice.",
        "on this page you cannot be charged twice.",
        "This page looks again by itself.",
    ),
    "views/test_payer_pages.py::test_a_paid_order_is_not_paid_again": (
        "If you have paid already, nothing more is taken.",
    ),
    "views/test_on_session_pages.py::test_a_link_for_a_paid_debt_is_of_no_use": (
        "There is nothing more to do, and nothing more is taken.",
    ),
    "views/test_on_session_pages.py::test_a_link_for_a_stopped_plan": ("Nothing is taken.",),
    "views/test_on_session_pages.py::test_guessing_is_limited_for_each_address": (
        "Too many links that we do not know were opened from your network.",
    ),
}


@pytest.mark.parametrize("language", PROMISES)
def test_every_promise_has_a_keeper(language: str) -> None:
    kept = {sentence for sentences in KEPT.values() for sentence in sentences}
    without = {sentence: where for sentence, where in promised(language).items() if sentence not in kept}
    assert without == {}, "name the test that keeps it in KEPT, or do not promise it"


def test_no_keeper_keeps_what_nobody_promises() -> None:
    said = {sentence for language in PROMISES for sentence in promised(language)}
    kept = [sentence for sentences in KEPT.values() for sentence in sentences]
    assert sorted(set(kept) - said) == []
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize("keeper", KEPT)
def test_every_keeper_is_there(keeper: str) -> None:
    path, _, name = keeper.partition("::")
    tree = ast.parse((TESTS / path).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_a_new_promise_would_be_found() -> None:
    said = "<p>We will send you a <strong>watch</strong> on {{ day }}.</p><p>Yours, the office.</p>"
    assert [each for each in sentences(said) if PROMISES["en"].search(each)] == ["We will send you a watch on …."]
