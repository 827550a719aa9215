#!/usr/bin/env bash
# On a machine with an NVIDIA card, in some eight minutes: equality on the card, then speed beside Infinity on the same card.
# Output: build/gpu/. Needs wrk. Written where there was no card to try it on.
set -eu
cd "$(dirname "$0")/.."
out=build/gpu
mkdir -p "$out"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader | tee "$out/card.txt"
make .venv-parity/installed benchmarks/.venv/installed benchmarks/.venv-infinity/installed \
  benchmarks/.venv-original/installed benchmarks/.venv-onnx/installed benchmarks/.venv-quantize/installed
.venv-parity/bin/python -m pytest -s parity/test_gpu.py | tee "$out/parity.txt"
benchmarks/.venv/bin/python benchmarks/run.py --device cuda --rounds 1 --systems 'on cuda' --no-report | tee "$out/speed.txt"
