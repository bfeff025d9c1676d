"""TensorFlow (Keras) on the benchmark's cases: tf_peer.py CASE THREADS SECONDS prints one figure
(see bench.c). A tf.function of a whole training step."""
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

case, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
SIZES, VOCAB = {"classic": (32, 35, 256), "book": (1024, 32, 32)}, 28

protocol, kind = case.split("-")
batch, steps, hidden = SIZES[protocol]
layer = {"rnn": tf.keras.layers.SimpleRNN, "lstm": tf.keras.layers.LSTM,
         "gru": tf.keras.layers.GRU}[kind](hidden, return_sequences=True, return_state=True)
dense = tf.keras.layers.Dense(VOCAB)
sgd = tf.keras.optimizers.SGD(0.1, global_clipnorm=1.0)
ids = tf.range(batch * steps + 1) ** 2 % VOCAB
x, y = tf.reshape(ids[:-1], (batch, steps)), tf.reshape(ids[1:], (batch, steps))
state = [tf.zeros((batch, hidden)) for _ in range(2 if kind == "lstm" else 1)]


@tf.function
def step(state):
    with tf.GradientTape() as tape:
        out, *state = layer(tf.one_hot(x, VOCAB), initial_state=state)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, dense(out)))
    weights = layer.trainable_weights + dense.trainable_weights
    sgd.apply_gradients(zip(tape.gradient(loss, weights), weights))
    return state


layer(tf.one_hot(x, VOCAB), initial_state=state)
dense(tf.zeros((1, hidden)))
sgd.build(layer.trainable_weights + dense.trainable_weights)
for _ in range(3):
    state = step(state)
count, start = 0, time.monotonic()
while time.monotonic() - start < seconds:
    state = step(state)
    count += 1
print(round(count * batch * steps / (time.monotonic() - start)))
