/* SPDX-License-Identifier: MIT */
/* cases.c - functions for the tables of cases: they draw shapes, values and strides. */
#include "tests/cases.h"
#include "tests/harness.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

const op_row *const op_tables[] = {
    elementwise_rows, compare_rows, views_rows,     copy_rows,      join_rows, rearrange_rows,
    reduce_rows,      matmul_rows,  index_rows,     create_rows,    sort_rows, random_rows,
    loss_rows,        conv_rows,    normalise_rows, attention_rows, NULL,
};

/* ---- drawing ---- */

int64_t op_below(op_draw *d, int64_t n)
{
    return n < 1 ? 0 : (int64_t)ct_random_below(&d->g, (uint64_t)n);
}

double op_between(op_draw *d, double low, double high)
{
    return low + (high - low) * ct_random_uniform(&d->g);
}

bool op_chance(op_draw *d, double p)
{
    return ct_random_uniform(&d->g) < p;
}

/* Makes one or two sizes huge, but not that of the empty axis. */
static void make_huge(op_draw *d, ct_shape *s, int empty)
{
    int i = (empty + 1 + (int)op_below(d, s->rank - 1)) % s->rank;

    s->dim[i] = (int64_t)1 << 40;
    i = (i + 1) % s->rank;
    if (i != empty && op_chance(d, 0.5))
        s->dim[i] = (int64_t)1 << 10;
}

ct_shape op_shape(op_draw *d, int low, int high)
{
    ct_shape s = ct_shape_from_sizes(0, NULL);
    int64_t left = d->most;
    int i, empty = 0;

    s.rank = low + (int)op_below(d, high - low + 1);
    for (i = 0; i < s.rank; i++) {
        s.dim[i] = 1 + op_below(d, left < 5 ? left : 5);
        left /= s.dim[i];
    }
    for (i = s.rank - 1; i > 0; i--) { /* puts the large sizes at random positions */
        int j = (int)op_below(d, i + 1);
        int64_t t = s.dim[i];

        s.dim[i] = s.dim[j];
        s.dim[j] = t;
    }
    if (d->zero && s.rank)
        s.dim[empty = (int)op_below(d, s.rank)] = 0;
    if (d->zero && d->huge && s.rank > 1)
        make_huge(d, &s, empty);
    return s;
}

ct_shape op_shape_share(op_draw *d, int low, int high, int share)
{
    int64_t most = d->most;
    ct_shape s;

    d->most = most / share > 0 ? most / share : 1;
    s = op_shape(d, low, high);
    d->most = most;
    return s;
}

ct_shape op_narrower(op_draw *d, ct_shape shape)
{
    int drop = d->broadcast ? (int)op_below(d, shape.rank + 1) : 0, i;
    ct_shape s = ct_shape_from_sizes(shape.rank - drop, shape.dim + drop);

    for (i = 0; d->broadcast && i < s.rank; i++)
        if (op_chance(d, 0.4))
            s.dim[i] = 1;
    return s;
}

static op_input *add(op_draw *d, ct_shape shape, op_values values, ct_dtype dtype)
{
    op_input *in = &d->in[d->count++];

    ck_assert_int_le(d->count, OP_INPUTS);
    *in = (op_input){ .shape = shape, .values = values, .dtype = dtype, .same_as = -1 };
    return in;
}

op_input *op_uniform(op_draw *d, ct_shape shape, double low, double high)
{
    op_input *in = add(d, shape, OP_UNIFORM, CT_F64);

    in->low = low;
    in->high = high;
    return in;
}

op_input *op_distinct(op_draw *d, ct_shape shape)
{
    return add(d, shape, OP_DISTINCT, CT_F64);
}

op_input *op_index(op_draw *d, ct_shape shape, int64_t n)
{
    op_input *in = add(d, shape, OP_INDEX, op_chance(d, 0.5) ? CT_I64 : CT_I32);

    in->high = (double)n;
    return in;
}

op_input *op_bool(op_draw *d, ct_shape shape)
{
    return add(d, shape, OP_BOOL, CT_BOOL);
}

void op_kink(op_input *in, double at)
{
    ck_assert_int_lt(in->kinks, OP_KINKS);
    in->kink[in->kinks++] = at;
}

void op_draw_any(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), -2, 2);
}

