/* SPDX-License-Identifier: MIT */
/* rnn.cu - whole-sequence recurrent layers: one product and one kernel for each step, with a thread
 * for each row and hidden unit.
 *
 * Forward: hw = h W^T (B, G H), then the gates. Backward: the gates give dx (and dhx) of a step.
 * Then dh (B, H), which is stored in dh0, becomes dhx W plus the part of the gradient that does not
 * go through the gates. Rows that have ended keep their state. */
#include "cuda/cuda.h"
#include "cuda/device.h"

template <typename T> __device__ inline T gate(T x)
{
    T e = exp(x < 0 ? x : -x);

    return (x < 0 ? e : T(1)) / (T(1) + e);
}

/* The arguments of a step's kernels: arrays (B, G H) or (B, H), NULL if the cell has no such array.
 * */
template <typename T> struct moment {
    int64_t batch, hidden, t;
    const int64_t *length;
    const T *bias; /* (G H) */
    const T *x, *hw;
    const T *h_before, *c_before;
    T *h, *c, *gates, *hn;
    const T *dy;
    T *dx, *dhx, *dh, *dc;
};

template <typename T> __device__ inline bool has_ended(const moment<T> &m, int64_t row)
{
    return m.length && m.length[row] <= m.t;
}

/* The two parts of gate g of unit i: from the state (the step's product and the bias) and from the
 * input. */
template <typename T>
__device__ inline T from_state(const moment<T> &m, int64_t g, int64_t gates, int64_t row, int64_t i)
{
    T v = m.hw[(row * gates + g) * m.hidden + i];

    return m.bias ? v + m.bias[g * m.hidden + i] : v;
}

template <typename T>
__device__ inline T from_input(const moment<T> &m, int64_t g, int64_t gates, int64_t row, int64_t i)
{
    return m.x[(row * gates + g) * m.hidden + i];
}

/* Returns the gradient of the state after the step. */
template <typename T> __device__ inline T incoming(const moment<T> &m, int64_t at)
{
    return m.dy ? m.dy[at] + m.dh[at] : m.dh[at];
}

/* ---- cells: one step, forward and backward, for unit i of a row; `at` is its index in (B, H)
 * ---- */

struct relu {
    template <typename T> static __device__ T of(T x)
    {
        return x < 0 ? T(0) : x;
    }
    template <typename T> static __device__ T back(T d, T y)
    {
        return y > 0 ? d : T(0);
    }
};

struct hyperbolic {
    template <typename T> static __device__ T of(T x)
    {
        return tanh(x);
    }
    template <typename T> static __device__ T back(T d, T y)
    {
        return d * (1 - y * y);
    }
};

template <typename F> struct rnn {
    static const int gates = 1;

    template <typename T>
    static __device__ void step(const moment<T> &m, int64_t at, int64_t row, int64_t i)
    {
        m.h[at] = F::of(from_input(m, 0, 1, row, i) + from_state(m, 0, 1, row, i));
    }

    template <typename T>
    static __device__ void back(const moment<T> &m, int64_t at, int64_t, int64_t)
    {
        m.dx[at] = F::back(incoming(m, at), m.h[at]);
        m.dh[at] = 0;
    }
};

/* i f g o;  c' = f c + i g;  h' = o tanh(c') */
struct lstm {
    static const int gates = 4;

    template <typename T>
    static __device__ void step(const moment<T> &m, int64_t at, int64_t row, int64_t i)
    {
        T g[4], next;
        int k;

        for (k = 0; k < 4; k++) {
            g[k] = from_input(m, k, 4, row, i) + from_state(m, k, 4, row, i);
            g[k] = k == 2 ? tanh(g[k]) : gate(g[k]);
            if (m.gates)
                m.gates[(row * 4 + k) * m.hidden + i] = g[k];
        }
        next = g[1] * m.c_before[at] + g[0] * g[2];
        m.c[at] = next;
        m.h[at] = g[3] * tanh(next);
    }

    template <typename T>
    static __device__ void back(const moment<T> &m, int64_t at, int64_t row, int64_t i)
    {
        int64_t first = row * 4 * m.hidden + i;
        T in = m.gates[first], forget = m.gates[first + m.hidden];
        T cell = m.gates[first + 2 * m.hidden], out = m.gates[first + 3 * m.hidden];
        T d = incoming(m, at), t = tanh(m.c[at]);
        T dcell = m.dc[at] + d * out * (1 - t * t);

        m.dx[first] = dcell * cell * in * (1 - in);
        m.dx[first + m.hidden] = dcell * m.c_before[at] * forget * (1 - forget);
        m.dx[first + 2 * m.hidden] = dcell * in * (1 - cell * cell);
        m.dx[first + 3 * m.hidden] = d * t * out * (1 - out);
        m.dc[at] = dcell * forget;
        m.dh[at] = 0;
    }
};

