"""The server: the API over real sockets, starting and stopping, webhooks, faults that cut the line."""

import concurrent.futures
import contextlib
import hmac
import http.client
import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import stripe

from stripe_emulator import Emulator, faults
from stripe_emulator.__main__ import main
from stripe_emulator.server import NotLoopbackError, bind, serve_in_thread

Answer = tuple[int, dict[str, str], bytes]


def ask(base: str, method: str, path: str, form: dict[str, Any] | None = None, **headers: str) -> Answer:
    """One request on a connection of its own; headers come back in lower case."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=10)
    sent = {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body=urlencode(form) if form else None, headers=sent)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


@pytest.fixture
def sdk(served: str) -> stripe.StripeClient:
    return stripe.StripeClient("sk_test_emulator", base_addresses={"api": served}, max_network_retries=0)


def test_the_python_sdk_finds_stripe_over_http(sdk: stripe.StripeClient, emulator: Emulator) -> None:
    customer = sdk.v1.customers.create({"email": "ada@example.com", "metadata": {"order": "7"}})
    intent = sdk.v1.payment_intents.create(
        {
            "amount": 1250,
            "currency": "gbp",
            "customer": customer.id,
            "payment_method": "pm_card_visa",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    assert intent.status == "succeeded"
    assert emulator.ledger.taken_minor(currency="gbp") == 1250
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        sdk.v1.customers.retrieve("cus_none")


def test_a_browser_may_ask_from_any_page(served: str) -> None:
    status, headers, _ = ask(served, "OPTIONS", "/v1/payment_intents/pi_1", Origin="http://shop.example")
    assert status == 204
    assert headers["access-control-allow-origin"] == "*"
    assert "authorization" in headers["access-control-allow-headers"]
    for path in ("/v1/customers", "/stripe.js", "/stripe-js/frame.js"):
        assert ask(served, "GET", path)[1]["access-control-allow-origin"] == "*"


def test_a_path_nobody_knows_is_refused_as_stripe_does(served: str) -> None:
    status, headers, body = ask(served, "GET", "/v1/wat")
    assert status == 404
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert headers["request-id"].startswith("req_")


def test_latency_delays_every_answer_without_blocking_others(emulator: Emulator) -> None:
    with serve_in_thread(emulator, latency_ms=300) as base, concurrent.futures.ThreadPoolExecutor(10) as pool:
        begin = time.perf_counter()
        answers = list(pool.map(lambda _: ask(base, "GET", "/v1/customers")[0], range(10)))
        took = time.perf_counter() - begin
    assert answers == [200] * 10
    assert 0.3 <= took < 1.5


# -- faults --------------------------------------------------------------------------------------------


def customers(base: str) -> int:
    return len(json.loads(ask(base, "GET", "/v1/customers")[2])["data"])


def test_a_reply_lost_before_the_work_cuts_the_line(served: str, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostBefore(), times=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(served, "POST", "/v1/customers", {"name": "Ada"})
    assert customers(served) == 0


def test_a_reply_lost_after_the_work_cuts_the_line_too(served: str, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostAfter(), times=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(served, "POST", "/v1/customers", {"name": "Ada"})
    assert customers(served) == 1


def test_a_request_that_breaks_off_is_not_acted_on(served: str, emulator: Emulator) -> None:
    """What came of it may read as a smaller amount, or as no form at all."""
    url = urlsplit(served)
    head = b"POST /v1/customers HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk_test_emulator\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
    for part in (b"", b"name=Al"):
        with socket.create_connection((url.hostname, url.port), 5) as connection:
            connection.sendall(head + part)
    assert customers(served) == 0
    assert [request.method for request in emulator.requests] == ["GET"]


def test_a_body_may_break_off_in_the_middle(served: str, emulator: Emulator) -> None:
    emulator.weather.add(faults.CutBody(), times=1)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask(served, "POST", "/v1/customers", {"name": "Ada"})
    assert customers(served) == 1


def test_the_sdk_sees_a_cut_line_as_a_connection_error(sdk: stripe.StripeClient, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostAfter(), times=1)
    with pytest.raises(stripe.APIConnectionError):
        sdk.v1.customers.create({"name": "Ada"})
    assert sdk.v1.customers.create({"name": "Bea"}).name == "Bea"


def test_a_slow_reply_keeps_only_its_own_caller_waiting(served: str, emulator: Emulator) -> None:
    emulator.weather.add(faults.Slow(1), path="POST /v1/customers")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        begin = time.perf_counter()
        slow = pool.submit(ask, served, "POST", "/v1/customers", {"name": "Ada"})
        time.sleep(0.2)
        assert ask(served, "GET", "/v1/charges")[0] == 200
        assert not slow.done()
        assert slow.result(10)[0] == 200
        assert time.perf_counter() - begin >= 1


# -- webhooks ------------------------------------------------------------------------------------------


class Inbox:
    """An endpoint for webhooks that answers with `status` and keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[bytes, str]] = []
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append((body, self.headers["Stripe-Signature"]))
                self.send_response(inbox.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.got]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.server.shutdown()
    inbox.server.server_close()


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def test_webhooks_arrive_signed(served: str, emulator: Emulator, inbox: Inbox) -> None:
    emulator.webhooks.add(inbox.url, "whsec_x", events=["customer.created"])
    ask(served, "POST", "/v1/customers", {"name": "Ada"})
    wait_until(lambda: inbox.got)
    body, signature = inbox.got[0]
    event = stripe.Webhook.construct_event(body, signature, "whsec_x")  # type: ignore[no-untyped-call]
    assert event.type == "customer.created"
    time.sleep(0.7)
    assert len(inbox.got) == 1, "an answered webhook is not sent again"


