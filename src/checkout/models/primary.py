"""Our rows are read where they are written: a replica that lags a second behind would let a debt be taken twice.

Each table says so twice: by its manager, and by `base_manager_name`, which is how Django follows foreign keys and reads
a row again. A test holds every table to it.
"""

from __future__ import annotations

from typing import Any

from django.db import models, router


class ReadsPrimary:
    """For managers: read from the database that the site's routers write to, whatever they say about reading."""

    def get_queryset(self: Any) -> Any:
        rows = super().get_queryset()  # type: ignore[misc]
        # A database that the caller has named is kept.
        return rows if self._db else rows.using(router.db_for_write(self.model, **self._hints))


class PrimaryManager(ReadsPrimary, models.Manager[Any]):
    """The manager of tables that need no other."""