/* r z;  n = tanh(x_n + r hx_n);  h' = (1 - z) n + z h */
struct gru {
    static const int gates = 3;

    template <typename T>
    static __device__ void step(const moment<T> &m, int64_t at, int64_t row, int64_t i)
    {
        T reset = gate(from_input(m, 0, 3, row, i) + from_state(m, 0, 3, row, i));
        T update = gate(from_input(m, 1, 3, row, i) + from_state(m, 1, 3, row, i));
        T carry = from_state(m, 2, 3, row, i);
        T fresh = tanh(from_input(m, 2, 3, row, i) + reset * carry);

        if (m.gates) {
            T *g = m.gates + row * 3 * m.hidden + i;

            g[0] = reset;
            g[m.hidden] = update;
            g[2 * m.hidden] = fresh;
        }
        if (m.hn)
            m.hn[at] = carry;
        m.h[at] = (1 - update) * fresh + update * m.h_before[at];
    }

    template <typename T>
    static __device__ void back(const moment<T> &m, int64_t at, int64_t row, int64_t i)
    {
        int64_t first = row * 3 * m.hidden + i;
        T reset = m.gates[first], update = m.gates[first + m.hidden];
        T fresh = m.gates[first + 2 * m.hidden], d = incoming(m, at);
        T dn = d * (1 - update) * (1 - fresh * fresh);
        T dz = d * (m.h_before[at] - fresh) * update * (1 - update);
        T dr = dn * m.hn[at] * reset * (1 - reset);

        m.dx[first] = m.dhx[first] = dr;
        m.dx[first + m.hidden] = m.dhx[first + m.hidden] = dz;
        m.dx[first + 2 * m.hidden] = dn;
        m.dhx[first + 2 * m.hidden] = dn * reset;
        m.dh[at] = d * update;
    }
};

/* ---- kernels: a row that has ended keeps its state ---- */

template <typename T, typename Cell> __global__ void __launch_bounds__(CU_BLOCK) step(moment<T> m)
{
    int64_t at;

    for (at = cu_thread(); at < m.batch * m.hidden; at += cu_threads()) {
        int64_t row = at, i = cu_split(&row, m.hidden);

        if (!has_ended(m, row)) {
            Cell::step(m, at, row, i);
            continue;
        }
        m.h[at] = m.h_before[at];
        if (m.c)
            m.c[at] = m.c_before[at];
    }
}

/* For a row that has ended: the gradients of its gates are 0, and that of the state passes
 * unchanged. */
template <typename T, typename Cell> __global__ void __launch_bounds__(CU_BLOCK) back(moment<T> m)
{
    int64_t at;
    int k;

    for (at = cu_thread(); at < m.batch * m.hidden; at += cu_threads()) {
        int64_t row = at, i = cu_split(&row, m.hidden);

        if (!has_ended(m, row)) {
            Cell::back(m, at, row, i);
            continue;
        }
        for (k = 0; k < Cell::gates; k++) {
            m.dx[(row * Cell::gates + k) * m.hidden + i] = 0;
            if (m.dhx)
                m.dhx[(row * Cell::gates + k) * m.hidden + i] = 0;
        }
        m.dh[at] = incoming(m, at);
    }
}

/* ---- the steps ---- */

/* Step t of an array (T or T + 1, B, width); NULL for NULL. */
template <typename T>
static T *rnn_step_of(const cti_sequence *s, const void *array, int64_t t, int64_t width)
{
    return array ? static_cast<T *>(const_cast<void *>(array)) + t * s->batch * width : NULL;
}

template <typename T> static moment<T> moment_of(const cti_sequence *s, int64_t t)
{
    int64_t n = s->hidden, width = cti_gates_of(s->kind) * n;
    int64_t before = s->reverse ? t + 1 : t, after = s->reverse ? t : t + 1;
    moment<T> m = {};

    m.batch = s->batch;
    m.hidden = n;
    m.t = t;
    m.length = s->length;
    m.bias = rnn_step_of<T>(s, s->bias, 0, width);
    m.x = rnn_step_of<T>(s, s->x, t, width);
    m.hw = rnn_step_of<T>(s, s->scratch, 0, width);
    m.h_before = rnn_step_of<T>(s, s->h, before, n);
    m.c_before = rnn_step_of<T>(s, s->c, before, n);
    m.h = rnn_step_of<T>(s, s->h, after, n);
    m.c = rnn_step_of<T>(s, s->c, after, n);
    m.gates = rnn_step_of<T>(s, s->gates, t, width);
    m.hn = rnn_step_of<T>(s, s->hn, t, n);
    m.dy = rnn_step_of<T>(s, s->dy, t, n);
    m.dx = rnn_step_of<T>(s, s->dx, t, width);
    m.dhx = s->kind == CTI_CELL_GRU ? rnn_step_of<T>(s, s->dhx, t, width) : NULL;
    m.dh = rnn_step_of<T>(s, s->dh0, 0, n);
    m.dc = rnn_step_of<T>(s, s->dc0, 0, n);
    return m;
}

