"""Several models in one process: picked by name, bounded in memory."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from openclip_api.errors import ModelNotFound, NotReady, StartupError, UnknownModel
from openclip_api.server.model_pool import ModelPool, Readiness

from ..runtime.test_embedder import INFO
from ..support.server_process import ServerProcess
from ..support.tiny_checkpoint import write_tiny_checkpoint


class FakeEmbedder:
    info = INFO

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Loads:
    """Counts the loads of each model, and remembers the embedders it gave out."""

    def __init__(self, *names: str) -> None:
        self.given: dict[str, list[FakeEmbedder]] = {name: [] for name in names}

    def __call__(self) -> dict:
        return {name: lambda report, name=name: self._load(name) for name in self.given}

    def _load(self, name: str) -> FakeEmbedder:
        self.given[name].append(FakeEmbedder())
        return self.given[name][-1]

    def in_memory(self) -> list[str]:
        return [name for name, given in self.given.items() if given and not given[-1].closed]


def started(pool: ModelPool) -> ModelPool:
    done = threading.Event()
    pool.start(done.set)
    assert done.wait(10)
    return pool


async def use(pool: ModelPool, name: str | None) -> FakeEmbedder:
    async with pool.use(name, 10) as embedder:
        return embedder


def test_all_are_loaded_and_picked_by_name():
    loads = Loads("a:1", "b:2")
    pool = started(ModelPool(loads()))
    assert pool.readiness() == Readiness(True, {"status": "ready"})
    assert asyncio.run(use(pool, None)) is loads.given["a:1"][0]
    assert asyncio.run(use(pool, "b:2")) is loads.given["b:2"][0]
    assert asyncio.run(use(pool, "b")) is loads.given["b:2"][0]
    pool.close()
    assert loads.in_memory() == []


def test_an_unknown_or_ambiguous_name_is_refused_with_the_list():
    pool = started(ModelPool(Loads("a:1", "a:2")()))
    for name in ("c", "a", "", "../../etc/passwd"):
        with pytest.raises(ModelNotFound, match="a:1, a:2"):
            asyncio.run(use(pool, name))


def test_the_longest_idle_makes_room():
    async def scenario() -> list[list[str]]:
        seen = []
        for name in ("a", "b", "c", "b", "a"):
            await use(pool, name)
            seen.append(loads.in_memory())
        return seen

    loads = Loads("a", "b", "c")
    pool = started(ModelPool(loads(), max_loaded=2))
    assert loads.in_memory() == ["a", "b"]
    assert asyncio.run(scenario()) == [["a", "b"], ["a", "b"], ["b", "c"], ["b", "c"], ["a", "b"]]
    assert pool.readiness() == Readiness(True, {"status": "ready"})


def test_a_model_in_use_is_not_unloaded():
    async def scenario() -> None:
        async with pool.use("a", 10) as embedder:
            with pytest.raises(NotReady, match="busy"):
                await use(pool, "b")
            assert not embedder.closed
        await use(pool, "b")
        assert embedder.closed

    pool = started(ModelPool(Loads("a", "b")(), max_loaded=1))
    asyncio.run(scenario())


def test_many_requests_for_an_unloaded_model_load_it_once():
    async def scenario() -> None:
        await asyncio.gather(*(use(pool, "b") for _ in range(20)))

    loads = Loads("a", "b")
    pool = started(ModelPool(loads(), max_loaded=1))
    asyncio.run(scenario())
    assert len(loads.given["b"]) == 1


def test_an_error_at_the_start_is_kept_and_a_later_one_belongs_to_its_request():
    def fails(report):
        raise UnknownModel("gone")

    assert isinstance(started(ModelPool({"a": fails})).error, UnknownModel)
    pool = started(ModelPool({**Loads("a")(), "b": fails}, max_loaded=1))
    with pytest.raises(NotReady, match="log"):
        asyncio.run(use(pool, "b"))
    assert pool.error is None
    asyncio.run(use(pool, "a"))


class Panic(BaseException):
    """As pyo3's PanicException: a library that is written in Rust panicked."""


@pytest.mark.parametrize("kind", [Panic, RuntimeError, MemoryError, SystemExit])
def test_whatever_ends_a_load_ends_the_start_with_one_line(kind: type[BaseException]):
    def fails(report):
        raise kind("index out of bounds\nand more")

    pool = started(ModelPool({"a": fails}))
    assert isinstance(pool.error, StartupError)
    assert str(pool.error) == f"the model could not be loaded ({kind.__name__}: index out of bounds)"


@pytest.mark.parametrize("kind", [Panic, RuntimeError, MemoryError])
def test_a_later_load_that_fails_is_tried_again_by_the_next_request(kind: type[BaseException]):
    tries = []

    def fails_once(report):
        tries.append(1)
        if len(tries) == 1:
            raise kind("gone")
        return FakeEmbedder()

    async def scenario() -> None:
        with pytest.raises(NotReady, match="log"):
            await use(pool, "b")
        await use(pool, "b")
        await use(pool, "a")

    pool = started(ModelPool({**Loads("a")(), "b": fails_once}, max_loaded=1))
    asyncio.run(scenario())
    assert pool.error is None


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [write_tiny_checkpoint(tmp_path / name, seed) for seed, name in enumerate(("one", "two", "three"))]


@pytest.mark.process
def test_a_server_with_three_models_of_which_two_fit(folders: list[Path]):
    models = [f"local-dir:{folder}" for folder in folders]
    with ServerProcess(MODELS=",".join(models), MAX_LOADED_MODELS=2) as server:
        answers = {}
        for model in [None, *models, "OpenCLIP-two"]:
            response = server.http.post("/embeddings", json={"text": "red sofa", "model": model})
            assert response.status_code == 200, response.text
            answers[model] = response.json()
        assert [answer["model"] for answer in answers.values()] == [
            "OpenCLIP-one", "OpenCLIP-one", "OpenCLIP-two", "OpenCLIP-three", "OpenCLIP-two",
        ]  # fmt: skip
        assert answers[None]["embeddings"] == answers[models[0]]["embeddings"]
        assert answers[models[0]]["embeddings"] != answers[models[1]]["embeddings"]
        missing = server.http.post("/embeddings", json={"text": "a", "model": "four"})
        assert missing.status_code == 404
        assert missing.json()["error"]["type"] == "model_not_found"
        assert models[2] in missing.json()["error"]["message"]
        assert server.http.get("/info").json()["models"] == models
        assert server.http.get("/info", params={"model": models[1]}).json()["model_id"] == "OpenCLIP-two"
        assert server.stop() == 0
