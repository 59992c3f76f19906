"""`python -m stripe_emulator`: the emulator as a server on this machine."""

import argparse
import contextlib
import logging
import os
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stripe_emulator.core.errors import ApiError
from stripe_emulator.core.versions import NEWEST

if TYPE_CHECKING:
    from stripe_emulator import Emulator

EXIT_USAGE: Final = 2
DEFAULT_WEBHOOK_SECRET: Final = "whsec_emulator"  # noqa: S105 - a stand-in's secret protects nothing


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stripe_emulator",
        description="A stateful stand-in for Stripe on this machine: API, Stripe.js, webhooks and a panel.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default %(default)s)")
    parser.add_argument("--port", type=_port, default=12111, help="default %(default)s; 0 takes any free port")
    parser.add_argument(
        "--three-origins",
        action="store_true",
        help="Stripe.js and the bank on ports of their own, as at Stripe they are on other hosts",
    )
    parser.add_argument(
        "--webhook", metavar="URL", type=_url, action="append", default=[], help="send events here (may be repeated)"
    )
    parser.add_argument(
        "--secret",
        metavar="whsec_...",
        action="append",
        default=[],
        help=f"signing secret of the --webhook in the same place (default {DEFAULT_WEBHOOK_SECRET})",
    )
    parser.add_argument("--latency-ms", metavar="N", type=_natural, default=0, help="answer each API request N ms late")
    parser.add_argument("--seed", type=int, help="same seed, same ids (default: other ids each time)")
    parser.add_argument(
        "--rate-limit",
        metavar="N",
        type=_natural,
        default=0,
        help="answer 429 beyond N requests a second (default: no limit)",
    )
    parser.add_argument(
        "--api-version", metavar="VERSION", default=NEWEST, help="the account's own (default %(default)s)"
    )
    parser.add_argument(
        "--payouts",
        choices=["manual", "daily", "weekly", "monthly"],
        help="pay out what is available by itself (default: as the state has it, else manual)",
    )
    parser.add_argument("--state", metavar="FILE", type=Path, help="keep the state in this file, and beside it")
    parser.add_argument(
        "--request-log", metavar="FILE", type=Path, help="append every API request to this file, one JSON a line"
    )
    return parser


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 to 65535")
    return int(text)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as http://127.0.0.1:8000/webhook/")
    return text


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(argv)
    if len(args.secret) > len(args.webhook):
        parser.error("there are more --secret than --webhook.")
    unwritable = [path for path in (args.state, args.request_log) if path is not None and not writable(path)]
    if unwritable:
        return _complain(f"{unwritable[0]} cannot be written. Name a file in a folder that is there and yours.")
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")
    try:
        from stripe_emulator import Emulator, server
        from stripe_emulator.journal import Journal
    except ImportError as error:
        return _complain(f"{error}. The server needs the extra: pip install 'stripe-emulator[server]'")

    try:
        emulator = Emulator(seed=args.seed, api_version=args.api_version)
    except ApiError as error:
        return _complain(str(error))
    if args.rate_limit:
        emulator.rate_limit = args.rate_limit
    if args.request_log is not None:
        emulator.request_log_path = args.request_log
    try:
        listeners = [server.bind(args.host, port) for port in _ports(args)]
    except (server.NotLoopbackError, server.PortBusyError) as error:
        return _complain(str(error))

    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        journal = None
        if args.state is not None:
            try:
                journal = Journal(emulator, args.state)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                return _complain(
                    f"The state in {args.state} cannot be read ({error}). Move the file away to start afresh."
                )
        _set_up(emulator, args)
        server.announce(emulator, *listeners)
        print(_banner(emulator, args.webhook), flush=True)
        server.run(server.create_app(emulator, latency_ms=args.latency_ms), *listeners)
        if journal is not None:
            journal.close()
    return 0


def _ports(args: argparse.Namespace) -> list[int]:
    """Of the API, and of Stripe.js and the bank when they have origins of their own: those take any free port."""
    return [args.port, 0, 0] if args.three_origins else [args.port]


def _set_up(emulator: "Emulator", args: argparse.Namespace) -> None:
    """What belongs to the set-up rather than to the state that was read."""
    known = {endpoint["url"] for endpoint in emulator.webhooks.endpoints}
    for url, secret in zip_longest(args.webhook, args.secret, fillvalue=DEFAULT_WEBHOOK_SECRET):
        if url not in known:
            emulator.webhooks.add(url, secret, standing=True)
    if args.payouts is not None:
        emulator.bank.payout_schedule(args.payouts)


def _banner(emulator: "Emulator", webhooks: list[str]) -> str:
    base = emulator.public_url
    lines = [
        "Stripe emulator: nothing here is real, no card is charged.",
        f"  API and panel    {base}",
        f"  Stripe.js        {emulator.script_url or base}/stripe.js",
        *([f"  the bank         {emulator.bank_url}"] if emulator.bank_url else []),
        f"  secret key       {emulator.secret_key}",
        f"  publishable key  {emulator.publishable_key}",
        *(f"  webhooks to      {url}" for url in webhooks),
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def writable(path: Path) -> bool:
    """Whether a file can be made or changed there: better asked at the start than found out on stopping."""
    return not path.is_dir() and os.access(path if path.exists() else path.parent, os.W_OK)


def _complain(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
