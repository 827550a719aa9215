"""Which label fits an image: for /classify, and for others' routes that ask the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import anyio
import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from ...errors import DeadlineExceeded, InvalidInput, TooLarge
from ...runtime.embedding import unit_length
from ..context import context_of, state_of
from ..label_cache import LabelVector, label_keys
from .embed import Embedded, embed
from .items import MAX_TEXT_CHARACTERS, Item, name, text_item
from .scores import Cosines, probabilities

MOST_AT_ONCE = 1024  # prompts: a request holds no more of the queue
CHARACTERS_PER_PROMPT = 128  # on average


class Fields(NamedTuple):
    """What a protocol calls them, for errors."""

    labels: str
    templates: str


class Classified(NamedTuple):
    """cosines and scores [images, labels]. embedded: of the images, with the times and cut texts of the prompts too."""

    embedded: Embedded
    cosines: Cosines
    scores: NDArray[np.float32]

    def ranking(self, image: int) -> Iterator[int]:
        """The labels' indexes, best first."""
        return map(int, np.argsort(-self.scores[image]))


async def classify_images(
    request: Request,
    images: Iterable[Item],
    labels: Sequence[str],
    templates: Sequence[str],
    model: str | None,
    fields: Fields,
) -> Classified:
    """Each label is put into each template; the mean of their unit vectors counts (Radford et al. 2021, section 3.1.4).

    Vectors of labels are kept: what a request computed before it ended early is not computed again.
    Raises as `embed`, InvalidInput and TooLarge for labels and templates, DeadlineExceeded.
    """
    settings = context_of(request).settings
    _check_templates(templates, fields.templates)
    _check_size(labels, templates, settings.max_prompts, fields.labels)
    _check_labels(labels, fields.labels)
    try:
        with anyio.fail_after(settings.request_timeout):
            return await _classified(request, images, labels, templates, model)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"no answer within {settings.request_timeout:g} seconds (REQUEST_TIMEOUT): the label vectors made so far "
            "are kept, so send it again"
        ) from error


async def _classified(
    request: Request, images: Iterable[Item], labels: Sequence[str], templates: Sequence[str], model: str | None
) -> Classified:
    embedded = await embed(request, images, model)
    found, stages = await _label_vectors(request, embedded, labels, templates, model)
    cosines = unit_length(embedded.vectors) @ np.stack([label.vector for label in found]).T
    truncated = [*embedded.truncated, *[True] * sum(label.truncated for label in found)]
    whole = replace(embedded, truncated=truncated, stages=stages)
    state = state_of(request)
    state.items, state.stages = len(embedded.vectors) + len(labels) * len(templates), stages
    return Classified(whole, np.asarray(cosines, np.float32), probabilities(cosines, embedded.info))


async def _label_vectors(
    request: Request, of_images: Embedded, labels: Sequence[str], templates: Sequence[str], model: str | None
) -> tuple[list[LabelVector], dict[str, float]]:
    """Of all labels, in their order; and the longest time that an item spent in each stage."""
    context, stages = context_of(request), of_images.stages
    keys = label_keys(of_images.info.fingerprint, templates, labels)
    found = {key: kept for key in keys if (kept := context.label_cache.get(key)) is not None}
    missing = {key: label for key, label in zip(keys, labels, strict=True) if key not in found}
    sums = np.zeros((len(missing), of_images.info.embed_dim), np.float32)
    truncated = np.zeros(len(missing), int)
    prompts = (
        (row, template.replace("{}", label)) for row, label in enumerate(missing.values()) for template in templates
    )
    most = min(MOST_AT_ONCE, context.settings.max_texts, context.settings.max_queue)
    waiting, computed = iter(enumerate(missing)), 0
    while part := list(islice(prompts, most)):
        embedded = await embed(request, (text_item(prompt, "labels") for _, prompt in part), model)
        rows = [row for row, _ in part]
        np.add.at(sums, rows, unit_length(embedded.vectors))
        np.add.at(truncated, rows, embedded.truncated)
        stages = {stage: max(seconds, stages.get(stage, 0)) for stage, seconds in embedded.stages.items()}
        before, computed = computed, computed + len(part)
        for row, key in islice(waiting, computed // len(templates) - before // len(templates)):
            found[key] = LabelVector(unit_length(sums[row]), int(truncated[row]))
            context.label_cache.put(key, found[key])
    return [found[key] for key in keys], stages


def _check_templates(templates: Sequence[str], field: str) -> None:
    """Raises InvalidInput."""
    for index, template in enumerate(templates):
        if "{}" not in template:
            param = name(field, index, templates)
            raise InvalidInput(f"{param}: put {{}} where the label goes", param)


def _check_labels(labels: Sequence[str], field: str) -> None:
    """Two that are equal would share what one of them scores. Raises InvalidInput."""
    found: dict[str, int] = {}
    for index, label in enumerate(labels):
        param, plain = f"{field}[{index}]", label.strip()
        if not plain:
            raise InvalidInput(f"{param}: an empty label", param)
        if found.setdefault(plain, index) != index:
            raise InvalidInput(f"{param}: the same label as {field}[{found[plain]}]", param)


def _check_size(labels: Sequence[str], templates: Sequence[str], most: int, field: str) -> None:
    """Of all prompts, before there are any: a template may have thousands of places for a label. Raises TooLarge."""
    if len(labels) * len(templates) > most:
        raise TooLarge(f"{field}: with the templates they are more than {most} prompts (MAX_PROMPTS)", field)
    places = [template.count("{}") for template in templates]
    outside = [len(template) - 2 * place for template, place in zip(templates, places, strict=True)]
    longest = max(map(len, labels))
    if max(longest * place + rest for place, rest in zip(places, outside, strict=True)) > MAX_TEXT_CHARACTERS:
        raise TooLarge(f"{field}: in a template longer than {MAX_TEXT_CHARACTERS} characters", field)
    if sum(map(len, labels)) * sum(places) + len(labels) * sum(outside) > CHARACTERS_PER_PROMPT * most:
        raise TooLarge(
            f"{field}: in the templates they are longer than {CHARACTERS_PER_PROMPT * most} characters, "
            f"{CHARACTERS_PER_PROMPT} for each of MAX_PROMPTS",
            field,
        )
