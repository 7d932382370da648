"""Reading a request's JSON body: bounded, and every way in which it can be wrong is a refusal."""

from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from auth.errors import InvalidJson, PayloadTooLarge, UnsupportedMediaType
from auth.http.answers import JSON_TYPE

MAX_BODY_BYTES = 64 * 1024


async def read_json(request: web.Request, *, optional: bool) -> Any:
    """The body as plain values; `{}` for an empty one where it is `optional`.

    Of a repeated key the last one counts, as in every browser. Raises `UnsupportedMediaType`,
    `PayloadTooLarge` or `InvalidJson`.
    """
    raw = await read_bounded(request)
    if not raw and optional:
        return {}
    if not is_json(request.headers.get("Content-Type", "")):
        raise UnsupportedMediaType
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Also for NaN and Infinity, bytes that are not UTF-8, halves of surrogate pairs, deep nesting.
        raise InvalidJson from None


async def read_bounded(request: web.Request) -> bytes:
    """The whole body, never holding more than the limit; a declared length is refused unread."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise PayloadTooLarge
    raw = bytearray()
    try:
        async for chunk in request.content.iter_any():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise PayloadTooLarge
    except (web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError):
        raise InvalidJson("The body could not be read.") from None
    return bytes(raw)


def is_json(content_type: str) -> bool:
    """Whether it is application/json, in UTF-8 if it names a character set."""
    kind, _, parameters = content_type.partition(";")
    charsets = [
        value.strip(" \t\"'")
        for name, _, value in (parameter.partition("=") for parameter in parameters.split(";"))
        if name.strip().lower() == "charset"
    ]
    return kind.strip().lower() == JSON_TYPE and all(charset.lower() in {"utf-8", "utf8"} for charset in charsets)
