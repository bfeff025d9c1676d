# SPDX-License-Identifier: MIT
"""TensorFlow (Keras) on the benchmark's cases of training (see serve.py); tf_peer.py THREADS. A
tf.function of a whole training step; eager, each step of time is a call from Python."""
import os

from serve import SIZES, THREADS, VOCAB, serve

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)
LAYERS = {"rnn": tf.keras.layers.SimpleRNN, "lstm": tf.keras.layers.LSTM,
          "gru": tf.keras.layers.GRU}


def make(case):
    protocol, kind = case.split("-")
    batch, steps, hidden = SIZES[protocol]
    layer = LAYERS[kind](hidden, return_sequences=True, return_state=True)
    dense = tf.keras.layers.Dense(VOCAB)
    sgd = tf.keras.optimizers.SGD(0.1, global_clipnorm=1.0)
    ids = tf.range(batch * steps + 1) ** 2 % VOCAB
    x, y = tf.reshape(ids[:-1], (batch, steps)), tf.reshape(ids[1:], (batch, steps))
    state = [tf.zeros((batch, hidden)) for _ in range(2 if kind == "lstm" else 1)]
    layer(tf.one_hot(x, VOCAB), initial_state=state)
    dense(tf.zeros((1, hidden)))
    weights = layer.trainable_weights + dense.trainable_weights
    sgd.build(weights)

    @tf.function
    def update(state):
        with tf.GradientTape() as tape:
            out, *state = layer(tf.one_hot(x, VOCAB), initial_state=state)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, dense(out)))
        sgd.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return state

    def step():
        nonlocal state
        state = update(state)

    return step, batch * steps


serve(make)
