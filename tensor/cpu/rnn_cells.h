/* SPDX-License-Identifier: MIT */
/* rnn_cells.h - the cells of RNN, LSTM and GRU on a tile of sums; included by gemm_micro.c after
 * vectors.h. (internal, no guard) */

#define CELL_INLINE static inline __attribute__((always_inline))

/* A vector has one hidden unit per lane. If full is true, all lanes are units. Otherwise only the lanes
 * of part are, and the memory of the others is neither read nor written. */
CELL_INLINE vec cell_load(bool full, vec_part part, const float *p)
{
    return full ? v_load(p) : v_load_part(p, part);
}

CELL_INLINE void cell_store(bool full, vec_part part, float *p, vec v)
{
    if (full)
        v_store(p, v);
    else
        v_store_part(p, part, v);
}

/* x (1 - x) */
CELL_INLINE vec cell_slope(vec x)
{
    return v_fnma(x, x, x);
}

/* 1 - x x */
CELL_INLINE vec cell_tanh_slope(vec x)
{
    return v_fnma(x, x, v_all(1.0f));
}

/* Returns the gradient of a state: dy + dh. */
CELL_INLINE vec cell_gradient(bool full, vec_part part, const float *dy, const float *dh)
{
    vec d = cell_load(full, part, dh);

    return dy ? v_add(cell_load(full, part, dy), d) : d;
}

/* i f g o;  c' = f c + i g;  h' = o tanh(c') */
CELL_INLINE void lstm_rows(const cti_cell_tile *t, const bool full)
{
    const vec_part part = v_part(t->units);
    int r;

    for (r = 0; r < t->rows; r++) {
        const float *sum = t->sum + r * 4 * LANES;
        vec in = v_sigmoid(v_load(sum)), forget = v_sigmoid(v_load(sum + LANES));
        vec cell = v_tanh(v_load(sum + 2 * LANES)), out = v_sigmoid(v_load(sum + 3 * LANES));
        vec next = v_fma(forget, cell_load(full, part, t->before + r * t->ld), v_mul(in, cell));

        if (t->gates) {
            float *gates = t->gates + r * CTI_CELL_WIDTH;

            v_store(gates, in);
            v_store(gates + CTI_CELL_UNITS, forget);
            v_store(gates + 2 * CTI_CELL_UNITS, cell);
            v_store(gates + 3 * CTI_CELL_UNITS, out);
        }
        cell_store(full, part, t->c + r * t->ld, next);
        cell_store(full, part, t->h + r * t->ld, v_mul(out, v_tanh(next)));
    }
}

/* r z;  n = tanh(x_n + r h_n);  h' = (1 - z) n + z h */
CELL_INLINE void gru_rows(const cti_cell_tile *t, const bool full)
{
    const vec_part part = v_part(t->units);
    int r;

    for (r = 0; r < t->rows; r++) {
        const float *sum = t->sum + r * 4 * LANES;
        vec carry = v_load(sum), reset = v_sigmoid(v_load(sum + LANES));
        vec update = v_sigmoid(v_load(sum + 2 * LANES));
        vec fresh = v_tanh(v_fma(reset, carry, v_load(t->x ? t->x[r] : sum + 3 * LANES)));
        vec before = cell_load(full, part, t->before + r * t->ld);

        if (t->gates) {
            float *gates = t->gates + r * CTI_CELL_WIDTH;

            v_store(gates, reset);
            v_store(gates + CTI_CELL_UNITS, update);
            v_store(gates + 2 * CTI_CELL_UNITS, fresh);
            v_store(gates + 3 * CTI_CELL_UNITS, carry);
        }
        cell_store(full, part, t->h + r * t->ld, v_fma(update, v_sub(before, fresh), fresh));
    }
}

/* Computes one vector of units of row r, which begins with number `unit`. */
CELL_INLINE void lstm_back_vector(const cti_cell_back *t, int r, int64_t unit, const bool full)
{
    const vec_part part = v_part(full ? LANES : t->units - unit);
    const int64_t at = r * t->ld + unit;
    const int64_t gate =
        unit / CTI_CELL_UNITS * t->block + r * CTI_CELL_WIDTH + unit % CTI_CELL_UNITS;
    const float *gates = t->gates + gate;
    float *dgates = t->dgates + gate, *dc = t->dc + at;
    vec in = v_load(gates), forget = v_load(gates + CTI_CELL_UNITS);
    vec cell = v_load(gates + 2 * CTI_CELL_UNITS), out = v_load(gates + 3 * CTI_CELL_UNITS);
    vec d = cell_gradient(full, part, t->dy ? t->dy + at : NULL, t->dh + at);
    vec squashed = v_tanh(cell_load(full, part, t->after + at));
    vec dcell = v_fma(v_mul(d, out), cell_tanh_slope(squashed), cell_load(full, part, dc));
    vec before = cell_load(full, part, t->before + at);

    v_store(dgates, v_mul(v_mul(dcell, cell), cell_slope(in)));
    v_store(dgates + CTI_CELL_UNITS, v_mul(v_mul(dcell, before), cell_slope(forget)));
    v_store(dgates + 2 * CTI_CELL_UNITS, v_mul(v_mul(dcell, in), cell_tanh_slope(cell)));
    v_store(dgates + 3 * CTI_CELL_UNITS, v_mul(v_mul(d, squashed), cell_slope(out)));
    cell_store(full, part, dc, v_mul(dcell, forget));
}

