#!/bin/sh
# round_trip.sh - weights, tensors and arrays to PyTorch, safetensors and NumPy, and back; skipped
# where they are absent. PYTHON names a Python that has them.
#     make check TESTS=tests/round_trip.sh PYTHON=torch-venv/bin/python

python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "round_trip.sh: skipped, $python was not found"
    exit 77
fi
exec "$python" "${srcdir-.}/tests/torch/round_trip.py" ./tests/round_trip
