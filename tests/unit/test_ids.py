import uuid

import pytest

from checkout.ids import uuid_or_none


def test_a_uuid_is_read_as_it_is_spelt() -> None:
    made = uuid.uuid4()
    assert uuid_or_none(str(made)) == uuid_or_none(made.hex) == made


@pytest.mark.parametrize("text", ["", "pi_123", "5f0c9a30-6f0e-4b6f-9d60-3c1f0f7b2a1", "Zoë Łęcka"])
def test_what_is_not_a_uuid_is_none(text: str) -> None:
    assert uuid_or_none(text) is None
