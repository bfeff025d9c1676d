#!/bin/sh
# SPDX-License-Identifier: MIT
# dlpack.sh - shares tensors with NumPy and PyTorch; skipped if neither is installed.
# PYTHON names a Python that has them.
#     make check TESTS=tests/dlpack.sh PYTHON=torch-venv/bin/python

. "$(dirname "$0")/lib.sh"

python=${PYTHON:-python3}
command -v "$python" >/dev/null || skip "$python was not found"
for library in .libs/libcotangent.so.*.*; do
    [ -e "$library" ] && exec "$python" "$srcdir/tests/dlpack.py" "$library"
done
skip "there is no shared library"
