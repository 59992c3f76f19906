"""Letters to payers: one for one cause. `checkout.letters` lists them all.

    asking.py          a cause asks for its letter, in the commit that makes it true; `ask` and `together`
    words.py           what letters about payments say, read from the rows when they are written
    about_plans.py     what letters about a whole plan say
    about_declines.py  what letters about declined payments say, one a day for each plan
    writing.py         the sweep that writes what was asked for, and nothing that is no longer true
    due.py             asks for what a day asks for: notices before payments, and reminders

Letters that staff send by a button, and those of the sweeps over waiting payers and over cards that run out, are queued
at once, by whoever stands behind them. All go through `services.notices`.
"""
