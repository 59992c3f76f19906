"""Queued letters: django-post-office templates that a site may reword, in the reader's language.

A letter is queued by a row in the caller's transaction, so it goes out if and only if its reason was committed.

This is the only door to post_office's queue, which compiles every subject and body that it is given as a template: it
is given none. Here only templates that developers and staff wrote are compiled; what people typed goes in as values. A
rule in `make check` sees to it that nobody goes another way.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.template import Context, Engine, Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template
from post_office import cache as template_cache
from post_office import mail
from post_office.lockfile import FileLock, FileLocked, default_lockfile
from post_office.models import Email, EmailTemplate
from post_office.signals import email_queued

from checkout import brand, letters
from checkout.errors import CheckoutError


class MailNotReady(CheckoutError):
    """No mail can be written: a template or a setting is missing. Nothing was queued."""


@dataclass(slots=True)
class Installed:
    """What `init_app_checkout` found: names of templates that were made, and of those that were there; and the same
    of their translations, as (name, language)."""

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    translated: list[tuple[str, str]] = field(default_factory=list)
    kept_translations: list[tuple[str, str]] = field(default_factory=list)
    #: Left without our translation, because the site has its own words: ours would say something else beside them.
    left_alone: list[tuple[str, str]] = field(default_factory=list)


def install(*, also_reworded: bool = False) -> Installed:
    """Put the templates that are missing into the database, each with our translations into the site's languages.

    A template or a translation that is there is never touched. A template that the site has reworded gets no
    translation, unless `also_reworded`: its readers would no longer get the site's words, but ours.
    """
    done = Installed()
    with transaction.atomic():
        _put_there(done)
        _translate(done, also_reworded=also_reworded)
    # As post_office does for each row that is saved by itself: it remembers those that were deleted, too.
    for name in {*done.made, *(name for name, _language in done.translated)}:
        template_cache.delete(name)
    return done


def _put_there(done: Installed) -> None:
    there = set(_bases().values_list("name", flat=True))
    missing = []
    for name, entry in letters.REGISTER.items():
        (done.kept if name in there else done.made).append(name)
        if name not in there:
            description = f"{entry.name}: {entry.cause}; {entry.to}, {entry.when}"
            missing.append(EmailTemplate(name=name, description=description, **_wording(name)))
    EmailTemplate.objects.bulk_create(missing)


def _translate(done: Installed, *, also_reworded: bool) -> None:
    bases = {base.name: base for base in _bases()}
    there = set(EmailTemplate.objects.exclude(default_template=None).values_list("default_template", "language"))
    missing = []
    for name in letters.REGISTER:
        base = bases[name]
        leave_alone = not also_reworded and name not in done.made and not _is_ours(base)
        for language, folder in languages():
            if (base.pk, language) in there:
                done.kept_translations.append((name, language))
            elif leave_alone:
                done.left_alone.append((name, language))
            else:
                words = _wording(name, folder)
                missing.append(EmailTemplate(name=name, default_template=base, language=language, **words))
                done.translated.append((name, language))
    EmailTemplate.objects.bulk_create(missing)


def _bases() -> QuerySet[EmailTemplate]:
    return EmailTemplate.objects.filter(name__in=letters.REGISTER, default_template=None)


def languages() -> list[tuple[str, str]]:
    """Into which of the site's languages (`LANGUAGES`) the letters are translated: the code, and the folder of
    templates with its wording. `de-at` gets its own only where there is a folder for it or the site has no `de`."""
    found = []
    codes = [code for code, _name in settings.LANGUAGES]
    for code in codes:
        general = code.split("-", maxsplit=1)[0]
        if _has_wording(code):
            found.append((code, code))
        elif general not in codes and _has_wording(general):
            found.append((code, general))
    return found


def _has_wording(folder: str) -> bool:
    try:
        get_template(_path(letters.PLAN_AGREED, ".subject.txt", folder))
    except TemplateDoesNotExist:
        return False
    return True


def _is_ours(template: EmailTemplate) -> bool:
    def lines(text: str) -> list[str]:
        return text.strip().splitlines()

    return all(lines(getattr(template, name)) == lines(text) for name, text in _wording(template.name).items())


def _path(name: str, ending: str, folder: str) -> str:
    return "/".join(filter(None, ["checkout/mail", folder, f"{name}{ending}"]))


def _wording(name: str, folder: str = "") -> dict[str, str]:
    """The app's own words, unrendered. A site that has templates of the same path has its own."""

    def source(ending: str) -> str:
        loaded: Any = get_template(_path(name, ending, folder))
        return str(loaded.template.source).strip()

    return {"subject": source(".subject.txt"), "content": source(".txt") + "\n", "html_content": source(".html") + "\n"}


def require(*names: str) -> None:
    """Raises MailNotReady, which says what to do, unless all these templates are in the database."""
    found = set(EmailTemplate.objects.filter(name__in=names, default_template=None).values_list("name", flat=True))
    missing = sorted(set(names) - found)
    if missing:
        raise MailNotReady(
            f"Mail template {', '.join(missing)} is not in the database, so nothing was sent. "
            "Run `manage.py init_app_checkout`; it keeps templates that you have reworded."
        )


def queue(name: str, recipient: str, context: Mapping[str, Any], language: str) -> None:
    """Queue one letter. The caller holds the transaction. Raises MailNotReady without the template, for one that cannot
    be rendered, and for an address to which nothing can be sent."""
    _save(_letter(name, recipient, context, language))


