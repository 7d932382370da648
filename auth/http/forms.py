"""Bodies as forms (`application/x-www-form-urlencoded`)."""

from urllib.parse import parse_qsl

from aiohttp import web

from auth.core.errors import UnsupportedMediaType
from auth.http.json import read_bounded

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 8


def is_form(request: web.Request) -> bool:
    """Whether the body is declared to be a form."""
    return request.content_type == FORM_TYPE


async def form_fields(request: web.Request) -> dict[str, str] | None:
    """Parse a form; blank fields are left out. None if a field is repeated, or if there are too many.

    Raises `UnsupportedMediaType` or `PayloadTooLarge`.
    """
    if not is_form(request):
        raise UnsupportedMediaType(f"Send the body as {FORM_TYPE}.")
    raw = await read_bounded(request)
    try:
        pairs = parse_qsl(raw.decode("latin-1"), max_num_fields=MAX_FIELDS)
    except ValueError:  # too many fields
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None
