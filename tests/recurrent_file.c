/* SPDX-License-Identifier: MIT */
/* recurrent_file.c - reads files with numbers of other frameworks for recurrent modules. */
#include "tests/recurrent_file.h"

#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/ops/copy.h>

static uint32_t fnv(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

double formula(int config, const char *name, int64_t i)
{
    uint32_t x = fnv(name) + (uint32_t)config * 2654435761u + (uint32_t)i * 2246822519u;

    x ^= x >> 16;
    x *= 2146121005u;
    x ^= x >> 15;
    x *= 2221713035u;
    x ^= x >> 16;
    return (x >> 9) / 4194304.0 - 1;
}

ct_tensor *made(int config, const char *name, ct_shape shape, ct_dtype dtype, double scale)
{
    ct_tensor *t = ct_empty(shape, CT_F64, CT_CPU);
    double *v = ct_mutable_data(t);

    for (int64_t i = 0; i < ct_numel(t); i++)
        v[i] = scale * formula(config, name, i);
    return ct_to(ct_cast(t, dtype), DEVICE);
}

config_file open_configs(const char *path)
{
    config_file file = { .f = fopen(harness_source(path), "r"), .path = path };

    ck_assert_msg(file.f != NULL, "no %s", path);
    return file;
}

int read_config(config_file *file, config *c, want *wants)
{
    char *line = file->line;
    long long size[4];
    int n = 0, got;

    if (c->number < 0)
        do
            if (!fgets(line, sizeof file->line, file->f))
                return 0;
        while (line[0] == '#');
    got = sscanf(line, "config %15s %d %d %d %d %d %d %d %lld %lld %lld %lld %15s", c->mode,
                 &c->layers, &c->dirs, &c->bias, &c->batch_first, &c->proj, &c->lengths, &c->state,
                 &size[0], &size[1], &size[2], &size[3], c->variant);
    if (got != 13)
        return 0;
    c->T = size[0];
    c->B = size[1];
    c->in = size[2];
    c->H = size[3];
    c->number++;
    line[0] = '\0';
    while (fgets(line, sizeof file->line, file->f) && strncmp(line, "config", 6) != 0) {
        ck_assert_int_lt(n, MOST_WANTS);
        got = sscanf(line, "%63s %lf %lf", wants[n].name, &wants[n].sum[0], &wants[n].sum[1]);
        ck_assert_msg(got == 3, "%s: %s", file->path, line);
        n++;
        line[0] = '\0';
    }
    return n;
}

bool is_variant(const config *c, const char *variant)
{
    return strcmp(c->variant, variant) == 0;
}

ct_recurrent *recurrent_of(const config *c, ct_params *params, ct_nn_recurrent_options o)
{
    const bool cell = is_variant(c, "cell");

    o.hidden_size = c->H;
    o.num_layers = c->layers;
    o.no_bias = !c->bias;
    o.bidirectional = c->dirs == 2;
    o.batch_first = c->batch_first;
    o.reset_before = o.reset_before || is_variant(c, "reset_before");
    o.reverse = is_variant(c, "reverse");
    if (strcmp(c->mode, "lstm") == 0)
        return (cell ? ct_nn_lstm_cell : ct_nn_lstm)(params, "m", o);
    if (strcmp(c->mode, "gru") == 0)
        return (cell ? ct_nn_gru_cell : ct_nn_gru)(params, "m", o);
    o.nonlinearity = strcmp(c->mode, "rnn_relu") == 0 ? CT_NONLINEARITY_RELU : CT_NONLINEARITY_TANH;
    return (cell ? ct_nn_rnn_cell : ct_nn_rnn)(params, "m", o);
}

call call_of(const config *c, ct_dtype dtype)
{
    int64_t n = (int64_t)c->layers * c->dirs, R = c->proj ? c->proj : c->H;
    const bool lstm = strcmp(c->mode, "lstm") == 0;
    int64_t length[16];
    uint8_t reset[16];
    call k = { .x = made(c->number, "x",
                         c->batch_first ? CT_SHAPE(c->B, c->T, c->in) : CT_SHAPE(c->T, c->B, c->in),
                         dtype, 1) };

    ct_set_requires_grad(k.x, true);
    k.state[0] = ct_set_requires_grad(made(c->number, "h0", CT_SHAPE(n, c->B, R), dtype, 1), true);
    k.state[1] =
        ct_set_requires_grad(made(c->number, "c0", CT_SHAPE(n, c->B, c->H), dtype, 1), true);
    if (c->state)
        k.given = ct_state_from_tensors(lstm ? 2 : 1, k.state);
    for (int b = 0; b < c->B; b++) {
        length[b] = 1 + (int64_t)((formula(c->number, "lengths", b) + 1) * (double)c->T / 2);
        reset[b] = formula(c->number, "reset", b) < 0;
    }
    if (c->lengths)
        k.more.lengths = ct_from_data(length, CT_SHAPE(c->B), CT_I64, DEVICE);
    if (is_variant(c, "reset"))
        k.more.reset = ct_from_data(reset, CT_SHAPE(c->B), CT_BOOL, DEVICE);
    return k;
}

void expect_sums(const config *c, const want *w, ct_tensor *t, double tolerance)
{
    double *v = values_of(t);
    char name[80];

    for (int k = 0; k < 2; k++) {
        double sum = 0, magnitude = 0;

        snprintf(name, sizeof name, "%s#%d", w->name, k);
        for (int64_t i = 0; i < ct_numel(t); i++) {
            double term = v[i] * formula(c->number, name, i);

            sum += term;
            magnitude += fabs(term);
        }
        if (!(fabs(sum - w->sum[k]) <= tolerance * magnitude))
            ck_abort_msg("configuration %d (%s %s), %s: %.17g instead of %.17g", c->number, c->mode,
                         c->variant, name, sum, w->sum[k]);
    }
    free(v);
}

void go_back(const config *c, ct_tensor *y, ct_state *next, ct_dtype dtype)
{
    static const char *const names[] = { "dh", "dc" };
    ct_tensor *loss = ct_sum(ct_mul(y, made(c->number, "dy", ct_tensor_shape(y), dtype, 1)));

    for (int i = 0; i < ct_state_count(next); i++) {
        ct_tensor *t = ct_state_get(next, i);

        loss = ct_add(loss,
                      ct_sum(ct_mul(t, made(c->number, names[i], ct_tensor_shape(t), dtype, 1))));
    }
    ck_assert_msg(ct_backward(loss) == CT_OK, "%s", ct_error_message());
}

ct_tensor *gradient_of(ct_tensor *leaf)
{
    ct_tensor *grad = ct_tensor_grad(leaf);

    return grad ? grad : ct_zeros(ct_tensor_shape(leaf), ct_tensor_dtype(leaf), DEVICE);
}

ct_tensor *result_of(const char *name, const call *k, ct_tensor *y, ct_state *next)
{
    if (strcmp(name, "y") == 0)
        return y;
    if (strcmp(name, "hn") == 0 || strcmp(name, "cn") == 0)
        return ct_state_get(next, name[0] == 'c');
    if (strcmp(name, "dx") == 0)
        return gradient_of(k->x);
    if (strcmp(name, "dh0") == 0 || strcmp(name, "dc0") == 0)
        return gradient_of(k->state[name[1] == 'c']);
    return NULL;
}
