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


# A connection over a socket that notes how often it was opened. Returns the number of openings after each step.
CLOSED_BY_THE_BACKEND = """async (load, retryable) => {
  const { Connection } = await load("vigil-connection.js");
  let opened = 0, hear, left;
  const socket = {
    id: "socket", connected: false, off() {}, offAny() {}, disconnect() {}, connect() { opened++; },
    onAny(listener) { hear = listener; }, on(event, listener) { if (event === "disconnect") left = listener; },
  };
  const token = { accessToken: "token", lifetimeMs: 60000 };
  const tokens = { current: token, usable: async () => token, remainingMs: () => 60000 };
  const listener = { onStatus() {}, onEvent() {} };
  const connection = new Connection({ socket, tokens, api: { observeClock() {} }, listener });
  const counts = [];
  const after = async (act) => {
    act();
    await new Promise((resolve) => setTimeout(resolve));
    counts.push(opened);
  };
  await after(() => connection.start());
  hear("ready", { serverTime: "2026-01-01T00:00:00Z", lastEventId: 1 });
  hear("closing", { reason: "enough", retryable }, () => {});
  await after(() => left());
  await after(() => connection.wake());
  await after(() => connection.reconnect());
  connection.stop();
  return counts;
}"""


def test_a_client_that_shall_not_come_back_by_itself_waits_for_its_user() -> None:
    assert evaluate(CLOSED_BY_THE_BACKEND, False) == [1, 1, 1, 2]
    # Otherwise a network or a window that is back is reason enough.
    assert evaluate(CLOSED_BY_THE_BACKEND, True) == [1, 1, 2, 2]
