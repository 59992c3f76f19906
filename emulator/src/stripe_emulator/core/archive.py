"""Events in little memory: each is packed by what it differs in from the first of its type."""

from __future__ import annotations

import json
import zlib

from .tables import JSON

# Small windows: an event has a few thousand letters, and a large one costs more to clear than to fill.
_LEVEL, _WINDOW, _MEMORY = 1, 13, 4


class Archive:
    """Packs and unpacks the data of events, which are many and much alike. Not thread-safe: the engine locks."""

    def __init__(self) -> None:
        self._models: dict[str, bytes] = {}

    def pack(self, kind: str, text: str) -> bytes:
        """`text` is the event's data as JSON, `kind` its type."""
        data = text.encode("utf-8", "surrogatepass")
        packer = zlib.compressobj(_LEVEL, wbits=_WINDOW, memLevel=_MEMORY, zdict=self._models.setdefault(kind, data))
        return packer.compress(data) + packer.flush()

    def unpack(self, event: JSON) -> str:
        """The data of an event as JSON text."""
        unpacker = zlib.decompressobj(wbits=_WINDOW, zdict=self._models[event["type"]])
        return unpacker.decompress(event["data"]).decode("utf-8", "surrogatepass")

    def plain(self, event: JSON) -> JSON:
        """The event as it is written down: its data as JSON text."""
        return {**event, "data": self.unpack(event)}

    def shown(self, event: JSON) -> JSON:
        """The event as answers and deliveries show it."""
        return {**event, "data": json.loads(self.unpack(event))}
