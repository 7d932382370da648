"""Answers of the application's URL: the ack of a client event, and acts as in the server API."""

from typing import Any

import orjson

from auth.core.errors import InternalError, InvalidRequest
from auth.core.json_values import is_deeper
from auth.core.views import parse
from auth.http.schemas.client_events import ClientEventAnswer, ClientEventRefused
from auth.platform.http_client import Reply


class AnswerWrong(InternalError):
    """The backend's answer is not what the contract says. `detail` is for the log."""

    def __init__(self, detail: str) -> None:
        super().__init__()
        self.detail = detail


def read_answer(reply: Reply) -> tuple[dict[str, Any], ClientEventAnswer]:
    """The ack and the acts of an answer. Raises `AnswerWrong`."""
    if 400 <= reply.status < 500:
        return _refusal(reply), ClientEventAnswer()
    if not 200 <= reply.status < 300:
        raise AnswerWrong(f"status {reply.status}")
    ack = _object(reply.body) if reply.body.strip() else {}
    acts = {name: ack.pop(name) for name in ClientEventAnswer.model_fields if name in ack}
    try:
        return ack | {"ok": True}, parse(ClientEventAnswer, acts)
    except InvalidRequest as error:
        raise AnswerWrong("; ".join(f"{each.field}: {each.message}" for each in error.errors)) from None


def _refusal(reply: Reply) -> dict[str, Any]:
    """The ack of a refused event. A status without a code is a mistake: a wrong path, secret or content type."""
    try:
        refused = parse(ClientEventRefused, _object(reply.body))
    except (InvalidRequest, AnswerWrong):
        raise AnswerWrong(f"status {reply.status} without a code") from None
    return {"ok": False, "code": refused.code, "message": refused.message}


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except ValueError:
        raise AnswerWrong("not JSON") from None
    if not isinstance(content, dict) or is_deeper(content):
        raise AnswerWrong("not a JSON object, or nested too deeply")
    return content
