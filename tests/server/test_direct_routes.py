"""The short way to a route answers as FastAPI's own would."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from openclip_api.server.direct_routes import DirectRoutes


async def told(request: Request) -> Response:
    return PlainTextResponse(f"{request.scope['route'].path} {request.query_params}")


async def parametrised(request: Request, name: str) -> Response:
    return PlainTextResponse(f"name {name}")


def refuse() -> None:
    raise HTTPException(403)


def client(*, direct: bool) -> TestClient:
    app = FastAPI()
    app.get("/a/{name}")(parametrised)
    app.get("/a/b")(told)
    app.post("/a/b")(told)
    app.post("/a/{name}")(parametrised)
    app.get("/c")(told)
    app.get("/e/{number}")(told)
    app.get("/refused", dependencies=[Depends(refuse)])(told)
    guarded = APIRouter(dependencies=[Depends(refuse)])
    guarded.get("/guarded")(told)
    app.include_router(guarded)
    if direct:
        routes = [*app.router.routes, *guarded.routes]
        app.router.routes.insert(0, DirectRoutes(route for route in routes if isinstance(route, APIRoute)))
    return TestClient(app)


def test_it_answers_as_the_routing_table_would() -> None:
    asked = [(method, path) for method in ("GET", "POST", "PUT", "HEAD")
             for path in ("/e/1", "/a/b", "/a/x", "/c", "/c?d=1", "/c/", "/A/b", "/nowhere",
                          "/%63", "/refused", "/guarded")]  # fmt: skip
    answers = []
    for direct in (False, True):
        with client(direct=direct) as http:
            answers.append([(r.status_code, r.text, r.headers.get("allow")) for r in (http.request(*a) for a in asked)])
    assert answers[0] == answers[1]
    assert [status for status, *_ in answers[1]].count(403) == 2


def test_it_knows_the_routes_without_parameters_alone() -> None:
    app = client(direct=True).app
    assert isinstance(app, FastAPI)
    (found,) = (route.found for route in app.router.routes if isinstance(route, DirectRoutes))
    assert set(found) == {("POST", "/a/b"), ("GET", "/c")}
