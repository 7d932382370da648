"""Endpoints that take a second factor: complete a login, or step up an existing session."""

from auth.core.errors import InvalidCode, InvalidToken
from auth.factors.step_up import StepUp
from auth.http.identity import HttpIdentity
from auth.http.routes.login_answer import LOGIN_REFUSALS, tokens_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import AssuredAnswer, FinishLoginRequest, LoginAnswer, StepUpRequest
from auth.login.admission import Admission


class SecondFactorRoutes:
    """Endpoints that take a second factor."""

    tag = "Second factor"

    def __init__(self, admission: Admission, step_up: StepUp, identity: HttpIdentity) -> None:
        self._admission = admission
        self._step_up = step_up
        self._identity = identity

    @endpoint(
        "POST",
        "/2fa/verify",
        summary="Complete a login with the second factor",
        public=True,
        errors=(InvalidToken, InvalidCode, *LOGIN_REFUSALS),
    )
    async def finish_login(self, call: Call, body: FinishLoginRequest) -> LoginAnswer:
        """Five wrong answers end the login."""
        waiting = await self._admission.waiting(body.mfa_token)
        self._identity.check_login_origin(call.request, waiting.delivery)
        result = await self._admission.finish(body.mfa_token, body.answer(), client=call.client)
        return await tokens_answer(self._identity, call, result)

    @endpoint("POST", "/step-up", summary="Re-authenticate for sensitive operations", errors=(InvalidCode,))
    async def step_up(self, call: Call, body: StepUpRequest) -> AssuredAnswer:
        """Allows sensitive operations for ten minutes (RFC 9470)."""
        until = await self._step_up.prove(call.principal, body.answer(), client=call.client)
        return AssuredAnswer(assured_until=until)
