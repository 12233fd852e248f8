"""How tests expect an error: by its code and the values that it names, so that messages can be reworded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from microexpr.core.error_codes import CODES
from microexpr.core.errors import MicroexprError


@contextmanager
def refuses(
    code: str, *named: object, kind: type[MicroexprError] = MicroexprError
) -> Iterator[pytest.ExceptionInfo[MicroexprError]]:
    """Expect an error of this code whose message names these values (file, row, clip, parameter ...)."""
    assert code in CODES
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.code == code, str(caught.value)
    for value in named:
        assert str(value) in str(caught.value), str(caught.value)
