"""Scores of pairs; those of a softmax are in test_clip_api_service.py."""

from __future__ import annotations

import dataclasses

import numpy as np

from openclip_api.server.shared.scores import probabilities

from ...runtime.test_embedder import INFO


def test_a_model_with_a_bias_is_scored_by_sigmoid():
    siglip = dataclasses.replace(INFO, logit_scale=10.0, logit_bias=-5.0)
    np.testing.assert_allclose(
        probabilities(np.array([[0.5, 0.7]], np.float32), siglip), [[0.5, 1 / (1 + np.exp(-2))]], rtol=1e-5
    )
