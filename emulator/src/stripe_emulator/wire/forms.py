"""Form encoding with brackets, as Stripe's SDKs send it: `a[b][0]=1&c[]=2`; and multipart forms, for files."""

from __future__ import annotations

import re
from email import message_from_bytes
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl

from stripe_emulator.core.errors import invalid

Tree = dict[str, Any]

MAX_FIELDS = 5_000
MAX_DEPTH = 12
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_PART = re.compile(r"\[([^\[\]]*)\]")


class FilePart(dict[str, Any]):
    """A file of a multipart form, as a part of the tree: what it is called and is, not what is in it."""

    def __init__(self, filename: str, kind: str, content: bytes) -> None:
        digest = blake2b(content, digest_size=16).hexdigest()
        super().__init__(filename=filename, type=kind, size=len(content), digest=digest)
        self.filename, self.type, self.size = filename, kind, len(content)


def decode_multipart(content_type: str, body: bytes) -> Tree:
    """The fields of multipart/form-data. Raises ApiError for what is none."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise invalid("Invalid request: the body is not multipart/form-data.")
    tree: Tree = {}
    for part in message.get_payload():
        if isinstance(part, str):
            continue
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            continue
        filename = part.get_filename()
        if filename is not None:
            tree[name] = FilePart(filename[:255], part.get_content_type(), content)
        else:
            _put(tree, name, content.decode("utf-8", "replace"))
    return tree


def decode(*texts: str) -> Tree:
    """Nested dicts of strings. An array is a dict keyed by its indexes: `a[]=x` comes out as {"a": {"0": "x"}}."""
    tree: Tree = {}
    for text in texts:
        if not text:
            continue
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
        except ValueError:
            raise invalid("Invalid request: too many parameters.") from None
        for key, value in pairs:
            if "[" in key or "]" in key:
                _put(tree, key, value)
            elif isinstance(tree.get(key), dict):
                raise invalid(f"Invalid parameter: {key} is both a value and a hash.", key[:100])
            else:
                tree[key] = value
    return tree


def _put(tree: Tree, key: str, value: str) -> None:
    match = _NAME.match(key)
    if match is None:
        raise invalid(f"Invalid parameter name: {key[:100]}")
    parts = [match[1], *_PART.findall(match[2])]
    if len(parts) > MAX_DEPTH:
        raise invalid(f"Invalid parameter: {match[1][:100]} is nested too deeply.")
    node = tree
    last = len(parts) - 1
    for place, part in enumerate(parts):
        name = part
        if part == "" and place:
            name = _next_index(node, parts[place + 1] if place < last else None)
        if place == last:
            if isinstance(node.get(name), dict):
                raise invalid(f"Invalid parameter: {key[:100]} is both a value and a hash.")
            node[name] = value
        else:
            below = node.setdefault(name, {})
            if not isinstance(below, dict):
                raise invalid(f"Invalid parameter: {key[:100]} is both a value and a hash.")
            node = below


def _next_index(node: Tree, following: str | None) -> str:
    """The index that `[]` stands for. `a[][b]=1&a[][c]=2` fills one element; a second `a[][b]` begins the next."""
    newest = len(node) - 1
    if following and newest >= 0:
        element = node.get(str(newest))
        if isinstance(element, dict) and following not in element:
            return str(newest)
    return str(newest + 1)
