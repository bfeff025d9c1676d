#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes peer.safetensors with PyTorch's safetensors package: for each dtype that the format and
Cotangent share, a tensor 0, 1, 2, ... (mod 2 for bool), an empty one, one of rank 0, one of F16, which
Cotangent does not load, and a name that is not ASCII.

    torch-venv/bin/python tests/torch/peer_file.py tests/torch/peer.safetensors
"""
import sys

import torch
from safetensors.torch import save_file

save_file(
    {
        "f32": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "f64": torch.arange(3, dtype=torch.float64),
        "i32": torch.arange(4, dtype=torch.int32),
        "i64": torch.arange(2, dtype=torch.int64),
        "bool": torch.arange(5) % 2 == 1,
        "bf16": torch.arange(3, dtype=torch.bfloat16),
        "half": torch.arange(3, dtype=torch.float16),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(0, dtype=torch.float64),
        "n\u00e4me": torch.zeros(1),
    },
    sys.argv[1],
    metadata={"format": "pt"},
)
