#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the reader of JSON and of safetensors headers with Python's json and safetensors.

    python3 tests/json_texts.py BUILD/tests/json_texts

- Mutations of JSON texts: both readers accept the same texts, and read the same values.
- Mutations of safetensors files, where the package safetensors is installed: each file that is
  accepted here is accepted there. (The reverse does not hold: this library refuses more.)

COTANGENT_TEST_FULL=1: 30 times as many.
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

SEED = 16
FULL = 30 if os.environ.get("COTANGENT_TEST_FULL") else 1
DEPTH = 32
PIECES = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"-1", b"0", b"1e9", b"1.5", b"null",
          b"true", b'"a"', b" ", b"\n", b"\xff", b"\\u0000", b"\\ud83d", b"\\ude00", b"\\u00e9",
          b"\xc3\xa9", b"\x01", b"\x00", b"9223372036854775807", b"9223372036854775808", b"-0", b"00",
          b'"dtype"', b'"F32"', b'"shape":[2,3]', b'"__metadata__":{}', b"E+2", b"\xef\xbb\xbf"]
TEXTS = [
    b'{"type":"language_model","version":1,"model":{"hidden_size":256,"dropout":0.25,"tied":false},'
    b'"vocabulary":["<unk>"," ","\\u00e9","\xc3\xa9",[97,200]],"training":{"loss":1.5e-3,"x":null}}',
    b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"__metadata__":{"format":"pt"}}',
    b'[[[[]],{}],-12,0.5E-2,"\\ud83d\\ude00\\n\\/","",true]',
    b"[" * DEPTH + b"]" * DEPTH,
]
HEADER = (b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
          b'"b":{"dtype":"BOOL","shape":[3],"data_offsets":[24,27]}}')


class Refused(Exception):
    pass


def members(pairs):
    if len({key for key, _ in pairs}) < len(pairs):
        raise Refused
    return dict(pairs)


def whole(text):
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise Refused
    return value


def constant(_):
    raise Refused


def check(value, depth=1):
    """Refuses NUL and single surrogates in strings, and nesting that is too deep."""
    if isinstance(value, str):
        value.encode()  # raises for a surrogate
        if "\0" in value:
            raise Refused
    elif isinstance(value, (dict, list)):
        if depth > DEPTH:
            raise Refused
        for v in value.items() if isinstance(value, dict) else value:
            for part in v if isinstance(v, tuple) else (v,):
                check(part, depth + 1)


def reference(text):
    """The value of a text in a list, or None if it is refused."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=members, parse_int=whole,
                           parse_constant=constant)
        check(value)
        return [value]
    except (Refused, ValueError, RecursionError):
        return None


def mutate(rng, text):
    text = bytearray(text)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(text):
            text[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            text[at:at] = rng.choice(PIECES)
        elif kind == 2:
            piece = rng.choice(PIECES)
            text[at : at + len(piece)] = piece
        elif kind == 3:
            del text[at : at + rng.choice((1, 1, 2, 5))]
        else:
            other = rng.randrange(len(text) + 1)
            text[at:at] = text[min(at, other) : max(at, other)][:60]
    return bytes(text)


def ask(lines):
    answer = subprocess.run([os.path.abspath(PROGRAM)], input="\n".join(lines) + "\n", text=True,
                            check=True, capture_output=True).stdout.splitlines()
    assert len(answer) == len(lines), (len(answer), len(lines))
    return answer


def texts(rng):
    cases = [mutate(rng, rng.choice(TEXTS)) for _ in range(10000 * FULL)]
    accepted = 0
    for text, answer in zip(cases, ask(["json " + c.hex() for c in cases])):
        want = reference(text)
        assert answer[0] == ("1" if want else "0"), (text, answer)
        if want:
            again = json.loads(bytes.fromhex(answer[2:]))
            assert repr(again) == repr(want[0]), (text, again)
            accepted += 1
    assert len(cases) // 20 < accepted < len(cases) * 3 // 4, accepted
    print(f"{len(cases)} texts, {accepted} accepted by both, seed {SEED}")


def files(rng):
    try:
        from safetensors import safe_open, SafetensorError
    except ImportError:
        print("files: skipped, there is no safetensors")
        return
    count = here = there = 0
    with tempfile.TemporaryDirectory() as folder:
        paths, bodies = [], []
        for i in range(2000 * FULL):
            header = mutate(rng, HEADER)
            bodies.append(struct.pack("<Q", len(header)) + header + bytes(27))
            paths.append(os.path.join(folder, str(i)))
            with open(paths[-1], "wb") as f:
                f.write(bodies[-1])
        for path, body, answer in zip(paths, bodies, ask(["file " + p for p in paths])):
            try:
                with safe_open(path, framework="np"):
                    theirs = True
            except (SafetensorError, OSError):
                theirs = False
            assert theirs or answer[0] == "0", body
            here += answer[0] == "1"
            there += theirs
            count += 1
    assert here > count // 20
    print(f"{count} files: {here} accepted here, {there} by safetensors, seed {SEED}")


PROGRAM = sys.argv[1]
texts(random.Random(SEED))
files(random.Random(SEED + 1))
