"""Write the app's first migration anew from its models: each table made once, with its indexes and constraints.

Only until the first release; afterwards a change of the models is a migration of its own. What `makemigrations` writes
adds index after index to tables that are there, and each costs a rendering of all models: making the tables took
three times as long, in every run of a host's tests too.

    .venv/bin/python scripts/first_migration.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_checkout.settings")

import django  # noqa: E402

django.setup()

from django.apps import apps  # noqa: E402
from django.db import migrations  # noqa: E402
from django.db.migrations.state import ModelState, ProjectState  # noqa: E402
from django.db.migrations.writer import MigrationWriter  # noqa: E402

APP = "checkout"
PATH = ROOT / "src" / "checkout" / "migrations" / "0001_initial.py"


def main() -> int:
    before = PATH.read_text(encoding="utf-8")
    after = written()
    PATH.write_text(after, encoding="utf-8")
    print("0001_initial.py: " + ("as it was" if after == before else "written anew"))
    return 0


def written() -> str:
    models = {name: state for (app, name), state in ProjectState.from_apps(apps).models.items() if app == APP}
    migration = migrations.Migration("0001_initial", APP)
    migration.initial = True
    migration.dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("__setting__", "AUTH_USER_MODEL"),
    ]
    migration.operations = [made(models[name]) for name in in_order(models)]
    return MigrationWriter(migration, include_header=False).as_string()


def made(state: ModelState) -> migrations.CreateModel:
    return migrations.CreateModel(
        name=state.name,
        fields=list(state.fields.items()),
        options={name: value for name, value in state.options.items() if value != []},
        bases=state.bases,
        managers=state.managers,
    )


def in_order(models: dict[str, ModelState]) -> list[str]:
    """Each after those that it points at. Raises SystemExit for a circle."""
    left = {name: points_at(state, models) - {name} for name, state in models.items()}
    done: list[str] = []
    while left:
        ready = sorted(name for name, others in left.items() if others <= set(done))
        if not ready:
            raise SystemExit(f"These point at each other in a circle: {', '.join(sorted(left))}.")
        done += ready
        left = {name: others for name, others in left.items() if name not in ready}
    return done


def points_at(state: ModelState, models: dict[str, ModelState]) -> set[str]:
    found = set()
    for field in state.fields.values():
        if field.remote_field is not None:
            app, _dot, name = str(field.remote_field.model).lower().rpartition(".")
            if app in ("", APP) and name in models:
                found.add(name)
    return found


if __name__ == "__main__":
    sys.exit(main())
