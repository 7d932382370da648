"""A FastAPI service with a protected route; beside it one of Starlette."""

from typing import Annotated, Any

import uvicorn
from apps_common import verifier
from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from vigil_verify import Claims
from vigil_verify.starlette import RequireToken, protected

vigil = verifier()
current = Annotated[Claims, Depends(RequireToken(vigil))]


@protected(vigil)
async def starlette_me(request: Request) -> JSONResponse:
    return JSONResponse({"userId": request.state.claims.user_id})


app = FastAPI(routes=[Route("/starlette", starlette_me)])


@app.get("/me")
def me(claims: current) -> Any:
    return {"userId": claims.user_id}


class Announced(uvicorn.Server):
    """Prints its address."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print("listening on", self.servers[0].sockets[0].getsockname()[1], flush=True)


Announced(uvicorn.Config(app, port=0, log_level="warning", lifespan="off")).run()
