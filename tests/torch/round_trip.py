#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Weights, tensors and arrays to Cotangent and back, with PyTorch, safetensors and NumPy.

    python3 tests/torch/round_trip.py BUILD/tests/round_trip

- A language model (RNN, LSTM, GRU) made here, saved by safetensors.torch.save_file, predicts the
  same ids there; also under d2l's names ("rnn.rnn.weight_ih_l0").
- One made there loads here by load_state_dict(strict=True), and predicts the same ids here.
- Single modules (norms, attention, Transformers) do the same in f32 and f64: each loads the other's
  weights, strictly, and gives its outputs.
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


# ---- single modules: |difference| <= tolerance (1 + the largest magnitude) ----

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
nn = torch.nn


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln, self.rms = nn.LayerNorm(6), nn.RMSNorm(6)
        self.gn, self.bn = nn.GroupNorm(2, 4), nn.BatchNorm1d(4)

    def forward(self, x, **_):
        for _ in range(2 if self.training else 1):
            y = self.bn(self.gn(self.rms(self.ln(x))))
        return y


def hidden(lengths, size):
    return None if lengths is None else torch.arange(size) >= lengths[:, None]


def later(size):
    return torch.ones(size, size, dtype=torch.bool).triu(1)


class Attention(nn.Module):
    def __init__(self, causal=False, **options):
        super().__init__()
        self.attn, self.causal = nn.MultiheadAttention(8, 4, batch_first=True, **options), causal

    def forward(self, x, key=None, value=None, lengths=None):
        key, value = x if key is None else key, x if value is None else value
        return self.attn(x, key, value, key_padding_mask=hidden(lengths, key.shape[1]),
                         attn_mask=later(x.shape[1]) if self.causal else None)[0]


class Transformer(nn.Module):
    """A stack, of num_layers, or a layer (0)."""
    def __init__(self, decoder, num_layers=2, causal=False, norm=False, **options):
        super().__init__()
        kind = nn.TransformerDecoderLayer if decoder else nn.TransformerEncoderLayer
        layer = kind(8, 2, dim_feedforward=12, batch_first=True, **options)
        final = nn.LayerNorm(8) if norm else None
        self.t = layer if not num_layers else \
            nn.TransformerDecoder(layer, num_layers, final) if decoder else \
            nn.TransformerEncoder(layer, num_layers, final, enable_nested_tensor=False)
        self.causal, self.layer = causal, not num_layers

    def forward(self, x, memory=None, lengths=None):
        mask = later(x.shape[1]) if self.causal else None
        if memory is not None:
            return self.t(x, memory, tgt_mask=mask,
                          memory_key_padding_mask=hidden(lengths, memory.shape[1]))
        return self.t(x, mask, src_key_padding_mask=hidden(lengths, x.shape[1]))


MODULES = {
    "norms": (Norms, {}),
    "norms_training": (Norms, {}),
    "attention": (lambda: Attention(), {"key": (3, 5, 8), "value": (3, 5, 8), "lengths": 5}),
    "attention_causal": (lambda: Attention(causal=True, bias=False), {}),
    "attention_sizes": (lambda: Attention(kdim=5, vdim=7), {"key": (3, 5, 5), "value": (3, 5, 7)}),
    "encoder": (lambda: Transformer(False), {"lengths": 4}),
    "encoder_first": (lambda: Transformer(False, causal=True, norm=True, norm_first=True,
                                          activation="gelu"), {}),
    "encoder_layer": (lambda: Transformer(False, 0, bias=False), {}),
    "decoder": (lambda: Transformer(True, causal=True, norm=True),
                {"memory": (3, 5, 8), "lengths": 5}),
    "decoder_layer": (lambda: Transformer(True, 0, norm_first=True, layer_norm_eps=1e-3),
                      {"memory": (3, 5, 8)}),
}


def module_inputs(kind, extra, dtype):
    inputs = {"x": torch.randn(3, 4, 6 if kind.startswith("norms") else 8, dtype=dtype)}
    for name, shape in extra.items():
        inputs[name] = torch.randn(shape, dtype=dtype) if name != "lengths" else \
            torch.tensor([shape, 1, shape - 1])
    return inputs


def close(what, got, want, dtype):
    assert got.shape == want.shape and got.dtype == want.dtype, what
    worst = ((got - want).abs().max() / (1 + want.abs().max())).item()
    assert worst <= TOLERANCE[dtype], f"{what} {dtype}: differs by {worst}"
    return worst


def module(kind, dtype, from_here):
    make, extra = MODULES[kind]
    model = make().to(dtype)
    if from_here:
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(0, 0.5)
    else:
        run("module-save", kind, "f64" if dtype == torch.float64 else "f32", "module")
        model.load_state_dict(load_file("module"), strict=True)
    save_file(model.state_dict(), "module")
    inputs = module_inputs(kind, extra, dtype)
    save_file(inputs, "in")
    run("module-run", kind, "module", "in", "out", "after")
    model.train(kind == "norms_training")
    with torch.no_grad():
        want = model(**inputs)
    after = load_file("after")
    assert set(after) == set(model.state_dict()), kind
    for name, value in model.state_dict().items():
        close(f"{kind}: {name}", after[name], value, dtype)
    return close(kind, load_file("out")["y"], want, dtype)


def modules():
    torch.manual_seed(4)
    for kind in MODULES:
        for dtype in TOLERANCE:
            worst = max(module(kind, dtype, here) for here in (True, False))
            print(f"{kind} {dtype}: within {worst:.1e}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for kind in ("rnn", "lstm", "gru"):
        model_from_here(kind)
        model_from_there(kind)
    modules()
    tensors()
    arrays()
    os.chdir("/")
