"""Both distributions as somebody gets them: built, and installed into an environment that holds nothing else.

No registry is asked. What a wheel requires is linked from the environment that runs the tests: the distributions that
its metadata names, those that they name in turn, and no more.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import checkout
import stripe_emulator

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """A wheel, and the folder of the package that it was built from."""

    wheel: Path
    source: Path

    @property
    def metadata(self) -> importlib.metadata.PackageMetadata:
        (found,) = importlib.metadata.distributions(path=[str(self.wheel)])
        return found.metadata


@dataclass(frozen=True)
class Fresh:
    """An environment with one wheel and what it requires."""

    folder: Path
    brought: set[str]
    """The names of all distributions that the wheel brings with it."""

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def run(self, code: str) -> str:
        """What the code prints."""
        # -I: neither this folder nor PYTHONPATH may help.
        result = subprocess.run(
            [self.python, "-I", "-c", code], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout


def build(project: Path, source: Path, folder: Path) -> Built:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return Built(wheel, source)


def required(requirements: Iterable[str], extras: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions, by name, that these lines of metadata lead to, with those that they lead to in turn."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked: set[tuple[str, str]] = set()

    def follow(lines: Iterable[str], extras: Iterable[str]) -> None:
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                continue
            name = canonicalize_name(requirement.name)
            wanted = {(name, extra) for extra in ("", *requirement.extras)} - asked
            if wanted:
                asked.update(wanted)
                found[name] = importlib.metadata.distribution(name)
                follow(found[name].requires or (), requirement.extras)

    follow(requirements, extras)
    return found


def install(built: Built, folder: Path, *extras: str) -> Fresh:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    brought = required(built.metadata.get_all("Requires-Dist") or (), extras)
    fresh = Fresh(folder, set(brought))
    uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", fresh.python, built.wheel]
    subprocess.run(command, check=True, timeout=120)
    for distribution in brought.values():
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (fresh.packages / top).exists():
                (fresh.packages / top).symlink_to(str(distribution.locate_file(top)))
    return fresh


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT, ROOT / "src" / "checkout", tmp_path_factory.mktemp("payments"))


@pytest.fixture(scope="module")
def emulator_alone(tmp_path_factory: pytest.TempPathFactory) -> Built:
    project = ROOT / "emulator"
    return build(project, project / "src" / "stripe_emulator", tmp_path_factory.mktemp("emulator"))


@pytest.fixture(scope="module")
def site(payments: Built, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    return install(payments, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def bench(emulator_alone: Built, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    return install(emulator_alone, tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def server(emulator_alone: Built, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    return install(emulator_alone, tmp_path_factory.mktemp("server"), "server")


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_an_installed_checkout_has_every_file_of_its_package(payments: Built, site: Fresh) -> None:
    installed = files(site.packages / "checkout")
    assert installed == files(payments.source)
    for kind in (
        r"py\.typed",
        r"templates/checkout/_elements\.html",
        r"static/checkout/.+\.js",
        r"static/checkout/.+\.css",
        r"locale/de/LC_MESSAGES/django\.mo",
        r"migrations/0001_\w+\.py",
    ):
        assert any(re.fullmatch(kind, name) for name in installed), kind


def test_an_installed_emulator_has_every_file_of_its_package(emulator_alone: Built, bench: Fresh) -> None:
    installed = files(bench.packages / "stripe_emulator")
    assert installed == files(emulator_alone.source)
    assert {"py.typed", "static/stripe.js", "static/frame.css", "static/challenge.html"} <= installed


def test_each_wheel_says_the_version_that_its_package_says(payments: Built, emulator_alone: Built) -> None:
    assert payments.metadata["Version"] == checkout.__version__
    assert emulator_alone.metadata["Version"] == stripe_emulator.__version__


def test_each_wheel_carries_the_licence(site: Fresh, bench: Fresh) -> None:
    for fresh in (site, bench):
        (found,) = (
            path
            for path in fresh.packages.glob("*/licenses/LICENSE")
            if path.parts[-3].startswith(("django_c", "stripe_e"))
        )
        assert found.read_text() == (ROOT / "LICENSE").read_text()


SITE = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not a secret",
    INSTALLED_APPS=[
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages",
        "django.contrib.sessions", "django.contrib.staticfiles", "post_office", "checkout",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ROOT_URLCONF="checkout.urls",
    STATIC_URL="/static/",
    STRIPE_SECRET_KEY="sk_test_x",
    STRIPE_PUBLISH_KEY="pk_test_x",
    CHECKOUT_WEBHOOK_SECRET="whsec_x",
    SILENCED_SYSTEM_CHECKS=["models.W040"],
)
django.setup()

from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.template.loader import get_template
from django.utils import translation

from checkout.models import CheckoutState

call_command("check", verbosity=0)
call_command("migrate", verbosity=0)
print(CheckoutState.objects.count())
print(get_template("checkout/_elements.html").origin.name)
print(finders.find("checkout/elements.js"))
with translation.override("de"):
    print(translation.gettext("Refunds"))
"""


