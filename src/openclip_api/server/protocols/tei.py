"""What clients of text-embeddings-inference and of Hugging Face's inference containers ask.

POST /embed {"inputs": ..} → [[..]]
POST /      the same, and zero-shot image classification, as Inference Endpoints take both: see shared/tasks.py
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...errors import NotFound
from ..envelope import Envelope, Problem
from ..shared.body import request_body, schema_of
from ..shared.tasks import Task, task_answer

router = APIRouter(tags=["Hugging Face"])


def _error(problem: Problem) -> dict[str, str]:
    kinds = {400: "Empty", 429: "Overloaded", 503: "Unhealthy"}
    kind = kinds.get(problem.status, "Backend" if problem.status >= 500 else "Validation")
    return {"error": problem.message, "error_type": kind}


ENVELOPE = Envelope(_error)


@router.post("/embed", summary="Embed as text-embeddings-inference does", openapi_extra=schema_of(Task))
@router.post("/", summary="The same, or which label fits an image: Hugging Face's tasks", openapi_extra=schema_of(Task))
async def embed_or_classify(request: Request) -> Response:
    return await task_answer(request, await request_body(request, Task))


@router.post("/embed_all", summary="Refused: there are no vectors of single tokens")
@router.post("/embed_sparse", summary="Refused: there are no sparse vectors")
async def no_such_vectors(request: Request) -> Response:
    raise NotFound("a CLIP has one dense vector for each text or image: use POST /embed")
