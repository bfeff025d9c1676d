#!/usr/bin/env python3
"""Weights, tensors and arrays to Cotangent and back, with PyTorch, safetensors and NumPy.

    python3 tests/torch/round_trip.py BUILD/tests/round_trip

- A language model (RNN, LSTM, GRU) made here, saved by safetensors.torch.save_file, predicts the
  same ids there; also under d2l's names ("rnn.rnn.weight_ih_l0").
- One made there loads here by load_state_dict(strict=True), and predicts the same ids here.
- Tensors of every shared dtype, and arrays of NumPy's in C's and Fortran's order, come back with
  the same bits.
- The metadata's digests are those of the header and of the payload.

Exits with 77, which automake takes for "skipped", where PyTorch, safetensors or NumPy is absent.
"""
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print("round_trip: skipped,", error)
    sys.exit(77)

PROGRAM = os.path.abspath(sys.argv[1])
VOCAB, HIDDEN, STEPS = 28, 16, 100
SPREAD = {"rnn": 0.7, "lstm": 1.3, "gru": 0.9}
torch.set_num_threads(1)


def run(*arguments):
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


class RNNLM(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.rnn = getattr(torch.nn, kind.upper())(VOCAB, HIDDEN, num_layers=2)
        self.linear = torch.nn.Linear(HIDDEN, VOCAB)

    def predict(self, first, n):
        """first and n ids more, the logits after the last, and the sums of magnitudes that they are
        made of, by which errors of f32 are measured."""
        ids, state = [first], None
        with torch.no_grad():
            while True:
                x = torch.nn.functional.one_hot(torch.tensor([[ids[-1]]]), VOCAB).float()
                y, state = self.rnn(x, state)
                logits = self.linear(y)[0, 0]
                if len(ids) > n:
                    sizes = y[0, 0].abs() @ self.linear.weight.abs().T + self.linear.bias.abs()
                    return ids, logits, sizes
                ids.append(int(logits.argmax()))


def compare_predictions(what, model, path):
    words = run("predict", model.kind, path, 3, STEPS).stdout.split()
    ids, logits, sizes = model.predict(3, STEPS)
    assert [int(w) for w in words[: STEPS + 1]] == ids, f"{what}: other ids"
    theirs = torch.tensor([float(w) for w in words[STEPS + 1 :]])
    worst = ((theirs - logits).abs() / sizes).max().item()
    assert worst <= 1e-5, f"{what}: logits differ by {worst} of their sums of magnitudes"
    print(f"{model.kind} {what}: {len(set(ids))} different ids of {len(ids)}, logits within {worst:.1e}")


def model_from_here(kind):
    torch.manual_seed(1)
    model = RNNLM(kind)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, SPREAD[kind])  # so that the text does not settle on one id
    save_file(model.state_dict(), "here.safetensors")
    compare_predictions("from PyTorch", model, "here.safetensors")
    renamed = {k.replace("rnn.", "rnn.rnn."): v for k, v in model.state_dict().items()}
    save_file(renamed, "d2l.safetensors")
    compare_predictions("from PyTorch, d2l's names", model, "d2l.safetensors")


def model_from_there(kind):
    run("save", kind, "there.safetensors", 7, SPREAD[kind])
    model = RNNLM(kind)
    model.load_state_dict(load_file("there.safetensors"), strict=True)
    compare_predictions("to PyTorch", model, "there.safetensors")
    with open("there.safetensors", "rb") as f:
        length = f.read(8)
        header = f.read(struct.unpack("<Q", length)[0])
        digest = hashlib.sha256(f.read()).hexdigest()
    metadata = json.loads(header)["__metadata__"]
    own = metadata["cotangent.header_sha256"]
    zeroed = header.replace(own.encode(), b"0" * 64)
    assert metadata == {
        "format": "pt",
        "cotangent.payload_sha256": digest,
        "cotangent.header_sha256": hashlib.sha256(length + zeroed).hexdigest(),
    }, metadata


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.numpy(force=True).tobytes() == \
        b.numpy(force=True).tobytes()


def tensors():
    torch.manual_seed(2)
    wanted = {}
    for dtype in (torch.float32, torch.float64, torch.int32, torch.int64, torch.bool,
                  torch.bfloat16):
        for shape in ((), (0,), (3,), (2, 3), (2, 0, 4), (1, 2, 1, 2, 1, 2, 1, 2)):
            t = torch.randn(shape) * 100
            wanted[f"{dtype} \u00e9 {shape}"] = t > 0 if dtype == torch.bool else t.to(dtype)
    wanted["nan"] = torch.tensor([float("nan"), float("inf"), -0.0])
    save_file(wanted, "from.safetensors", metadata={"note": "\u2202"})
    run("copy", "from.safetensors", "to.safetensors")
    got = load_file("to.safetensors")
    assert set(got) == set(wanted)
    for name, t in wanted.items():
        raw = torch.int16 if t.dtype == torch.bfloat16 else t.dtype
        assert same_bits(got[name].view(raw), t.view(raw)), name
    print(f"{len(wanted)} tensors")


def arrays():
    rng = np.random.default_rng(3)
    count = 0
    for dtype in ("<f4", "<f8", "<i4", "<i8", "|b1"):
        for shape in ((), (1,), (5,), (2, 3), (2, 0, 4), (4, 3, 2), (100, 12, 3)):
            for order in "CF":
                a = (rng.normal(size=shape) * 100).astype(dtype)
                np.save("from.npy", np.asarray(a, order=order))
                run("npy", "from.npy", "to.npy")
                b = np.load("to.npy", allow_pickle=False)
                assert b.shape == a.shape and b.dtype == a.dtype
                assert b.tobytes() == a.tobytes(), (dtype, shape, order)
                with open("to.npy", "rb") as f:
                    assert f.read() == npy_bytes(a), (dtype, shape, "the file itself")
                count += 1
    a = np.arange(6.0).reshape(2, 3)
    with open("from.npy", "wb") as f:
        np.lib.format.write_array(f, a, version=(2, 0))
    run("npy", "from.npy", "to.npy")
    assert (np.load("to.npy") == a).all()
    print(f"{count + 1} arrays")


def npy_bytes(a):
    np.save("want.npy", np.ascontiguousarray(a).reshape(a.shape))
    with open("want.npy", "rb") as f:
        return f.read()


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for kind in ("rnn", "lstm", "gru"):
        model_from_here(kind)
        model_from_there(kind)
    tensors()
    arrays()
    os.chdir("/")
