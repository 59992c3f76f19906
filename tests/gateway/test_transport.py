"""How our requests travel, at a server of our own on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from checkout.gateway import gateway


class _Answers(BaseHTTPRequestHandler):
    """Answers whatever it is asked with an intent that succeeded, and keeps who asked for what."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str, int]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"], self.client_address[1]))
        known = {"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "gbp", "created": 1}
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", "req_1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(settings: Any) -> Iterator[str]:
    _Answers.asked = []
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{listening.server_address[1]}"
    settings.CHECKOUT_STRIPE_HTTP_CLIENT, settings.CHECKOUT_STRIPE_API_BASE = "", f"http://{address}"
    yield address
    listening.shutdown()
    listening.server_close()


def test_a_thread_keeps_its_connection_and_each_has_its_own(server: str) -> None:
    def ask() -> None:
        for _twice in range(2):
            assert gateway().retrieve_payment_intent("pi_1").request_id == "req_1"

    threads = [threading.Thread(target=ask) for _two in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_Answers.asked) == 4
    assert len({port for _path, _key, port in _Answers.asked}) == 2


def test_a_proxy_of_the_environment_is_used(server: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CHECKOUT_STRIPE_API_BASE = "http://stripe.example"
    monkeypatch.setenv("http_proxy", f"http://{server}")
    for _twice in range(2):
        assert gateway().retrieve_payment_intent("pi_1").succeeded
    assert [path.partition("?")[0] for path, _key, _port in _Answers.asked] == [
        "http://stripe.example/v1/payment_intents/pi_1"
    ] * 2


def test_no_file_puts_another_key_in_place_of_ours(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    gateway().retrieve_payment_intent("pi_1")
    assert [key.partition(" ")[0] for _path, key, _port in _Answers.asked] == ["Bearer"]


def test_an_id_cannot_lead_anywhere_else(server: str) -> None:
    gateway().retrieve_payment_intent("pi_1/../customers?x=1")
    [(path, _key, _port)] = _Answers.asked
    assert path.startswith("/v1/payment_intents/pi_1%2F..%2Fcustomers%3Fx%3D1?")
