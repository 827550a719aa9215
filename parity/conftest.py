"""Agreement with the reference: asserted case by case, and shown as a table at the end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest

# What the project promises, and how far the vectors may lie apart relative to their length: a
# cosine alone would miss a wrong scale, and the small step from one kind of GELU to another.
LEAST_COSINE = {"fp32": 0.99999, "bf16": 0.999}
MOST_DISTANCE = {"fp32": 1e-5, "bf16": 0.05}
MOST_ALIKE = 0.995  # inputs whose vectors are all alike would prove nothing

FIGURES = pytest.StashKey[dict[tuple[str, str], list[tuple[float, float]]]]()
HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

Agree = Callable[[str, np.ndarray, np.ndarray], None]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}
    # torch and open_clip warn about themselves; a warning of this package still fails
    for module in ("torch", "torchvision", "timm", "open_clip", "transformers", "safetensors"):
        config.addinivalue_line("filterwarnings", rf"ignore:::{module}\..*")


@pytest.fixture(params=["fp32", pytest.param("bf16", marks=pytest.mark.skipif(not HAS_BF16, reason="no bf16"))])
def precision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def agree(request: pytest.FixtureRequest, precision: str) -> Agree:
    figures = request.config.stash[FIGURES]

    def check(label: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
        assert alike(theirs) < MOST_ALIKE
        cosine, distance = worst(ours, theirs)
        figures.setdefault((label, precision), []).append((cosine, distance))
        assert cosine >= LEAST_COSINE[precision]
        assert distance <= MOST_DISTANCE[precision]

    return check


def worst(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """The least cosine and the greatest relative distance between rows."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(axis=1) / (lengths[0] * lengths[1])
    return float(cosines.min()), float((np.linalg.norm(a - b, axis=1) / lengths[1]).max())


def alike(vectors: np.ndarray) -> float:
    """The mean cosine between the vectors of different inputs."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    others = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    return float(others.mean())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("agreement with open_clip")
    for (label, precision), pairs in sorted(config.stash[FIGURES].items()):
        cosine, distance = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
        line = f"{label:32} {precision}  least cosine {cosine:.9f}  greatest relative distance {distance:.1e}"
        terminalreporter.write_line(f"{line}  ({len(pairs)} comparisons)")
