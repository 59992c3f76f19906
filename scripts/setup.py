"""Make .venv hold what requirements/ names: `python scripts/setup.py demo|dev`.

Needs only the standard library. Safe to run twice (the second time is instant unless something changed); two
at the same time take turns. `demo` is what the shop needs to run, `dev` all tools and tests.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import apt

ROOT = Path(__file__).resolve().parent.parent
EMULATOR = ROOT / "emulator"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
#: Another Django than the locked one, "6.0" for its newest patch: `make test DJANGO=6.0`.
DJANGO = os.environ.get("DJANGO", "")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def main(kind: str) -> None:
    """Bring .venv up to date for `kind`, "demo" or "dev"."""
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not venv_fits():
            make_venv()
        if is_current(kind):
            return
        install(kind)
        stamp(kind).write_text(fingerprint(kind))
        say("Set-up is complete.")


# --- the virtual environment


def venv_fits() -> bool:
    """Does .venv run, on the Python that was asked for?"""
    try:
        version = subprocess.run(
            [VENV_PYTHON, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return False
    return version == [str(part) for part in sys.version_info[:2]]


def make_venv() -> None:
    """Make .venv afresh with the Python that runs this."""
    say(f"Making .venv with Python {sys.version.split()[0]} ({sys.executable})")
    # Debian keeps `ensurepip`, without which `python3 -m venv` fails, in a package of its own.
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if importlib.util.find_spec("ensurepip") or (not shutil.which("uv") and apt.install(package)):
        run(sys.executable, "-m", "venv", "--clear", VENV)
    elif uv := shutil.which("uv"):
        shutil.rmtree(VENV, ignore_errors=True)
        run(uv, "venv", "--quiet", "--python", sys.executable, VENV)
    else:
        raise SystemExit(
            f"setup: {sys.executable} cannot make virtual environments: its module ensurepip is missing.\n"
            f"       On Debian and Ubuntu: sudo apt-get install {package}\n"
            "       Or put uv on the PATH. Then run the same command again."
        )


def find_uv() -> Path | str:
    """The path of uv; fetched into .venv by pip, at a locked version, when it is nowhere else."""
    if found := shutil.which("uv"):
        return found
    inside = VENV / "bin" / "uv"
    if not inside.exists():
        say("Fetching uv")
        if not has_pip():
            run(VENV_PYTHON, "-m", "ensurepip", "--upgrade")
        run(
            VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "-r", REQUIREMENTS / "uv.txt",
        )  # fmt: skip
    return inside


def has_pip() -> bool:
    """A .venv that uv made has no pip."""
    return subprocess.run([VENV_PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


# --- what is in it


def install(kind: str) -> None:
    """Install exactly what requirements/<kind>.txt locks, then the project and its emulator, editable."""
    uv = find_uv()
    requirements = REQUIREMENTS / f"{kind}.txt"
    say(f"Installing {requirements.relative_to(ROOT)}")
    into_venv = ("--quiet", "--python", VENV_PYTHON)
    # uv leaves that to the first process to import a module, and a process that may not write does it each time.
    compiled = ("--compile-bytecode",)
    if kind == "dev":
        run(uv, "pip", "sync", *into_venv, *compiled, "--require-hashes", requirements)
    else:
        # Not `sync`: a developer's tools stay when somebody shows the demo.
        run(uv, "pip", "install", *into_venv, *compiled, "--require-hashes", "-r", requirements)
    run(uv, "pip", "install", *into_venv, "--no-deps", "--editable", ROOT, "--editable", EMULATOR)
    if DJANGO:
        say(f"Installing Django {DJANGO} in place of the locked one")
        run(uv, "pip", "install", *into_venv, f"django~={DJANGO}.0")


def is_current(kind: str) -> bool:
    """Was `kind`, or what contains it, installed from the very files that are here now?"""
    kinds = ("dev",) if kind == "dev" else ("demo", "dev")
    return any(stamp(one).exists() and stamp(one).read_text() == fingerprint(one) for one in kinds)


def stamp(kind: str) -> Path:
    return VENV / f".installed-{kind}"


def fingerprint(kind: str) -> str:
    """Changes with the requirements, both pyproject.toml, DJANGO and the folder (they are installed by path)."""
    digest = hashlib.sha256(f"{ROOT} {DJANGO}".encode())
    for path in (ROOT / "pyproject.toml", EMULATOR / "pyproject.toml", REQUIREMENTS / f"{kind}.txt"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# --- talking


def say(text: str) -> None:
    print(text, flush=True)


def run(*command: object) -> None:
    """Run it; when it fails it has said why, so we add only what we were doing."""
    words = [str(word) for word in command]
    # A VIRTUAL_ENV from the caller's shell would only make uv warn; PYTHONHOME would break the new Python.
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONHOME"}}
    if SYSTEM_CERTIFICATES.exists():
        # Like pip and git, uv then trusts what this machine trusts; behind some proxies nothing else works.
        env = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", **env}  # the new and the old name
    try:
        subprocess.run(words, check=True, env=env, cwd=ROOT)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"setup: this failed with status {error.returncode}: {' '.join(words)}") from None


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"demo", "dev"}:
        raise SystemExit("usage: setup.py demo|dev")
    main(sys.argv[1])
