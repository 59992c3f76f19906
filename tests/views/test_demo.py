"""`python manage.py demo`: starts, stops, starts again, refuses."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from django.core.management import CommandError, call_command

from checkout import timetable

ROOT = Path(__file__).parent.parent.parent
SECONDS_TO_START = 90


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


@dataclass
class Demo:
    folder: Path
    port: int
    emulator_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> Path:
        """A file: a pipe that nobody reads would stop the demo once it is full."""
        return self.folder / "said.txt"

    def start(self) -> subprocess.Popen[bytes]:
        ours = {"PORT": str(self.port), "EMULATOR_PORT": str(self.emulator_port), "CHECKOUT_DEMO_DIR": str(self.folder)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("STRIPE_", "DJANGO_"))}
        with self.said.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "manage.py", "demo"],
                cwd=ROOT, env={**kept, **ours}, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def serve(self) -> None:
        self.process = self.start()
        deadline = time.monotonic() + SECONDS_TO_START
        answer = "nothing"
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                answer = self.get("/")
                if answer.startswith("<!doctype html>"):
                    return
            time.sleep(0.2)
        raise AssertionError(f"The demo did not start. It answered {answer[:500]} and said:\n{self.said.read_text()}")

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def jobs_that_succeeded(self) -> set[str]:
        with contextlib.closing(sqlite3.connect(self.folder / "shop.sqlite3")) as books:
            rows = books.execute("SELECT name FROM checkout_scheduledjob WHERE last_succeeded_at IS NOT NULL")
            return {name for (name,) in rows}

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Exit status and everything it printed."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60), self.said.read_text()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    port, emulator_port = free_ports(2)
    made = Demo(tmp_path, port, emulator_port)
    yield made
    if made.process is not None and made.process.poll() is None:
        for child in psutil.Process(made.process.pid).children(recursive=True):
            child.kill()
        made.process.kill()
        made.process.wait()


def test_it_serves_stops_and_starts_again(demo: Demo) -> None:
    demo.serve()
    home = demo.get("/")
    assert "Pottery for beginners" in home
    assert "<code>payer</code>" in home
    assert demo.process is not None
    # Every job is run, so that the overview of its office has nothing to complain about.
    expected = {job.name for job in timetable.JOBS if job.silent_for and not job.for_digest}
    deadline = time.monotonic() + SECONDS_TO_START
    while expected - demo.jobs_that_succeeded() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert demo.jobs_that_succeeded() >= expected
    children = psutil.Process(demo.process.pid).children(recursive=True)
    assert any("stripe_emulator" in child.cmdline() for child in children)

    status, said = demo.stop(signal.SIGINT)
    assert status == 0, said
    for piece in ("payer / payer", "staff / staff", "4242 4242 4242 4242", f"http://127.0.0.1:{demo.port}/", "Ctrl-C"):
        assert piece in said
    assert "Traceback" not in said
    assert not any(child.is_running() for child in children)
    assert (demo.folder / "emulator.json").exists()

    demo.serve()
    assert len(re.findall("Pottery for beginners", demo.get("/"))) == len(re.findall("Pottery for beginners", home))
    status, said = demo.stop(signal.SIGTERM)
    assert status == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_PUBLISH_KEY": "pk_live_1"},
            "is a live key, which moves real money",
        ),
        ({"STRIPE_SECRET_KEY": "rk_live_1"}, "is a live key"),
        ({"STRIPE_SECRET_KEY": "sk_test_1"}, "STRIPE_PUBLISH_KEY is not. Set both"),
        ({"PORT": "http"}, "PORT is 'http'; it should be a number"),
        ({"EMULATOR_PORT": "70000"}, "EMULATOR_PORT is '70000'"),
        ({"PORT": "{free}", "EMULATOR_PORT": "{free}"}, "PORT and EMULATOR_PORT are both {free}"),
        ({"PORT": "{busy}"}, "Port {busy} cannot be used (Address already in use)"),
        ({"PORT": "{busy}"}, "choose another port, for example: PORT="),
        ({"PORT": "{free}", "EMULATOR_PORT": "{busy}"}, "for example: EMULATOR_PORT="),
    ],
)
def test_what_it_refuses(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sentence: str) -> None:
    for name in ("STRIPE_SECRET_KEY", "STRIPE_PUBLISH_KEY", "PORT", "EMULATOR_PORT"):
        monkeypatch.delenv(name, raising=False)
    free, default = free_ports(2)
    monkeypatch.setenv("PORT", str(default))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports = {"free": free, "busy": listener.getsockname()[1]}
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(**ports))
        with pytest.raises(CommandError) as refusal:
            call_command("demo")
    assert refusal.value.returncode == 2
    assert sentence.format(**ports) in str(refusal.value)
