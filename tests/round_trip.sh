#!/bin/sh
# SPDX-License-Identifier: MIT
# round_trip.sh - passes weights, tensors and arrays to PyTorch, safetensors and NumPy and
# back; skipped if these are not installed. PYTHON names a Python that has them.
#     make check TESTS=tests/round_trip.sh PYTHON=torch-venv/bin/python

. "$(dirname "$0")/lib.sh"

python=${PYTHON:-python3}
command -v "$python" >/dev/null || skip "$python was not found"
exec "$python" "$srcdir/tests/torch/round_trip.py" ./tests/round_trip