/* c (B, width) = a (B, k) times W or W^T, plus beta c */
static void rnn_product(const cti_sequence *s, const void *a, bool transposed, double beta, void *c)
{
    int64_t width = cti_gates_of(s->kind) * s->hidden, n = s->hidden;
    cti_gemm g = {};

    g.dtype = s->dtype;
    g.trans_b = transposed;
    g.m = s->batch;
    g.n = transposed ? width : n;
    g.k = transposed ? n : width;
    g.batch = 1;
    g.alpha = 1;
    g.beta = beta;
    g.a = a;
    g.b = s->w;
    g.c = c;
    g.lda = g.k;
    g.ldb = n;
    g.ldc = g.n;
    cu_gemm(&g);
}

/* The kernels of a cell. */
template <typename T> struct of_cell {
    void (*step)(moment<T>), (*back)(moment<T>);
};

template <typename T, typename Cell> static of_cell<T> kernels_of()
{
    return { step<T, Cell>, back<T, Cell> };
}

template <typename T> static of_cell<T> cell_of(const cti_sequence *s)
{
    switch (s->kind) {
    case CTI_CELL_LSTM:
        return kernels_of<T, lstm>();
    case CTI_CELL_GRU:
        return kernels_of<T, gru>();
    case CTI_CELL_RELU:
        return kernels_of<T, rnn<relu>>();
    default:
        return kernels_of<T, rnn<hyperbolic>>();
    }
}

template <typename T> static void rnn_run(const char *slot, void (*kernel)(moment<T>), moment<T> m)
{
    cu_run(slot, kernel, cu_blocks(m.batch * m.hidden, CU_BLOCK), CU_BLOCK, m);
}

template <typename T> static void rnn_forward(const cti_sequence *s)
{
    const of_cell<T> cell = cell_of<T>(s);
    int64_t k;

    for (k = 0; k < s->steps; k++) {
        moment<T> m = moment_of<T>(s, s->reverse ? s->steps - 1 - k : k);

        rnn_product(s, m.h_before, true, 0, s->scratch);
        rnn_run("sequence", cell.step, m);
    }
}

void cu_sequence(const cti_sequence *s)
{
    /* an empty batch returns before the loop over the steps */
    if (cu_refuses_bf16(s->bf16, "sequence") || s->batch == 0)
        return;
    if (s->dtype == CT_F64)
        rnn_forward<double>(s);
    else
        rnn_forward<float>(s);
}

/* Copies `from` to `to` (B, H); writes zeros if `from` is NULL. */
static void rnn_start_from(const cti_sequence *s, void *to, const void *from)
{
    const int64_t dim[1] = { s->batch * s->hidden };
    cti_array dst = { to, s->dtype, { 1 } }, src = { const_cast<void *>(from), s->dtype, { 1 } };

    if (from)
        cu_copy(1, dim, &dst, &src);
    else
        cu_fill(to, s->dtype, dim[0], 0);
}

template <typename T> static void rnn_backward(const cti_sequence *s)
{
    const of_cell<T> cell = cell_of<T>(s);
    /* 1 keeps the part of dh that does not go through the gates; otherwise there is none */
    double beta = s->kind == CTI_CELL_GRU || s->length ? 1 : 0;
    int64_t k;

    rnn_start_from(s, s->dh0, s->dh_last);
    if (s->dc0)
        rnn_start_from(s, s->dc0, s->dc_last);
    for (k = s->steps - 1; k >= 0; k--) {
        moment<T> m = moment_of<T>(s, s->reverse ? s->steps - 1 - k : k);

        rnn_run("sequence_backward", cell.back, m);
        rnn_product(s, m.dhx ? m.dhx : m.dx, false, beta, m.dh);
    }
}

void cu_sequence_backward(const cti_sequence *s)
{
    if (cu_refuses_bf16(s->bf16, "sequence_backward") || s->batch == 0)
        return;
    if (s->dtype == CT_F64)
        rnn_backward<double>(s);
    else
        rnn_backward<float>(s);
}

/* ---- whole layers: composed of sequence and products ---- */

ct_status cu_layer(const cti_layer *l)
{
    (void)l;
    return CT_ERR_MEMORY;
}

ct_status cu_layer_backward(const cti_layer *l)
{
    (void)l;
    return CT_ERR_MEMORY;
}