def test_a_refused_webhook_comes_again_later(served: str, emulator: Emulator, inbox: Inbox) -> None:
    inbox.status = 302  # Stripe counts a redirect as a failure
    emulator.webhooks.add(inbox.url, "whsec_x", events=["customer.created"])
    ask(served, "POST", "/v1/customers", {"name": "Ada"})
    wait_until(lambda: emulator.webhooks.log)
    assert emulator.webhooks.log[0]["status"] == 302
    inbox.status = 200
    emulator.clock.advance(days=1)
    wait_until(lambda: len(inbox.got) == 2)
    assert inbox.got[0][0] == inbox.got[1][0]
    assert not hmac.compare_digest(inbox.got[0][1], inbox.got[1][1]), "each try is signed anew"


def test_an_endpoint_that_does_not_answer_holds_up_nobody(served: str, emulator: Emulator, inbox: Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        emulator.webhooks.add(f"http://127.0.0.1:{silent.getsockname()[1]}/", "whsec_x")
        emulator.webhooks.add(inbox.url, "whsec_x")
        begin = time.monotonic()
        for _ in range(60):
            ask(served, "POST", "/v1/customers", {"name": "Ada"})
        wait_until(lambda: len(inbox.got) == 60)
        assert time.monotonic() - begin < 4, "it waited for the silent endpoint's five seconds"
        silent.settimeout(0.2)
        called: list[socket.socket] = []
        with contextlib.suppress(TimeoutError):
            while True:
                called.append(silent.accept()[0])  # and not a word
        for connection in called:
            connection.close()
        assert 1 <= len(called) <= 10, "more than a few calls to an endpoint that has answered none"


def test_a_mistake_in_background_work_does_not_stop_the_post(
    served: str, emulator: Emulator, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(world: object, about: object) -> None:
        raise KeyError("a mistake of ours")

    emulator.webhooks.add(inbox.url, "whsec_x")
    emulator.world.jobs = {**emulator.world.jobs, "broken": broken}
    with emulator.lock:
        emulator.world.later(0, "broken")
    wait_until(lambda: "a mistake of ours" in caplog.text)
    ask(served, "POST", "/v1/customers", {"name": "Ada"})
    wait_until(lambda: inbox.types() == ["customer.created"])


def test_charges_settle_by_themselves(served: str, emulator: Emulator, inbox: Inbox) -> None:
    emulator.webhooks.add(inbox.url, "whsec_x")
    form = {"amount": 1250, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": "true"}
    form |= {"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"}
    assert ask(served, "POST", "/v1/payment_intents", form)[0] == 200
    wait_until(lambda: "charge.updated" in inbox.types())
    assert "payment_intent.succeeded" in inbox.types()


# -- the program ---------------------------------------------------------------------------------------


def start(*args: str) -> tuple[subprocess.Popen[str], str]:
    """The program on a free port, and its base URL, which it says itself."""
    command = [sys.executable, "-m", "stripe_emulator", "--port", "0", *args]
    path = os.pathsep.join([str(Path(__file__).parents[1] / "src"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    banner = ""
    for line in process.stdout:
        banner += line
        if line.startswith("Stop"):
            break
    assert "sk_test_emulator" in banner, process.communicate()
    assert "pk_test_emulator" in banner
    return process, banner.split("panel", 1)[1].split()[0]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_quietly_and_keeps_its_state(tmp_path: Path, how: signal.Signals) -> None:
    state = tmp_path / "state.json"
    process, base = start("--state", str(state), "--seed", "3")
    made = json.loads(ask(base, "POST", "/v1/customers", {"name": "Ada"})[2])
    process.send_signal(how)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")

    process, base = start("--state", str(state))
    assert json.loads(ask(base, "GET", f"/v1/customers/{made['id']}")[2])["name"] == "Ada"
    process.terminate()
    process.communicate(timeout=10)


def test_a_slow_reply_does_not_hold_up_the_stop() -> None:
    process, base = start()
    weather = json.dumps({"fault": "slow", "seconds": 600})
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=10)
    connection.request("POST", "/emulator/weather", weather, {"Content-Type": "application/json"})
    assert connection.getresponse().read()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, base, "GET", "/v1/customers")
        time.sleep(0.3)
        process.terminate()
        assert process.wait(4) == 0  # uvicorn would wait five seconds, then cut the line
        assert slow.result()[0] == 200
    process.communicate()


def test_the_same_seed_gives_the_same_ids() -> None:
    ids = []
    for seed in ("5", "5", "6"):
        process, base = start("--seed", seed)
        ids.append(json.loads(ask(base, "POST", "/v1/customers", {"name": "Ada"})[2])["id"])
        process.terminate()
        process.communicate(timeout=10)
    assert ids[0] == ids[1] != ids[2]


def test_options_reach_the_emulator(tmp_path: Path, inbox: Inbox) -> None:
    log = tmp_path / "requests.jsonl"
    limits = ["--rate-limit", "5", "--latency-ms", "1"]
    process, base = start("--webhook", inbox.url, "--secret", "whsec_y", "--request-log", str(log), *limits)
    statuses = [ask(base, "POST", "/v1/customers", {"name": "Ada"})[0] for _ in range(20)]
    assert 429 in statuses
    wait_until(lambda: inbox.got)
    stripe.Webhook.construct_event(*inbox.got[0], "whsec_y")  # type: ignore[no-untyped-call]
    process.terminate()
    process.communicate(timeout=10)
    line = json.loads(log.read_text().splitlines()[0])
    assert (line["method"], line["path"]) == ("POST", "/v1/customers")


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stripe_emulator", *args]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=env)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--port", "99999", "is not a port: a number from 0 to 65535"),
        ("--port", "web", "is not a port"),
        ("--latency-ms", "-5", "is not a whole number from 0"),
        ("--webhook", "localhost/hook", "is not an address such as http://"),
        ("--webhook", "http://[::1/", "is not an address such as http://"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], option: str, value: str, says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"{option}={value}"])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_busy_port_is_said_in_one_sentence(served: str) -> None:
    result = run("--port", str(urlsplit(served).port))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "--port" in result.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example", ""])
def test_only_this_machine_may_ask(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        bind(host, 0)
    assert run("--host", host, "--port", "0").returncode == 2


def test_a_broken_state_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    for text in ("{", "[]", "{}", '{"clock": 1}'):
        state.write_text(text)
        result = run("--state", str(state), "--port", "0")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr


@pytest.mark.parametrize("option", ["--state", "--request-log"])
def test_a_file_that_cannot_be_written_is_said_before_any_work(tmp_path: Path, option: str) -> None:
    for place in (tmp_path / "nowhere" / "file", tmp_path):
        result = run(option, str(place), "--port", "0")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert str(place) in result.stderr


# -- any bytes -----------------------------------------------------------------------------------------


def send_bytes(base: str, data: bytes) -> bytes:
    """What comes back for `data`, until the server closes or says no more for a moment."""
    url = urlsplit(base)
    with socket.create_connection((url.hostname, url.port), 5) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(data)
            connection.settimeout(0.2)
            while piece := connection.recv(65536):
                answer += piece
    return answer


HEAD = b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_emulator\r\n"
NASTY = [
    b"\r\n\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n",
    b"POST /v1/customers" + HEAD + b"Content-Length: -1\r\n\r\n",
    b"POST /v1/customers" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"POST /v1/customers" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/customers" + HEAD + b"Content-Length: 12\r\n\r\nname=\xff\xfe\x00%ff%",
    b"POST /v1/customers" + HEAD + b"Content-Length: 16\r\n\r\nmetadata[[[a]]]=1",
    b"POST /v1/customers" + HEAD + b"Content-Length: 2000000\r\n\r\n" + b"a" * 2_000_000,
    b"GET /v1/customers?" + b"a[" * 30_000 + HEAD + b"\r\n",
    b"GET /v1/customers?limit=%FF&expand[]=" + b"x." * 99 + HEAD + b"\r\n",
    b"GET /v1/%00%01%ff/%2e%2e/x" + HEAD + b"\r\n",
    b"GET /" + HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET /v1/events" + HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"DELETE /v1/customers/" + HEAD + b"\r\n",
    b"PATCH /v1/customers" + HEAD + b"\r\n",
]


@pytest.mark.parametrize("data", NASTY, ids=lambda data: data[:24].decode("latin-1"))
def test_nasty_bytes_are_refused(served: str, data: bytes) -> None:
    answer = send_bytes(served, data)
    if answer:
        status = int(answer[9:12])
        assert status == 101 or 200 <= status < 500, answer[:200]
        if status >= 400 and b"application/json" in answer:
            assert json.loads(answer.partition(b"\r\n\r\n")[2].split(b"HTTP/1.1", 1)[0])["error"]["type"]
    assert ask(served, "GET", "/v1/customers")[0] == 200


def test_random_bytes_do_not_shake_it(served: str) -> None:
    rng = random.Random(1234)
    words = [
        b"GET ",
        b"POST ",
        b"/v1/",
        b"payment_intents",
        b"customers",
        b" HTTP/1.1\r\n",
        b"\r\n",
        b"amount=",
        b"[",
        b"]",
        b"&",
    ]
    words += [
        b"Content-Length: ",
        b"9",
        b"=",
        b"%",
        b"\x00",
        b"\xff",
        b"Authorization: Bearer sk_test_emulator\r\n",
        b"?",
        b"/",
    ]
    for round_ in range(150):
        if round_ % 3 == 0:
            data = rng.randbytes(rng.randrange(1, 400))
        else:
            data = b"".join(rng.choice(words) for _ in range(rng.randrange(1, 30)))
        if round_ % 3 == 2:
            body = b"".join(rng.choice(words[7:]) for _ in range(20))
            data = b"POST /v1/payment_intents" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        url = urlsplit(served)
        with socket.create_connection((url.hostname, url.port), 5) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            answer = connection.recv(65536)
            assert not answer or 200 <= int(answer[9:12]) < 500, (data, answer[:300])
    assert ask(served, "GET", "/v1/customers")[0] == 200
