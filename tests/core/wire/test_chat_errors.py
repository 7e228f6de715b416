"""An error object of a server says whether asking again may help."""

import pytest

from loom_core.errors import ErrorCategory
from loom_core.wire.chat_errors import failure_from_error

T, V, P = ErrorCategory.TRANSIENT, ErrorCategory.VALIDATION, ErrorCategory.PERMISSION


@pytest.mark.parametrize(
    ("error", "status", "category"),
    [
        ({"message": "x"}, 400, V),
        ({"message": "x"}, 401, P),
        ({"message": "x"}, 403, P),
        ({"message": "x"}, 404, V),
        ({"message": "x"}, 408, T),
        ({"message": "x"}, 422, V),
        ({"message": "x"}, 429, T),
        ({"message": "x"}, 500, T),
        ({"message": "x"}, 503, T),
        ({"message": "x", "code": 400}, None, V),
        ({"message": "x", "code": "429"}, None, T),
        ({"message": "x", "code": "context_length_exceeded"}, None, V),
        ({"message": "x", "code": "insufficient_quota"}, 429, P),
        ({"message": "x", "type": "server_error"}, None, T),
        ({"message": "x", "type": "invalid_request_error", "code": None}, None, V),
        ("overloaded", None, T),
        (None, None, T),
        ([], 400, V),
    ],
)
def test_the_category_follows_type_then_status_then_code(
    error: object, status: int | None, category: ErrorCategory
) -> None:
    failure = failure_from_error(error, who="the server", status=status)
    assert failure.error_category is category
    assert failure.is_retryable is (category is T)


def test_the_message_is_one_line_and_names_the_server() -> None:
    failure = failure_from_error({"message": "bad\n  thing"}, who="the box", status=400, retry_after_s=3.0)
    assert failure.message == "the box answered with an error: bad thing"
    assert failure.retry_after_s == 3.0
    assert failure.hint is None


def test_a_context_that_overflows_has_a_hint() -> None:
    error = {"code": 400, "message": "request (9 tokens) exceeds the available context size (8 tokens)"}
    assert "shorten it" in (failure_from_error(error, who="x").hint or "")
