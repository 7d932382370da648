"""The pages of mailed links in the OpenAPI document: each GET shows a page whose button submits a form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auth.core.errors import (
    AuthError,
    OriginNotAllowed,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
    UnsupportedMediaType,
)
from auth.http.routing import API

# Builds one operation from its id, summary and responses; builds an error response from its status and codes.
Outside = Callable[..., dict[str, Any]]
Failure = Callable[[int, Mapping[str, type[AuthError]]], dict[str, Any]]


def _page(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}


_STALE = _page("The link is no longer valid.")
_NEW_PASSWORD_REJECTED = _page(
    "The new password is not acceptable, and the page is shown again; or the link is no longer valid."
)
_VERIFIED = {
    "description": "Redirects to `/?verified=1`, or to `/?verified=0&code=…`.",
    "headers": {"Location": {"schema": {"type": "string"}}},
}

# Forms of the plain pages. The pages themselves are at `/`, which this document does not describe, and exist only
# without a demo page and an application page.
_PLAIN: Mapping[str, tuple[str, Mapping[str, Any], Sequence[str]]] = {
    f"{API}/password/reset/form": (
        "submitResetLink",
        {
            "200": _page("The password is changed."),
            "400": _NEW_PASSWORD_REJECTED,
        },
        ("password",),
    ),
    f"{API}/email/confirm/form": (
        "submitAddressLink",
        {"200": _page("Confirmed in one mailbox or in both."), "400": _STALE},
        (),
    ),
    f"{API}/alerts/not-me/form": ("submitNotMeLink", {"200": _page("The login is ended."), "400": _STALE}, ()),
}


def link_pages(outside: Outside, failure: Failure) -> dict[str, dict[str, Any]]:
    """Return the paths of all pages and forms."""

    def link(operation_id: str, summary: str, **more: Any) -> dict[str, Any]:
        answers = {
            "200": _page("The page."),
            "400": _STALE,
            "429": failure(429, {RateLimited.code: RateLimited}),
            "503": failure(503, {Unavailable.code: Unavailable}),
        }
        token = {"name": "token", "in": "query", "required": True, "schema": {"type": "string"}}
        return outside(operation_id, summary, more | answers, parameters=[token])

    def button(operation_id: str, answers: Mapping[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
        rate_limited = failure(429, {RateLimited.code: RateLimited})
        rate_limited["content"] |= _page("")["content"]
        refused = {
            str(error.status): failure(error.status, {error.code: error})
            for error in (OriginNotAllowed, PayloadTooLarge, UnsupportedMediaType, Unavailable)
        }
        schema = {
            "type": "object",
            "required": ["token"],
            "properties": {name: {"type": "string"} for name in ("token", *optional)},
        }
        body = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}
        operation = outside(
            operation_id, "Submit the page's form", {**answers, **refused, "429": rate_limited}, requestBody=body
        )
        return {"post": operation["get"]}

    return {
        f"{API}/verify-email": link(
            "showVerificationLink", "Show the page that confirms an e-mail address", **{"303": _VERIFIED}
        ),
        f"{API}/verify-email/form": button(
            "submitVerificationLink",
            {
                "200": _page("Confirmed, if there is no page to redirect to."),
                "303": _VERIFIED,
                "400": _NEW_PASSWORD_REJECTED,
                "401": _page("The password is wrong or missing; the page is shown again."),
            },
            ("password", "newPassword"),
        ),
        f"{API}/factors/undo": link("showUndoLink", "Show the page that removes an added login method or factor"),
        f"{API}/factors/undo/form": button(
            "submitUndoLink",
            {
                "200": _page("The result."),
                "400": _STALE,
                "409": _page("It is the last login method; the page is shown again."),
            },
        ),
        **{path: button(*row) for path, row in _PLAIN.items()},
    }
