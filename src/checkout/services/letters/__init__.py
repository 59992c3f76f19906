"""Letters to payers: one for one cause.

    asking.py    a cause asks for its letter, in the commit that makes it true; `ask` and `together`
    register.py  every letter that is written so: who gets it, when, and what it says
    words.py     what the letters say, read from the rows when they are written
    writing.py   the sweep that writes what was asked for, and nothing that is no longer true
    due.py       asks for the notices before payments are taken

Letters that somebody waits for on the spot (staff press a button, a payer asks for an invoice) are queued by
`services.notices` at once. All templates are listed in `checkout.mail.LETTERS`.
"""