void op_draw_positive(op_draw *d)
{
    op_uniform(d, op_shape(d, 0, 5), 0.2, 2);
}

static void draw_two(op_draw *d, op_input *(*one)(op_draw *d, ct_shape s))
{
    ct_shape wide = op_shape(d, 0, 5), narrow = op_narrower(d, wide);
    bool left = op_chance(d, 0.5);

    one(d, left ? wide : narrow);
    one(d, left ? narrow : wide);
    if (d->same && !d->broadcast)
        d->in[1].same_as = 0;
}

static op_input *any_values(op_draw *d, ct_shape s)
{
    return op_uniform(d, s, -2, 2);
}

void op_draw_two(op_draw *d)
{
    draw_two(d, any_values);
}

void op_draw_two_distinct(op_draw *d)
{
    draw_two(d, op_distinct);
}

static op_draw draw_call(const op_row *row, int number, int64_t most, bool huge)
{
    char stream[128];
    op_draw d = { .most = most, .huge = huge };

    snprintf(stream, sizeof stream, "%s %d %lld", row->name, number, (long long)most);
    d.g = ct_generator_stream(ct_generator_from_seed(2026), stream);
    d.broadcast = op_chance(&d, 0.25);
    d.strided = op_chance(&d, 0.25);
    d.zero = op_chance(&d, 0.1) || huge;
    d.same = op_chance(&d, 0.1);
    row->draw(&d);
    return d;
}

op_draw op_draw_call(const op_row *row, int number, int64_t most)
{
    return draw_call(row, number, most, false);
}

op_draw op_draw_huge(const op_row *row, int number)
{
    return draw_call(row, number, 30, true);
}

/* ---- values ---- */

static int64_t elements(const ct_shape *s)
{
    int64_t n = 1;
    int i;

    for (i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

static double uniform_value(const op_input *in, ct_generator *g)
{
    double v;
    int k;

    do {
        v = in->low + (in->high - in->low) * ct_random_uniform(g);
        for (k = 0; k < in->kinks && fabs(v - in->kink[k]) >= 2e-3; k++)
            ;
    } while (k < in->kinks);
    return v;
}

/* Points on a grid, each used once in a call, plus random offsets that are smaller than its
 * step. */
typedef struct grid {
    int64_t *order, count, next;
} grid;

static double distinct_value(grid *places, ct_generator *g)
{
    double step = 4.0 / (double)places->count;

    ck_assert_int_lt(places->next, places->count);
    return -2 + step * ((double)places->order[places->next++] + 0.4 * ct_random_uniform(g));
}

static ct_tensor *make_input(const op_input *in, ct_generator *g, grid *places)
{
    int64_t n = elements(&in->shape), k;
    double *f = malloc(((size_t)n + 1) * sizeof *f);
    ct_tensor *t;

    for (k = 0; k < n; k++)
        if (in->values == OP_UNIFORM)
            f[k] = uniform_value(in, g);
        else if (in->values == OP_DISTINCT)
            f[k] = distinct_value(places, g);
        else if (in->values == OP_INDEX)
            f[k] = (double)ct_random_below(g, (uint64_t)in->high);
        else
            f[k] = (double)ct_random_below(g, 2);
    t = ct_from_data(f, in->shape, CT_F64, DEVICE);
    free(f);
    if (in->dtype != CT_F64)
        return ct_cast(t, in->dtype);
    return in->constant ? t : leaf_from(t);
}

void op_make_inputs(const op_draw *d, ct_tensor **in)
{
    ct_generator g = ct_generator_stream(d->g, "values");
    grid places = { NULL, 0, 0 };
    int64_t k;
    int i;

    for (i = 0; i < d->count; i++)
        if (d->in[i].values == OP_DISTINCT)
            places.count += elements(&d->in[i].shape);
    places.order = malloc(((size_t)places.count + 1) * sizeof *places.order);
    for (k = 0; k < places.count; k++)
        places.order[k] = k;
    ct_shuffle(places.order, places.count, &g);
    for (i = 0; i < d->count; i++) {
        in[i] = d->in[i].same_as >= 0 ? in[d->in[i].same_as] : make_input(&d->in[i], &g, &places);
        ck_assert_msg(in[i] != NULL, "input %d: %s", i, ct_error_message());
    }
    free(places.order);
}

/* ---- strided copies ---- */

static double gap(ct_dtype dtype)
{
    return dtype == CT_F64 || dtype == CT_F32 ? NAN : dtype == CT_BOOL ? 1 : 123456789;
}

/* Returns a view of x's shape in a larger buffer: its axes are permuted, and some have a step of
 * 2. */
static ct_tensor *gapped(const ct_tensor *x, ct_generator *g)
{
    ct_shape shape = ct_tensor_shape(x), buffer = shape;
    int64_t order[CT_MAX_RANK], step[CT_MAX_RANK];
    int axes[CT_MAX_RANK], i;
    ct_tensor *t;

    if (!shape.rank)
        return ct_select(
            ct_full(CT_SHAPE(3), gap(ct_tensor_dtype(x)), ct_tensor_dtype(x), ct_tensor_device(x)),
            0, 1);
    for (i = 0; i < shape.rank; i++)
        order[i] = i;
    ct_shuffle(order, shape.rank, g);
    for (i = 0; i < shape.rank; i++) {
        step[i] = 1 + (int64_t)ct_random_below(g, 2);
        buffer.dim[i] = shape.dim[order[i]] * step[i] + 1;
        axes[order[i]] = i;
    }
    t = ct_full(buffer, gap(ct_tensor_dtype(x)), ct_tensor_dtype(x), ct_tensor_device(x));
    for (i = 0; i < shape.rank; i++)
        t = ct_slice(t, i, 1, INT64_MAX, step[i]);
    return ct_permute(t, shape.rank, axes);
}

static void strided_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dout[0]);
}

