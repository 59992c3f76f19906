"""The first migration makes each table once, whole: a host's own tests run it each time they begin."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations


def test_it_adds_nothing_to_a_table_that_it_has_made() -> None:
    migration = import_module("checkout.migrations.0001_initial").Migration
    added = [operation for operation in migration.operations if not isinstance(operation, migrations.CreateModel)]
    assert not added, f"{len(added)} operations on tables that are there: run scripts/first_migration.py"
