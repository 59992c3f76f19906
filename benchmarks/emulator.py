"""How fast the emulator's server is and what an intent costs in memory.

    make bench BENCH=emulator BENCH_ARGS="--seconds 5 --connections 100 --intents 10000"

Starts the server as a process of its own and sends requests over keep-alive connections from this one. With
`--core 0` the server is pinned to that core.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

AUTHORIZATION = "Authorization: Bearer sk_test_emulator\r\n"


def request(method: str, path: str, form: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{AUTHORIZATION}"
    if form:
        head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n"
    return f"{head}\r\n{form}".encode()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> tuple[int, bytes]:
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    return int(head[9:12]), await reader.readexactly(length)


async def load(port: int, message: bytes, connections: int, seconds: float = 0, count: int = 0) -> tuple[float, int]:
    """Send `message` over all connections for `seconds`, or `count` times. (requests per second, wrong answers)"""
    done = wrong = started = 0
    begin = time.perf_counter()
    end = begin + seconds if seconds else float("inf")

    async def worker() -> None:
        nonlocal done, wrong, started
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end and (not count or started < count):
            started += 1
            status, _ = await exchange(reader, writer, message)
            done += 1
            wrong += status != 200
        writer.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    return done / (time.perf_counter() - begin), wrong


@contextlib.contextmanager
def server(core: int | None) -> Iterator[tuple[int, psutil.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "stripe_emulator", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--intents", type=int, default=10_000)
    parser.add_argument("--core", type=int, help="pin the server to this core")
    args = parser.parse_args()
    wrong_answers = 0
    with server(args.core) as (port, process):
        _, body = asyncio.run(_once(port, request("POST", "/v1/customers", "name=Ada")))
        customer = json.loads(body)["id"]
        create = "amount=1250&currency=gbp&metadata[order]=7"
        pay = (
            "amount=1250&currency=gbp&payment_method=pm_card_visa&confirm=true&automatic_payment_methods[enabled]=true"
        )
        pay += "&automatic_payment_methods[allow_redirects]=never"
        rows = [
            ("read a customer", request("GET", f"/v1/customers/{customer}")),
            ("create a customer", request("POST", "/v1/customers", "name=Ada&email=ada@example.com")),
            ("create a payment intent", request("POST", "/v1/payment_intents", create)),
            ("create and pay an intent", request("POST", "/v1/payment_intents", pay)),
        ]
        print(f"{args.connections} connections, {args.seconds:g} s each, server on {_place(args.core)}")
        for name, message in rows:
            before = process.cpu_times()
            rate, wrong = asyncio.run(load(port, message, args.connections, seconds=args.seconds))
            after = process.cpu_times()
            # What one core would do if it did nothing else: the machine may be busy with other work.
            cpu = after.user + after.system - before.user - before.system
            alone = rate * args.seconds / cpu
            wrong_answers += wrong
            note = f"   {wrong} WRONG ANSWERS" if wrong else ""
            print(f"  {name:<26}{rate:>8,.0f} requests/s{alone:>10,.0f} per second of its CPU{note}")
    print(f"memory of {args.intents:,} intents")
    for name, form in [("created", create), ("created and paid", pay)]:
        with server(args.core) as (port, process):
            asyncio.run(load(port, request("POST", "/v1/payment_intents", form), 20, count=500))
            before = process.memory_info().rss
            _, wrong = asyncio.run(load(port, request("POST", "/v1/payment_intents", form), 20, count=args.intents))
            wrong_answers += wrong
            used = process.memory_info().rss - before
            each = used / args.intents / 1024
            print(f"  {name:<26}{used / 2**20:>8,.1f} MiB = {each:.1f} KiB each, with charges and events")
    return 1 if wrong_answers else 0


async def _once(port: int, message: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await exchange(reader, writer, message)
    writer.close()
    return answer


def _place(core: int | None) -> str:
    return f"core {core}" if core is not None else "any core"


if __name__ == "__main__":
    sys.exit(main())
