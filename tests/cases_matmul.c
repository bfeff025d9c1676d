/* SPDX-License-Identifier: MIT */
/* cases_matmul.c - rows for autograd/ops/matmul.h. */
#include "tests/cases.h"

#include <cotangent.h>

static ct_shape with_last(ct_shape batch, int64_t rows, int64_t columns)
{
    batch.dim[batch.rank++] = rows;
    batch.dim[batch.rank++] = columns;
    return batch;
}

/* Returns a size of a matrix; sometimes 0, if that is requested. */
static int64_t size(op_draw *d, int64_t high)
{
    return d->zero && op_chance(d, 0.4) ? 0 : 1 + op_below(d, high);
}

/* (batch, m, k) and (batch, k, n), where either batch may be narrower; or a vector on either
 * side */
static void draw_matmul(op_draw *d)
{
    int64_t small = d->most < 64 ? 2 : 4;
    int64_t m = size(d, small), k = size(d, small), n = size(d, small);
    int64_t most = d->most;
    ct_shape batch;
    bool left = op_chance(d, 0.5);

    if (op_chance(d, 0.2)) { /* square matrices, which may be one tensor */
        m = n = k;
    }
    d->most = small;
    batch = op_shape(d, 0, 3);
    d->most = most;
    op_uniform(d, with_last(left ? batch : op_narrower(d, batch), m, k), -2, 2);
    op_uniform(d, with_last(left ? op_narrower(d, batch) : batch, k, n), -2, 2);
    if (op_chance(d, 0.15))
        d->in[0].shape = CT_SHAPE(k);
    if (op_chance(d, 0.15))
        d->in[1].shape = CT_SHAPE(k);
    if (d->same && m == k && k == n && !d->broadcast && d->in[0].shape.rank == d->in[1].shape.rank)
        d->in[1].same_as = 0;
}

/* x (..., in), weight (out, in), and sometimes bias (out) */
static void draw_linear(op_draw *d)
{
    int64_t small = d->most < 64 ? 3 : 5, in = size(d, small), out = size(d, small);
    int64_t most = d->most;
    ct_shape x;

    d->most = small;
    x = op_shape(d, 0, 4);
    d->most = most;
    x.dim[x.rank++] = in;
    op_uniform(d, x, -2, 2);
    op_uniform(d, CT_SHAPE(out, in), -2, 2);
    if (op_chance(d, 0.5))
        op_uniform(d, CT_SHAPE(out), -2, 2);
}

static ct_tensor *call_linear(ct_tensor *const *in, const op_draw *d)
{
    return ct_linear(in[0], in[1], d->count == 3 ? in[2] : NULL);
}

/* two vectors, of the same length for dot and of any lengths for outer */
static void draw_dot(op_draw *d)
{
    ct_shape s = op_shape(d, 1, 1);

    op_uniform(d, s, -2, 2);
    op_uniform(d, s, -2, 2);
    if (d->same)
        d->in[1].same_as = 0;
}

static void draw_outer(op_draw *d)
{
    op_uniform(d, op_shape(d, 1, 1), -2, 2);
    op_uniform(d, op_shape(d, 1, 1), -2, 2);
}

/* i[0]: the number of the equation. Each letter, a to e, has one size. */
static const char *const equations[] = {
    "ij,jk->ik",    "bij,bjk->bik", "ii->i",
    "ij->ji",       "ij,jk",        "i,i->",
    "i,j->ij",      "...ij,jk",     "...ij,...jk->...ik",
    "abc,cd,bd->a", "aab,b->a",     "ij,ij->j",
    "ij,kl->likj",  "b...,b->b...", "ab,b,ac->c",
    "ij->",         "iji",          "bi,bj,bk->bij",
};

/* Returns the shape of a term. "..." has the sizes e and d, but only d in every other term. */
static ct_shape einsum_shape(const char **at, const int64_t *size, int term)
{
    ct_shape s = ct_shape_from_sizes(0, NULL);
    const char *p = *at;

    for (; *p && *p != ',' && *p != '-'; p++)
        if (*p != '.') {
            s.dim[s.rank++] = size[(*p - 'a') % 5];
        } else {
            if (term % 2 == 0)
                s.dim[s.rank++] = size[4];
            s.dim[s.rank++] = size[3];
            p += 2;
        }
    *at = p + (*p == ',');
    return s;
}

static void draw_einsum(op_draw *d)
{
    int64_t size[5];
    const char *p;
    int i;

    d->i[0] = op_below(d, sizeof equations / sizeof *equations);
    for (i = 0; i < 5; i++)
        size[i] = 1 + op_below(d, 2);
    if (d->zero)
        size[op_below(d, 5)] = 0;
    for (p = equations[d->i[0]], i = 0; *p && *p != '-'; i++)
        op_uniform(d, einsum_shape(&p, size, i), -2, 2);
}

static ct_tensor *call_einsum(ct_tensor *const *in, const op_draw *d)
{
    return ct_einsum(equations[d->i[0]], d->count, in);
}

const op_row matmul_rows[] = {
    { "ct_matmul", draw_matmul, .two = ct_matmul },
    { "ct_linear", draw_linear, .call = call_linear, .optional = 2 },
    { "ct_dot", draw_dot, .two = ct_dot },
    { "ct_outer", draw_outer, .two = ct_outer },
    { "ct_einsum", draw_einsum, .call = call_einsum },
    { 0 },
};
