"""What the browser module makes of a refusal: only the server's own word that a login is over ends it."""

from support.page_modules import evaluate

OVER = {"invalid_token", "session_revoked", "session_expired", "refresh_reused"}
# Codes of the contract, of other versions of it, and of whatever stands in front of the server.
CODES = [
    *sorted(OVER),
    "token_expired",
    "missing_token",
    "internal_error",
    "unavailable",
    "rate_limited",
    "provider_failed",
    "origin_not_allowed",
    "csrf_failed",
    "invalid_request",
    "forbidden",
    "not_found",
    "AccessDenied",
    "a_code_of_next_year",
]

JUDGE = """async (load, [codes, statuses]) => {
  const { VigilError } = await load("vigil-errors.js");
  const { afterRefusal, afterRefreshRefusal } = await load("vigil-reconnect.js");
  return codes.flatMap((code) => statuses.flatMap((status) => [undefined, true, false].map((retryable) => {
    const error = new VigilError({ code, status, retryable });
    return [code, status, afterRefusal(error), afterRefreshRefusal(error)];
  })));
}"""


def test_only_the_four_codes_that_say_so_end_a_login_whatever_the_status() -> None:
    judged = evaluate(JUDGE, [CODES, [0, 200, 400, 401, 403, 404, 429, 500, 502, 503, 504]])
    for code, status, of_token, of_refresh in judged:
        stale = code in {"token_expired", "missing_token"}
        assert of_token == ("end" if code in OVER else "refresh" if stale else "retry"), (code, status)
        assert of_refresh == ("end" if code in OVER or stale else "retry"), (code, status)
