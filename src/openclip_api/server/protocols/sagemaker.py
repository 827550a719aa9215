"""What Amazon SageMaker asks its containers: POST /invocations. GET /ping, which it asks too, is in immich.py.

POST /endpoints/{name}/invocations is the same at the path that Amazon's clients ask, whatever the endpoint is called.

A body in the form of Hugging Face's containers, see shared/tasks.py; or an image's bytes, with `Content-Type: image/..`
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...runtime.embedding import unit_length
from ..envelope import Envelope
from ..shared.answer import embeddings_response
from ..shared.body import media_type, request_body, schema_of
from ..shared.embed import embed
from ..shared.image_body import IMAGE_CONTENT, image_body
from ..shared.tasks import Task, task_answer

router = APIRouter(tags=["SageMaker"])
ENVELOPE = Envelope(lambda problem: {"code": problem.kind, "message": problem.message}, invalid=400)


CONTENT = schema_of(Task, **IMAGE_CONTENT)
NAME = {"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]}


@router.post("/endpoints/{name}/invocations", summary="The same, as Amazon's clients ask", openapi_extra=CONTENT | NAME)
@router.post("/invocations", summary="Embed or classify for SageMaker", openapi_extra=CONTENT)
async def invocations(request: Request) -> Response:
    if not media_type(request).startswith("image/"):
        return await task_answer(request, await request_body(request, Task))
    embedded = await embed(request, [await image_body(request)], None)
    return embeddings_response(unit_length(embedded.vectors), embedded)
