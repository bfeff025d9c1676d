/* SPDX-License-Identifier: MIT */
/* cases_sort.c - rows for autograd/ops/sort.h and autograd/ops/random.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* ---- sorting: i[0] the axis, i[1] descending (largest), i[2] k ---- */

static void draw_sort(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 5);
    int64_t axis = op_below(d, s.rank);

    op_distinct(d, s);
    d->i[0] = op_chance(d, 0.5) ? axis - s.rank : axis;
    d->i[1] = op_chance(d, 0.5);
    d->i[2] = op_below(d, s.dim[axis] + 1);
}

static ct_tensor *call_sort(ct_tensor *const *in, const op_draw *d)
{
    return ct_sort(in[0], (int)d->i[0], d->i[1] != 0, NULL);
}

static ct_tensor *call_argsort(ct_tensor *const *in, const op_draw *d)
{
    return ct_argsort(in[0], (int)d->i[0], d->i[1] != 0);
}

static ct_tensor *call_topk(ct_tensor *const *in, const op_draw *d)
{
    return ct_topk(in[0], d->i[2], (int)d->i[0], d->i[1] != 0, NULL);
}

const op_row sort_rows[] = {
    { "ct_sort", draw_sort, .call = call_sort },
    { "ct_argsort", draw_sort, .call = call_argsort, .no_gradient = "its result is positions" },
    { "ct_topk", draw_sort, .call = call_topk },
    { 0 },
};

/* ---- random ops; each call begins at the same position of the stream ---- */

static void draw_dropout(op_draw *d)
{
    op_draw_any(d);
    d->p[0] = op_chance(d, 0.2) ? 0 : op_between(d, 0, 0.9);
}

static ct_tensor *call_dropout(ct_tensor *const *in, const op_draw *d)
{
    ct_generator g = ct_generator_stream(d->g, "dropout");

    return ct_dropout(in[0], d->p[0], &g);
}

/* i[0]: k, i[1]: with replacement */
static void draw_multinomial(op_draw *d)
{
    ct_shape s;

    s = op_shape(d, 1, 3);
    s.dim[s.rank - 1] += s.dim[s.rank - 1] == 0;
    op_uniform(d, s, 0.1, 1);
    d->i[1] = op_chance(d, 0.5);
    d->i[0] = 1 + op_below(d, d->i[1] ? 6 : s.dim[s.rank - 1]);
}

static ct_tensor *call_multinomial(ct_tensor *const *in, const op_draw *d)
{
    ct_generator g = ct_generator_stream(d->g, "multinomial");

    return ct_multinomial(in[0], d->i[0], d->i[1] != 0, &g);
}

static void draw_probability(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), 0, 1);
}

static ct_tensor *call_bernoulli(ct_tensor *const *in, const op_draw *d)
{
    ct_generator g = ct_generator_stream(d->g, "bernoulli");

    return ct_bernoulli(in[0], &g);
}

static ct_tensor *call_rand_like(ct_tensor *const *in, const op_draw *d)
{
    ct_generator g = ct_generator_stream(d->g, "rand_like");

    return ct_rand_like(in[0], &g);
}

static ct_tensor *call_randn_like(ct_tensor *const *in, const op_draw *d)
{
    ct_generator g = ct_generator_stream(d->g, "randn_like");

    return ct_randn_like(in[0], &g);
}

const op_row random_rows[] = {
    { "ct_dropout", draw_dropout, .call = call_dropout },
    { "ct_multinomial", draw_multinomial, .call = call_multinomial,
      .no_gradient = "its result is positions" },
    { "ct_bernoulli", draw_probability, .call = call_bernoulli,
      .no_gradient = "its result is drawn" },
    { "ct_rand_like", op_draw_any, .call = call_rand_like, .no_gradient = "its result is drawn" },
    { "ct_randn_like", op_draw_any, .call = call_randn_like, .no_gradient = "its result is drawn" },
    { 0 },
};
