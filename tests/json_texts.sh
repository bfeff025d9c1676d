#!/bin/sh
# SPDX-License-Identifier: MIT
# json_texts.sh - compares the reader of JSON and of safetensors headers with Python's;
# skipped without Python. PYTHON names a Python that also has safetensors.
#     make check TESTS=tests/json_texts.sh PYTHON=torch-venv/bin/python

. "$(dirname "$0")/lib.sh"

python=${PYTHON:-python3}
command -v "$python" >/dev/null || skip "$python was not found"
exec "$python" "$srcdir/tests/json_texts.py" ./tests/json_texts
