"""Django: a decorator for views, synchronous and asynchronous ones."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from vigil_verify.errors import VerificationError
from vigil_verify.verifier import Verifier

View = Callable[..., Any]


def protected(verifier: Verifier) -> Callable[[View], View]:
    """Decorate a view: it is called with a valid token only, whose claims are `request.claims`."""

    def decorate(view: View) -> View:
        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
                try:
                    claims = await verifier.verify_header_async(request.headers.get("Authorization"))
                except VerificationError as refusal:
                    return _answer(refusal)
                request.claims = claims
                return await view(request, *args, **kwargs)

            return guarded_async

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                claims = verifier.verify_header(request.headers.get("Authorization"))
            except VerificationError as refusal:
                return _answer(refusal)
            request.claims = claims
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _answer(refusal: VerificationError) -> HttpResponse:
    return JsonResponse(refusal.body, status=refusal.status, headers=refusal.headers)
