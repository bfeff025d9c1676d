/* SPDX-License-Identifier: MIT */
/* cases_attention.c - rows for nn/attention.h and nn/positions.h. */
#include "tests/cases.h"

#include <cotangent.h>

enum { MASK_NONE, MASK_BOOL, MASK_ADDED };

/* Returns a size; sometimes 0, if that is requested. */
static int64_t attention_size(op_draw *d, int64_t high)
{
    return d->zero && op_chance(d, 0.4) ? 0 : 1 + op_below(d, high);
}

/* q (B, H, Lq, D), k and v, a mask, and lengths; i[0]: the kind of mask, i[1]: lengths are used, i[2]:
 * causal, i[3]: first_query, i[4]: groups of heads; p[0]: scale */
static void draw_attention(op_draw *d)
{
    int64_t few = d->most < 64 ? 1 : 2, batch = 1 + op_below(d, few), heads = 1 + op_below(d, few);
    int64_t lq = attention_size(d, 3), lk = attention_size(d, 3), size = attention_size(d, 2);
    int64_t groups = op_chance(d, 0.3) ? heads : 1;
    ct_shape mask = op_chance(d, 0.5) ? CT_SHAPE(lq, lk) : CT_SHAPE(batch, 1, lq, lk);

    op_uniform(d, CT_SHAPE(batch, heads, lq, size), -2, 2);
    op_uniform(d, CT_SHAPE(batch, heads / groups, lk, size), -2, 2);
    op_uniform(d, CT_SHAPE(batch, heads / groups, lk, 1 + op_below(d, 2)), -2, 2);
    d->i[0] = op_below(d, 3);
    if (d->i[0] == MASK_ADDED)
        op_uniform(d, mask, -2, 2);
    else
        op_bool(d, mask)->unused = d->i[0] == MASK_NONE;
    d->i[1] = op_chance(d, 0.4);
    op_index(d, CT_SHAPE(batch), lk + 1)->unused = !d->i[1];
    d->i[2] = op_chance(d, 0.4);
    d->i[3] = op_below(d, 3);
    d->i[4] = groups;
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0.2, 1) : 0;
}

static ct_tensor *call_attention(ct_tensor *const *in, const op_draw *d)
{
    ct_attention_options o = { .mask = d->i[0] == MASK_NONE ? NULL : in[3],
                               .key_lengths = d->i[1] ? in[4] : NULL,
                               .causal = d->i[2] != 0,
                               .first_query = d->i[3],
                               .enable_gqa = d->i[4] > 1,
                               .scale = d->p[0] };

    return ct_scaled_dot_product_attention(in[0], in[1], in[2], o);
}

/* q (B, Lq, D), k, v, a weight, a mask, and lengths; i[0]: the kind of mask, i[1]: lengths are used, i[2]:
 * causal */
static void draw_additive(op_draw *d)
{
    int64_t few = d->most < 64 ? 1 : 2, batch = 1 + op_below(d, few);
    int64_t lq = attention_size(d, 3), lk = attention_size(d, 3), size = attention_size(d, 2);
    ct_shape mask = op_chance(d, 0.5) ? CT_SHAPE(lq, lk) : CT_SHAPE(batch, lq, lk);

    op_uniform(d, CT_SHAPE(batch, lq, size), -2, 2);
    op_uniform(d, CT_SHAPE(batch, lk, size), -2, 2);
    op_uniform(d, CT_SHAPE(batch, lk, 1 + op_below(d, 2)), -2, 2);
    op_uniform(d, CT_SHAPE(size), -2, 2);
    d->i[0] = op_below(d, 3);
    if (d->i[0] == MASK_ADDED)
        op_uniform(d, mask, -2, 2);
    else
        op_bool(d, mask)->unused = d->i[0] == MASK_NONE;
    d->i[1] = op_chance(d, 0.4);
    op_index(d, CT_SHAPE(batch), lk + 1)->unused = !d->i[1];
    d->i[2] = op_chance(d, 0.4);
}

static ct_tensor *call_additive(ct_tensor *const *in, const op_draw *d)
{
    ct_attention_options o = { .mask = d->i[0] == MASK_NONE ? NULL : in[4],
                               .key_lengths = d->i[1] ? in[5] : NULL,
                               .causal = d->i[2] != 0 };

    return ct_additive_attention(in[0], in[1], in[2], in[3], o);
}

/* x (..., L, D), D even; i[0]: first; p[0]: base */
static void draw_rotary(op_draw *d)
{
    ct_shape x = op_shape_share(d, 1, 4, 4);

    x.dim[x.rank++] = 2 * attention_size(d, 2);
    op_uniform(d, x, -2, 2);
    d->i[0] = op_below(d, 5);
    d->p[0] = op_between(d, 2, 10000);
}

static ct_tensor *call_rotary(ct_tensor *const *in, const op_draw *d)
{
    return ct_rotary_embedding(in[0], d->i[0], d->p[0]);
}

/* lengths (B); i[0]: size */
static void draw_length_mask(op_draw *d)
{
    d->i[0] = attention_size(d, 4);
    op_index(d, CT_SHAPE(attention_size(d, 4)), 6);
}

static ct_tensor *call_length_mask(ct_tensor *const *in, const op_draw *d)
{
    return ct_length_mask(in[0], d->i[0]);
}

const op_row attention_rows[] = {
    { "ct_scaled_dot_product_attention", draw_attention, .call = call_attention, .optional = 3 },
    { "ct_additive_attention", draw_additive, .call = call_additive, .optional = 4 },
    { "ct_rotary_embedding", draw_rotary, .call = call_rotary },
    { "ct_length_mask", draw_length_mask, .call = call_length_mask,
      .no_gradient = "its result is bool" },
    { 0 },
};
