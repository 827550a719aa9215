#!/usr/bin/env bash
# On a machine with an NVIDIA card, in some four minutes: equality with open_clip, then speed. Output: build/gpu/.
# Needs wrk. PYTHON=python3 takes a Python that has all packages already, instead of making a venv.
# INFINITY=1 measures Infinity on the same card as well: some eight minutes more.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/gpu
mkdir -p "$out" benchmarks/.cache
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader | tee "$out/card.txt"
python=${PYTHON:-.venv-parity/bin/python}
if [ -n "${PYTHON:-}" ]; then
  export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
else
  make .venv-parity/installed
fi
failed=0
"$python" -m pytest -q -s -o filterwarnings= parity/test_gpu.py > "$out/parity.txt" 2>&1 || failed=1
grep -E 'least cosine|^E  |passed|failed|skipped' "$out/parity.txt" || tail -n 30 "$out/parity.txt"
"$python" benchmarks/gpu.py --out "$out/speed.json" 2>&1 | tee "$out/speed.txt" || failed=1
if [ -n "${INFINITY:-}" ]; then
  venvs=benchmarks/.venv
  make $venvs/installed $venvs-infinity/installed $venvs-original/installed $venvs-onnx/installed $venvs-quantize/installed
  $venvs/bin/python benchmarks/run.py --device cuda --rounds 1 --systems 'on cuda' --no-report | tee "$out/infinity.txt"
fi
exit "$failed"