@dataclass(frozen=True, slots=True)
class Preview:
    """A letter as it would be sent; nothing is queued."""

    subject: str
    text: str
    html: str


def preview(name: str, context: Mapping[str, Any], language: str) -> Preview:
    """What a letter says with these words. Raises MailNotReady without the template, or for one that cannot be
    rendered."""
    email = _letter(name, "nobody@example.com", context, language)
    return Preview(email.subject, email.message, email.html_message)


def _letter(name: str, recipient: str, context: Mapping[str, Any], language: str) -> Email:
    # One line each: a line break in a name or a description would begin another header in the subject.
    words = _words(context) | {"brand": brand.for_letters(), "language": language}
    template = _template(name, language)
    try:
        subject, text, html = _rendered(template, words)
    except TemplateSyntaxError as problem:
        raise MailNotReady(
            f"Mail template {name} ({template.language or 'default'}) cannot be rendered: {problem} Correct it in the "
            "admin, under Post Office > Email templates."
        ) from problem
    return _made(recipient, settings.DEFAULT_FROM_EMAIL, subject, text, html, template)


def _rendered(template: EmailTemplate, words: Mapping[str, Any]) -> list[str]:
    """Subject, text and HTML."""
    context, engine = Context(dict(words)), Engine.get_default()
    sources = (template.subject, template.content, template.html_content)
    return [_compiled(source, engine).render(context) for source in sources]


@lru_cache(maxsize=512)
def _compiled(source: str, engine: Engine) -> Template:
    """Compiled once for all letters of the same wording: what staff reword is another source."""
    return Template(source, engine=engine)


def queue_text(recipient: str, subject: str, text: str, html: str = "", *, sender: str = "") -> None:
    """Queue one letter whose words are ready: whatever is in them is sent as it is, and nothing is run. The caller
    holds the transaction.

    `html` is a whole HTML body that was rendered, and so escaped, already. Raises MailNotReady for an address to which
    nothing can be sent.
    """
    _save(_made(recipient, sender or settings.DEFAULT_FROM_EMAIL, subject, _printable(text), _printable(html)))


#: Characters. The column takes 989, and no mail program shows so many.
LONGEST_SUBJECT = 200


def _made(
    recipient: str, sender: str, subject: str, text: str, html: str, template: EmailTemplate | None = None
) -> Email:
    try:
        # "medium", because a site whose default is "now" would send inside the transaction.
        email: Email = mail.send(recipient, sender, priority="medium", commit=False)
    except ValidationError as problem:
        raise _refused(recipient, problem) from problem
    email.subject = _one_line(subject)[:LONGEST_SUBJECT]
    email.message, email.html_message, email.template = text, html, template
    return email


def _save(email: Email) -> None:
    try:
        # As its own `save` does, which looks for the template once more for each letter: the database sees to that.
        email.full_clean(exclude=["template"])
        Model.save(email)
    except ValidationError as problem:
        raise _refused(", ".join(email.to), problem) from problem
    email_queued.send(sender=Email, emails=[email])


def _refused(recipient: str, problem: ValidationError) -> MailNotReady:
    # Without the address: this is logged.
    reason = "; ".join(problem.messages).replace(recipient or "''", "the address")
    return MailNotReady(f"A mail cannot be sent: {reason}")


def _words(value: Any) -> Any:
    """The same with each text in it on one line."""
    if isinstance(value, str):
        return _one_line(value)
    if isinstance(value, Mapping):
        return {key: _words(each) for key, each in value.items()}
    return [_words(each) for each in value] if isinstance(value, list | tuple) else value


def _one_line(text: str) -> str:
    return " ".join(_printable(text).split())


def _printable(text: str) -> str:
    """Without what no mail and no database may hold: control characters but tab and line break, and lone surrogates."""
    return "".join(letter for letter in text if letter in "\t\n\r" or unicodedata.category(letter) not in ("Cc", "Cs"))


_read: ContextVar[dict[str, dict[str, EmailTemplate]] | None] = ContextVar("checkout_mail_templates", default=None)


@contextmanager
def templates_read_once() -> Iterator[None]:
    """A handful of letters read each template once: what is reworded meanwhile counts from the next handful on."""
    token = _read.set({})
    try:
        yield
    finally:
        _read.reset(token)


def _template(name: str, language: str) -> EmailTemplate:
    """The site's translation into the reader's language, or else the template itself.

    Not post_office's cached one: a template that was reworded a moment ago counts.
    """
    known = _read.get()
    rows = known.get(name) if known is not None else None
    if rows is None:
        rows = {row.language: row for row in EmailTemplate.objects.filter(name=name).order_by("-default_template")}
        if known is not None:
            known[name] = rows
    base = next((row for row in rows.values() if row.default_template_id is None), None)
    if base is None:
        require(name)
    return rows.get(language) or rows.get(language.split("-", maxsplit=1)[0]) or base


def send_queued(*, seconds: float) -> bool:
    """Send what is queued, batch by batch, and begin no batch when `seconds` have passed.

    False, with nothing sent, while another process of this machine sends: it holds post_office's lock file, which the
    command `send_queued_mail` respects as well.
    """
    until = time.monotonic() + seconds
    try:
        with FileLock(default_lockfile):
            while mail.get_queued().exists() and time.monotonic() < until:
                mail.send_queued()
    except FileLocked:
        return False
    return True