def test_a_site_with_the_wheel_alone_migrates_and_finds_templates_static_files_and_german(site: Fresh) -> None:
    states, template, script, german = site.run(SITE).split("\n")[:4]
    assert int(states) > 0
    assert Path(template).is_relative_to(site.packages)
    assert Path(script).is_relative_to(site.packages)
    assert german == "Rückerstattungen"


def test_checkout_brings_no_emulator_until_it_is_asked_for(payments: Built, site: Fresh) -> None:
    assert "django" in site.brought
    assert "stripe-emulator" not in site.brought
    assert site.run("import importlib.metadata as m; print(*m.entry_points(group='pytest11'))").strip() == ""
    (asked,) = (
        requirement
        for line in payments.metadata.get_all("Requires-Dist") or ()
        if canonicalize_name((requirement := Requirement(line)).name) == "stripe-emulator"
    )
    assert (asked.extras, str(asked.marker)) == ({"server"}, 'extra == "emulator"')


def test_the_emulator_brings_neither_django_nor_checkout(bench: Fresh, server: Fresh) -> None:
    code = "import importlib.util as u; print(*filter(u.find_spec, ('django', 'checkout', 'starlette')))"
    assert bench.run(code).split() == []
    assert server.run(code).split() == ["starlette"]
    for fresh in (bench, server):
        assert not {name for name in fresh.brought if name.startswith("django")}
    assert {"starlette", "uvicorn"} <= server.brought


def test_the_emulator_alone_brings_the_pytest_plugin(bench: Fresh) -> None:
    code = "import importlib.metadata as m; print(*(e.value for e in m.entry_points(group='pytest11')))"
    assert bench.run(code).split() == ["stripe_emulator.pytest_plugin"]


def test_the_readmes_first_example_runs_where_nothing_but_the_emulator_is_installed(bench: Fresh) -> None:
    readme = (ROOT / "emulator" / "README.md").read_text()
    example, printed = re.findall(r"```(?:python|text)\n(.*?)```", readme, re.DOTALL)[:2]
    assert bench.run(example) == printed


def test_the_installed_emulator_serves_panel_and_stripe_js(server: Fresh) -> None:
    command = [server.python, "-I", "-m", "stripe_emulator", "--port", "0"]
    with subprocess.Popen(command, cwd=server.folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base = next(found[0] for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        try:
            for path in ("/", "/stripe.js", "/emulator/health"):
                with urllib.request.urlopen(base + path, timeout=30) as answer:
                    assert answer.status == 200, path
        finally:
            process.terminate()


def test_without_the_extra_the_server_says_what_to_install(bench: Fresh) -> None:
    command = [bench.python, "-I", "-m", "stripe_emulator", "--port", "0"]
    result = subprocess.run(command, cwd=bench.folder, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "stripe-emulator[server]" in result.stderr


def test_the_emulators_tests_import_nothing_that_its_pyproject_does_not_name() -> None:
    project = tomllib.loads((ROOT / "emulator" / "pyproject.toml").read_text())
    named = project["project"]["dependencies"] + project["dependency-groups"]["test"]
    allowed = set(required(named, ()))
    trees = [ast.parse(path.read_text()) for path in (ROOT / "emulator" / "tests").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    foreign = {name.split(".")[0] for name in imported} - {*sys.stdlib_module_names, "stripe_emulator"}
    providers = importlib.metadata.packages_distributions()
    unnamed = {name for name in foreign if not {canonicalize_name(one) for one in providers[name]} & allowed}
    assert "playwright" in foreign
    assert unnamed == set()
