"""A Django service with a protected view, synchronous and asynchronous."""

from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from apps_common import verifier
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from vigil_verify.django import protected

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="of a test", LOGGING_CONFIG=None)
vigil = verifier()


@protected(vigil)
def me(request: Any) -> JsonResponse:
    return JsonResponse({"userId": request.claims.user_id})


@protected(vigil)
async def me_async(request: Any) -> JsonResponse:
    return JsonResponse({"userId": request.claims.user_id})


urlpatterns = [path("me", me), path("async", me_async)]


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *_: Any) -> None:
        pass


server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
print("listening on", server.server_port, flush=True)
server.serve_forever()
