"""What may be repeated says when: over HTTP, at the handshake and in acks alike."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth.core import errors
from auth.core.errors import AuthError, InternalError, ProviderFailed, RateLimited, StepUpRequired, Unavailable
from auth.http.json import failure
from realtime.protocol import messages
from realtime.protocol.messages import ConnectRefusal

ROOT = Path(__file__).resolve().parents[2]
REPEATED = {RateLimited.status, InternalError.status, Unavailable.status}


def refusals() -> list[AuthError]:
    """One of each kind, as it is raised without words of its own."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AuthError)]
    special: dict[type[AuthError], dict[str, Any]] = {StepUpRequired: {"acr": "a", "max_age": 1, "methods": ()}}
    return [kind(**special.get(kind, {})) for kind in kinds if kind is not AuthError]


@pytest.mark.parametrize("refusal", refusals(), ids=lambda refusal: type(refusal).__name__)
def test_a_refusal_says_when_to_come_back_if_coming_back_can_help(refusal: AuthError) -> None:
    answer = failure(refusal, "id")
    assert ("Retry-After" in answer.headers) == (answer.status in REPEATED)
    handshake, ack = ConnectRefusal.of(refusal).to_wire(), messages.refused(refusal)
    may_be_repeated = refusal.status in REPEATED
    assert handshake["retryable"] is may_be_repeated
    assert ack.get("retryable", False) is may_be_repeated
    for told in (handshake, ack):
        assert ("retryAfterMs" in told) == may_be_repeated
        assert told.get("retryAfterMs", 1) > 0
    # A provider that failed is not the server: whether it does so again, nobody knows.
    assert refusal.status < 500 or may_be_repeated or isinstance(refusal, ProviderFailed)


def test_a_defect_says_that_nobody_is_logged_out() -> None:
    assert ConnectRefusal.of(InternalError()).to_wire() == {
        "code": "internal_error",
        "retryable": True,
        "retryAfterMs": 2000,
    }


def answers_in_the_source() -> Iterator[tuple[str, ast.Call]]:
    """Every call that gives a status by its number."""
    for path in (path for folder in ("auth", "realtime", "runtime") for path in ROOT.glob(f"{folder}/**/*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and any(
                keyword.arg == "status"
                and isinstance(keyword.value, ast.Constant)
                and keyword.value.value in REPEATED
                for keyword in call.keywords
            ):
                yield f"{path.relative_to(ROOT)}:{call.lineno}", call


def test_no_answer_that_is_made_by_hand_forgets_to_say_when() -> None:
    """Errors say it by themselves: see above."""
    for place, call in answers_in_the_source():
        headers = [keyword.value for keyword in call.keywords if keyword.arg == "headers"]
        assert headers, place
        source = (ROOT / place.partition(":")[0]).read_text()
        assert "Retry-After" in source, place


def raised_with_a_pause() -> Iterator[tuple[str, ast.expr]]:
    for path in [*ROOT.glob("auth/**/*.py"), *ROOT.glob("realtime/**/*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call):
                for keyword in call.keywords:
                    if keyword.arg == "retry_after_seconds":
                        yield f"{path.relative_to(ROOT)}:{call.lineno}", keyword.value


def test_nobody_takes_the_pause_off_a_refusal() -> None:
    places = list(raised_with_a_pause())
    assert places
    for place, value in places:
        assert not (isinstance(value, ast.Constant) and not value.value), place
