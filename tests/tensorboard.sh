#!/bin/sh
# SPDX-License-Identifier: MIT
# tensorboard.sh - TensorBoard's own reader reads the events of a run, and finds the CSV
# file's numbers in them. PYTHON names a Python that has TensorBoard.

. "$(dirname "$0")/lib.sh"
program=$(pwd)/examples/rnn_concise
make_tmp
PYTHON=${PYTHON-python3}

"$PYTHON" -c 'import tensorboard' 2>/dev/null || {
    skip "$PYTHON has no tensorboard"
}
train()
{
    "$program" --data "$srcdir/data/sample.txt" --num-train 200 --num-val 100 --batch 64 \
        --steps 16 --hidden 16 --csv "$tmp/csv" --tensorboard "$tmp/runs/one" \
        --checkpoint "$tmp/run" "$@" >"$tmp/out" || exit 1
}
train --epochs 3
train --epochs 5 --resume
cat >"$tmp/read.py" <<'END'
import csv, struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
rows = list(csv.DictReader(open(sys.argv[2])))
names = {"epoch": "epoch", "train/loss": "train_loss", "train/perplexity": "train_perplexity",
         "train/bits": "train_bits", "validation/loss": "val_loss",
         "validation/perplexity": "val_perplexity", "validation/bits": "val_bits",
         "train/grad_norm": "grad_norm", "train/clipped": "clipped", "train/lr": "lr",
         "train/tokens": "tokens", "train/tokens_per_second": "tokens_per_second"}
assert len(rows) == 5, rows
assert set(events.Tags()["scalars"]) == set(names), events.Tags()
for tag, column in names.items():
    got = [(e.step, e.value) for e in events.Scalars(tag)]
    want = [(int(r["step"]), struct.unpack("f", struct.pack("f", float(r[column])))[0])
            for r in rows]
    assert got == want, (tag, got, want)
    assert all(e.wall_time > 1e9 for e in events.Scalars(tag))
print("TensorBoard reads", len(names), "curves of", len(rows), "epochs")
END
"$PYTHON" "$tmp/read.py" "$tmp/runs/one" "$tmp/csv"