static const ct_op strided = {
    .name = "op_strided", .inputs = 1, .outputs = 1, .backward = strided_backward
};

ct_tensor *op_strided(ct_tensor *x, ct_generator *g)
{
    bool was = ct_set_grad_enabled(false);
    ct_tensor *y = x ? gapped(x, g) : NULL;

    if (y)
        ct_copy_into(y, x);
    ct_set_grad_enabled(was);
    return y && ct_record(&strided, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

/* The identity, but its backward returns a strided gradient. */
static void identity_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_generator g = *(const ct_generator *)ct_node_attributes(n);

    ct_node_add_grad(n, 0, op_strided(dout[0], &g));
}

static const ct_op identity = {
    .name = "op_identity", .inputs = 1, .outputs = 1, .backward = identity_backward
};

static ct_tensor *with_strided_gradient(ct_tensor *x, const ct_generator *g)
{
    ct_tensor *y = ct_detach(x);

    return y && ct_record(&identity, 1, &x, 1, &y, g, sizeof *g) ? y : NULL;
}

ct_tensor *op_call(const op_row *row, const op_draw *d, ct_tensor *const *in)
{
    ct_generator g = ct_generator_stream(d->g, "strides");
    ct_tensor *use[OP_INPUTS], *y;
    int i;

    for (i = 0; i < d->count; i++)
        use[i] = !d->strided             ? in[i]
                 : d->in[i].same_as >= 0 ? use[d->in[i].same_as]
                                         : op_strided(in[i], &g);
    y = row->one ? row->one(use[0]) : row->two ? row->two(use[0], use[1]) : row->call(use, d);
    return d->strided && !row->no_gradient ? with_strided_gradient(y, &g) : y;
}

const char *op_describe(const op_row *row, int number, const op_draw *d)
{
    static char text[1024];
    size_t n = (size_t)snprintf(text, sizeof text, "%s #%d:", row->name, number);
    int i, k;

    for (i = 0; i < d->count; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, " %s[", ct_dtype_name(d->in[i].dtype));
        for (k = 0; k < d->in[i].shape.rank; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, k ? ",%lld" : "%lld",
                                  (long long)d->in[i].shape.dim[k]);
        n += (size_t)snprintf(text + n, sizeof text - n, "]");
    }
    snprintf(text + n, sizeof text - n, "%s%s, options %lld %lld %lld %lld, %g %g",
             d->strided ? " strided" : "", d->count > 1 && d->in[1].same_as == 0 ? " same" : "",
             (long long)d->i[0], (long long)d->i[1], (long long)d->i[2], (long long)d->i[3],
             d->p[0], d->p[1]);
    return text;
}
