# SPDX-License-Identifier: MIT
"""MXNet (Gluon) on the benchmark's cases of training (see serve.py); mxnet_peer.py THREADS
[compiled]: hybridized, or not."""
import os
import sys

from serve import SIZES, THREADS, VOCAB, serve

os.environ["OMP_NUM_THREADS"] = os.environ["MXNET_CPU_WORKER_NTHREADS"] = str(THREADS)
import mxnet as mx
from mxnet import autograd, gluon, nd

KINDS = {"rnn": lambda hidden: gluon.rnn.RNN(hidden, activation="tanh"), "lstm": gluon.rnn.LSTM,
         "gru": gluon.rnn.GRU}


def make(case):
    protocol, kind = case.split("-")
    batch, steps, hidden = SIZES[protocol]
    layer, dense = KINDS[kind](hidden), gluon.nn.Dense(VOCAB, flatten=False)
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    for block in (layer, dense):
        block.initialize(mx.init.Xavier())
    if sys.argv[2:] == ["compiled"]:
        for block in (layer, dense, loss_of):
            block.hybridize(static_alloc=True)
    ids = [i * i % VOCAB for i in range(batch * steps + 1)]
    x = nd.array(ids[:-1]).reshape((batch, steps)).T
    y = nd.array(ids[1:]).reshape((batch, steps)).T
    state = layer.begin_state(batch_size=batch)
    layer(nd.one_hot(x, VOCAB), state)
    dense(nd.zeros((1, 1, hidden)))
    params = list(layer.collect_params().values()) + list(dense.collect_params().values())

    def step():
        nonlocal state
        with autograd.record():
            out, state = layer(nd.one_hot(x, VOCAB), state)
            loss = loss_of(dense(out), y).mean()
        loss.backward()
        gluon.utils.clip_global_norm([p.grad() for p in params], 1.0)
        for p in params:
            p.set_data(p.data() - 0.1 * p.grad())
        state = [s.detach() for s in state]
        loss.wait_to_read()
        nd.waitall()

    return step, batch * steps


serve(make)