CELL_INLINE void gru_back_vector(const cti_cell_back *t, int r, int64_t unit, const bool full)
{
    const vec_part part = v_part(full ? LANES : t->units - unit);
    const int64_t at = r * t->ld + unit;
    const int64_t gate =
        unit / CTI_CELL_UNITS * t->block + r * CTI_CELL_WIDTH + unit % CTI_CELL_UNITS;
    const float *gates = t->gates + gate;
    float *dgates = t->dgates + gate, *dh = t->dh + at;
    vec reset = v_load(gates), update = v_load(gates + CTI_CELL_UNITS);
    vec fresh = v_load(gates + 2 * CTI_CELL_UNITS), carry = v_load(gates + 3 * CTI_CELL_UNITS);
    vec d = cell_gradient(full, part, t->dy ? t->dy + at : NULL, dh);
    vec dn = v_mul(v_mul(d, v_sub(v_all(1.0f), update)), cell_tanh_slope(fresh));
    vec before = cell_load(full, part, t->before + at);

    v_store(dgates, v_mul(dn, reset));
    v_store(dgates + CTI_CELL_UNITS, v_mul(v_mul(dn, carry), cell_slope(reset)));
    v_store(dgates + 2 * CTI_CELL_UNITS, v_mul(v_mul(d, v_sub(before, fresh)), cell_slope(update)));
    v_store(dgates + 3 * CTI_CELL_UNITS, dn);
    cell_store(full, part, dh, v_mul(d, update));
}

CELL_INLINE void activate_back_vector(const cti_cell_back *t, int r, int64_t unit, const bool full,
                                      const bool relu)
{
    const vec_part part = v_part(full ? LANES : t->units - unit);
    const int64_t block = unit / CTI_CELL_WIDTH, at = r * t->ld + unit;
    float *d = block < (t->units - 1) / CTI_CELL_WIDTH
                   ? t->dgates + block * t->block + r * CTI_CELL_WIDTH
                   : t->last + r * t->ld_last;
    vec y = cell_load(full, part, t->after + at);
    vec g = cell_gradient(full, part, t->dy ? t->dy + at : NULL, t->dh + at);

    v_store(d + unit % CTI_CELL_WIDTH,
            relu ? v_where_positive(y, g) : v_mul(g, cell_tanh_slope(y)));
}

static void cell_lstm(const cti_cell_tile *t)
{
    if (t->units == LANES)
        lstm_rows(t, true);
    else
        lstm_rows(t, false);
}

static void cell_gru(const cti_cell_tile *t)
{
    if (t->units == LANES)
        gru_rows(t, true);
    else
        gru_rows(t, false);
}

CELL_INLINE void tanh_back_vector(const cti_cell_back *t, int r, int64_t unit, const bool full)
{
    activate_back_vector(t, r, unit, full, false);
}

CELL_INLINE void relu_back_vector(const cti_cell_back *t, int r, int64_t unit, const bool full)
{
    activate_back_vector(t, r, unit, full, true);
}

typedef void cell_vector(const cti_cell_back *t, int r, int64_t unit, const bool full);

/* Calls `vector`, which is inlined, for all units of all rows. Rows are read from front to back,
 * because the processor then fetches memory ahead. */
CELL_INLINE void cell_each_vector(const cti_cell_back *t, cell_vector *vector)
{
    int64_t unit;
    int r;

    for (r = 0; r < t->rows; r++) {
        for (unit = 0; unit + LANES <= t->units; unit += LANES)
            vector(t, r, unit, true);
        if (unit < t->units)
            vector(t, r, unit, false);
    }
}

static void cell_lstm_back(const cti_cell_back *t)
{
    cell_each_vector(t, lstm_back_vector);
}

static void cell_gru_back(const cti_cell_back *t)
{
    cell_each_vector(t, gru_back_vector);
}

static void cell_activate_back(bool relu, const cti_cell_back *t)
{
    if (relu)
        cell_each_vector(t, relu_back_vector);
    else
        cell_each_vector(t, tanh_back_vector);
}

CELL_INLINE void activate_rows(const cti_cell_tile *t, const bool relu)
{
    const int64_t whole = t->units / LANES * LANES, left = t->units - whole;
    const vec_part part = v_part(left);
    int64_t i;
    int r;

    for (r = 0; r < t->rows; r++) {
        const float *sum = t->sum + r * CTI_MICRO_VECTORS * LANES;
        float *h = t->h + r * t->ld;

        for (i = 0; i < whole; i += LANES) {
            vec v = v_load(sum + i);

            v_store(h + i, relu ? v_relu(v) : v_tanh(v));
        }
        if (left) {
            vec v = v_load(sum + i);

            v_store_part(h + i, part, relu ? v_relu(v) : v_tanh(v));
        }
    }
}

static void cell_activate(bool relu, const cti_cell_tile *t)
{
    if (relu)
        activate_rows(t, true);
    else
        activate_rows(t, false);
}

#undef CELL_INLINE
