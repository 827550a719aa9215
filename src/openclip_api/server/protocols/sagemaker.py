"""What Amazon SageMaker asks its containers: POST /invocations. GET /ping, which it asks too, is in immich.py.

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
ENVELOPE = Envelope(lambda problem: {"error": problem.message}, invalid=400)


@router.post("/invocations", summary="Embed or classify for SageMaker", openapi_extra=schema_of(Task, **IMAGE_CONTENT))
async def invocations(request: Request) -> Response:
    if not media_type(request).startswith("image/"):
        return await task_answer(request, await request_body(request, Task))
    embedded = await embed(request, [await image_body(request)], None)
    return embeddings_response(unit_length(embedded.vectors), embedded)
