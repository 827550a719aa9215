#!/bin/sh
# Removes from a venv what the server never loads. Arguments: the venv's folder, cpu or gpu.
set -eu
venv=$1
device=$2
openvino=$(echo "$venv"/lib/python3*/site-packages/openvino)

"$venv/bin/python" -m pip uninstall --quiet --yes setuptools pip 2>/dev/null

# The graphs are built here, so nothing is imported from other frameworks' files; the reader of OpenVINO's own stays.
for frontend in gguf jax onnx paddle pytorch tensorflow tensorflow_lite; do
  rm -f "$openvino"/libs/libopenvino_${frontend}_frontend.so*
done
rm -f "$openvino"/libs/libopenvino_intel_npu_*
if [ "$device" != gpu ]; then
  rm -f "$openvino"/libs/libopenvino_intel_gpu_* "$openvino"/libs/cache.json
fi
rm -rf "$openvino/include" "$openvino/cmake"
find "$venv" -name '*.pyi' -delete
find "$venv/lib" -type d -name tests -path '*/numpy/*' -prune -exec rm -rf {} +
