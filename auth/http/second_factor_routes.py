"""Second factors over HTTP: finish a login with one, and prove oneself once more on a session."""

from auth.admission import Admission
from auth.errors import InvalidCode, InvalidToken
from auth.http.identity import Identity
from auth.http.login_answers import LOGIN_REFUSALS, tokens_answer
from auth.http.routing import Call, endpoint
from auth.http.schemas import AssuredAnswer, FinishLoginRequest, LoginAnswer, StepUpRequest
from auth.step_up import StepUp

TAG = "Second factor"


class SecondFactorRoutes:
    """Endpoints that take a second factor."""

    def __init__(self, admission: Admission, step_up: StepUp, identity: Identity) -> None:
        self._admission = admission
        self._step_up = step_up
        self._identity = identity

    @endpoint(
        "POST",
        "/2fa/verify",
        summary="Finish a login with the second factor",
        tag=TAG,
        public=True,
        body=FinishLoginRequest,
        answer=LoginAnswer,
        errors=(InvalidToken, InvalidCode, *LOGIN_REFUSALS),
    )
    async def finish_login(self, call: Call, body: FinishLoginRequest) -> LoginAnswer:
        """Five wrong answers end the waiting login."""
        waiting = await self._admission.waiting(body.mfa_token)
        self._identity.check_login_origin(call.request, waiting.delivery)
        result = await self._admission.finish(body.mfa_token, body.answer(), client=call.client)
        return await tokens_answer(self._identity, call, result)

    @endpoint(
        "POST",
        "/step-up",
        summary="Prove once more that it is you",
        tag=TAG,
        body=StepUpRequest,
        answer=AssuredAnswer,
        errors=(InvalidCode,),
    )
    async def step_up(self, call: Call, body: StepUpRequest) -> AssuredAnswer:
        """Serves sensitive operations for ten minutes more (RFC 9470)."""
        until = await self._step_up.prove(call.principal, body.answer(), client=call.client)
        return AssuredAnswer(assured_until=until)
