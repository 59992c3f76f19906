"""Text as strangers type it: it looks like templates, headers, formulas, markup, and like nothing at all."""

from __future__ import annotations

from hypothesis import strategies as st

#: Each is a name that somebody may have or claim to have; run as what it looks like, it would show.
LOOKS_LIKE = [
    "{{ 7|add:35 }}",
    "{{ 'pwn'|upper }}",
    "{{ 1|ljust:300000000 }}",
    "Smith {% and %} Sons",
    "{% now 'Y' %}",
    "{# gone",
    "#}",
    "{% comment %}",
    "{{",
    "%}",
    "{name} {0} %(company)s %s %",
    "Pat\r\nBcc: everybody@evil.example",
    "=1+1",
    "Ann;=1+1",
    "＝1+1",
    "\x0b=1",
    "@SUM(1)",
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(2)>",
    "&lt;b&gt; & co",
    "O'Brien",
    "\u202etxt.exe",
    "👩‍🔧 Zoë Ångström",
    "\x00",
    "Ann\x00 Smith",
    "\ud800",
    "1" * 300,
    "x" * 5000,
]

names = st.lists(
    st.one_of(st.sampled_from(LOOKS_LIKE), st.text(st.characters(exclude_categories=()), max_size=12)),
    min_size=1,
    max_size=4,
).map(" ".join)
