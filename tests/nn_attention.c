/* SPDX-License-Identifier: MIT */
/* nn_attention.c - attention, positional encodings, transformers. */
#include "tests/test_nn.h"

#include <math.h>
#include <stdlib.h>

#include <cotangent.h>

static ct_tensor *drawn(uint64_t seed, ct_shape shape, ct_dtype dtype)
{
    ct_generator g = ct_generator_from_seed(seed);

    return random_normal(&g, shape, dtype);
}

/* ---- scaled_dot_product_attention ---- */

static ct_tensor *lengths_of(int count, const int32_t *lengths)
{
    return ct_from_data(lengths, CT_SHAPE(count), CT_I32, DEVICE);
}

/* For the second of two rows all keys are hidden, in each possible way. Its result and gradient are
 * 0, not NaN. */
START_TEST(a_query_that_sees_nothing)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x[3], *gradient[3], *y, *seen, *sums;
    ct_attention_options o = { 0 };
    int k;

    for (k = 0; k < 3; k++)
        x[k] = ct_set_requires_grad(drawn((uint64_t)k, CT_SHAPE(2, 1, 3, 4), CT_F64), true);
    seen = ct_reshape(ct_from_data((bool[]){ true, false }, CT_SHAPE(2), CT_BOOL, DEVICE),
                      CT_SHAPE(2, 1, 1, 1));
    if (_i == 0)
        o.mask = seen;
    else if (_i == 1)
        o.mask = ct_masked_fill(ct_zeros(CT_SHAPE(2, 1, 1, 1), CT_F64, DEVICE),
                                ct_logical_not(seen), -INFINITY);
    else
        o.key_lengths = lengths_of(2, (int32_t[]){ 3, 0 });
    y = ct_scaled_dot_product_attention(x[0], x[1], x[2], o);
    expect_same("the first", ct_select(y, 0, 0),
                ct_scaled_dot_product_attention(ct_select(x[0], 0, 0), ct_select(x[1], 0, 0),
                                                ct_select(x[2], 0, 0), (ct_attention_options){ 0 }),
                1e-14);
    expect_same("the second", ct_select(y, 0, 1), ct_zeros(CT_SHAPE(1, 3, 4), CT_F64, DEVICE), 0);
    sums = ct_sum(ct_square(y));
    ck_assert(ct_grad(1, &sums, 3, x, NULL, false, gradient) == CT_OK);
    for (k = 0; k < 3; k++) {
        expect_same("its gradient", ct_select(gradient[k], 0, 1),
                    ct_zeros(CT_SHAPE(1, 3, 4), CT_F64, DEVICE), 0);
        ck_assert(isfinite(ct_item(ct_sum(gradient[k]))));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* f32 attention of several tiles of queries and keys is compared with f64, and at 1 to 3 threads. */
START_TEST(attention_in_tiles)
{
    static const int64_t sizes[][7] = {
        /* batch, queries, keys, width, width of the values, causal, first query */
        { 3, 150, 700, 32, 64, 0, 0 }, { 1, 300, 1100, 64, 32, 1, 40 },
        { 2, 16, 33, 128, 16, 1, 5 },  { 2, 15, 530, 16, 16, 0, 0 },
        { 1, 257, 129, 80, 96, 1, 0 }, { 1, 140, 600, 20, 24, 0, 0 },
        { 1, 1000, 40, 16, 16, 1, 0 },
    };
    static const char *const names[] = { "dq", "dk", "dv", "y" };
    const int64_t *k = sizes[_i];
    const ct_attention_options o = { .causal = k[5], .first_query = k[6], .scale = 0.3 };
    const ct_shape shapes[] = { CT_SHAPE(k[0], k[1], k[3]), CT_SHAPE(k[0], k[2], k[3]),
                                CT_SHAPE(k[0], k[2], k[4]), CT_SHAPE(k[0], k[1], k[4]) };
    ct_scope s = ct_scope_begin();
    ct_tensor *want[4], *first[4];
    int threads, i;

    for (threads = 0; threads <= 3; threads++) { /* 0: in f64 */
        ct_tensor *in[4], *got[4], **out = threads == 0 ? want : threads == 1 ? first : got;

        ck_assert(ct_set_num_threads(threads ? threads : 1) == CT_OK);
        for (i = 0; i < 4; i++)
            in[i] = ct_set_requires_grad(ct_detach(ct_cast(drawn((uint64_t)i, shapes[i], CT_F32),
                                                           threads ? CT_F32 : CT_F64)),
                                         i < 3);
        out[3] = ct_scaled_dot_product_attention(in[0], in[1], in[2], o);
        ck_assert(ct_grad(1, &out[3], 3, in, &in[3], false, out) == CT_OK);
        for (i = 0; threads > 0 && i < 4; i++)
            if (threads > 1)
                expect_same_bits(names[i], out[i], first[i]);
            else
                expect_same(names[i], ct_cast(out[i], CT_F64), want[i],
                            1e-5 * ct_item(ct_max(ct_abs(want[i]))));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(masks)
{
    ct_scope s = ct_scope_begin();

    expect_values("causal", ct_causal_mask(2, 4, 1, DEVICE), (double[]){ 1, 1, 0, 0, 1, 1, 1, 0 },
                  8, 0);
    expect_values("lengths", ct_length_mask(lengths_of(3, (int32_t[]){ 2, 0, 9 }), 3),
                  (double[]){ 1, 1, 0, 0, 0, 0, 1, 1, 1 }, 9, 0);
    ck_assert_int_eq(ct_numel(ct_causal_mask(0, 3, 0, DEVICE)), 0);
    REFUSED(CT_ERR_ARGUMENT, "ct_causal_mask", "keys is -1", ct_causal_mask(1, -1, 0, DEVICE));
    REFUSED(CT_ERR_ARGUMENT, "ct_causal_mask", "first_query", ct_causal_mask(1, 1, -2, DEVICE));
    REFUSED(CT_ERR_DTYPE, "ct_length_mask", "lengths",
            ct_length_mask(ct_ones(CT_SHAPE(2), CT_F32, DEVICE), 3));
    REFUSED(CT_ERR_SHAPE, "ct_length_mask", "rank 1",
            ct_length_mask(ct_ones(CT_SHAPE(2, 1), CT_I32, DEVICE), 3));
    REFUSED(CT_ERR_ARGUMENT, "ct_length_mask", "size is -3",
            ct_length_mask(lengths_of(1, (int32_t[]){ 2 }), -3));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Dropped weights are scaled: with values of 1, a row of y is the sum of its weights. */
START_TEST(attention_dropout)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *q = ct_zeros(CT_SHAPE(500, 1), CT_F64, DEVICE), *y;
    ct_tensor *v = ct_ones(CT_SHAPE(4, 1), CT_F64, DEVICE);
    double *each;

    y = ct_scaled_dot_product_attention(q, ct_zeros(CT_SHAPE(4, 1), CT_F64, DEVICE), v,
                                        (ct_attention_options){ .dropout = 0.5, .generator = &g });
    each = values_of(y);
    for (int i = 0; i < 500; i++)
        ck_assert(each[i] == 0.5 * floor(each[i] / 0.5));
    free(each);
    expect_close("mean", ct_item(ct_mean(y)), 1, 4 * 0.5 / sqrt(500));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

#define ATTENTION(q, k, v, ...)                                                                    \
    ct_scaled_dot_product_attention(q, k, v, (ct_attention_options){ __VA_ARGS__ })

START_TEST(attention_misuse)
{
    static const char *const me = "ct_scaled_dot_product_attention";
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 4, 3, 6), CT_F32, DEVICE), *y = ct_narrow(x, 3, 0, 5);
    ct_tensor *heads = ct_narrow(x, 1, 0, 3), *flat = ct_ones(CT_SHAPE(6), CT_F32, DEVICE);
    ct_tensor *wide = ct_ones(CT_SHAPE(2, 4, 3, 6), CT_F64, DEVICE);

    REFUSED(CT_ERR_SHAPE, me, "q ... k", ATTENTION(x, y, x, 0));
    REFUSED(CT_ERR_SHAPE, me, "v", ATTENTION(x, x, ct_narrow(x, 2, 0, 2), 0));
    REFUSED(CT_ERR_SHAPE, me, "q ... k", ATTENTION(x, heads, heads, 0));
    REFUSED(CT_ERR_SHAPE, me, "enable_gqa", ATTENTION(x, heads, heads, .enable_gqa = true));
    REFUSED(CT_ERR_SHAPE, me, "rank", ATTENTION(flat, flat, flat, 0));
    REFUSED(CT_ERR_SHAPE, me, "rank", ATTENTION(x, ct_select(x, 0, 0), x, 0));
    REFUSED(CT_ERR_DTYPE, me, "k", ATTENTION(x, wide, x, 0));
    REFUSED(CT_ERR_DTYPE, me, "options.mask",
            ATTENTION(x, x, x, .mask = ct_ones(CT_SHAPE(3, 3), CT_I32, DEVICE)));
    REFUSED(CT_ERR_SHAPE, me, "options.mask",
            ATTENTION(x, x, x, .mask = ct_ones(CT_SHAPE(3, 2), CT_F32, DEVICE)));
    REFUSED(CT_ERR_SHAPE, me, "options.mask",
            ATTENTION(x, x, x, .mask = ct_ones(CT_SHAPE(7, 2, 4, 3, 3), CT_F32, DEVICE)));
    REFUSED(CT_ERR_SHAPE, me, "options.key_lengths",
            ATTENTION(x, x, x, .key_lengths = lengths_of(3, (int32_t[]){ 1, 1, 1 })));
    REFUSED(CT_ERR_DTYPE, me, "options.key_lengths", ATTENTION(x, x, x, .key_lengths = flat));
    REFUSED(CT_ERR_ARGUMENT, me, "dropout is 1", ATTENTION(x, x, x, .dropout = 1));
    REFUSED(CT_ERR_ARGUMENT, me, "generator is NULL", ATTENTION(x, x, x, .dropout = 0.5));
    REFUSED(CT_ERR_ARGUMENT, me, "scale", ATTENTION(x, x, x, .scale = NAN));
    REFUSED(CT_ERR_ARGUMENT, me, "first_query", ATTENTION(x, x, x, .first_query = -1));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- positions ---- */

START_TEST(encodings)
{
    ct_params *set = new_params(1, CT_F64);
    ct_module *fixed = ct_nn_sinusoidal_encoding(set, 0);
    ct_module *learned = ct_nn_learned_encoding(
        set, "pos", (ct_nn_learned_encoding_options){ .max_length = 5, .size = 4 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = drawn(1, CT_SHAPE(2, 3, 4), CT_F64), *y, *turned;
    const double want[8] = { sin(2), cos(2), sin(0.02), cos(0.02),
                             sin(3), cos(3), sin(0.03), cos(0.03) };

    y = ct_sinusoidal_encoding(2, 2, 4, CT_F64, DEVICE);
    expect_values("sinusoids", y, want, 8, 1e-14);
    expect_same("module", ct_sub(ct_forward(fixed, x), x),
                ct_expand(ct_sinusoidal_encoding(0, 3, 4, CT_F64, DEVICE), CT_SHAPE(2, 3, 4)),
                1e-14);
    expect_param(set, 0, "pos.weight", CT_SHAPE(5, 4));
    y = ct_narrow(ct_param_value(ct_params_at(set, 0)), 0, 0, 3);
    expect_same("learned", ct_forward(learned, x), ct_add(x, y), 0);
    /* a rotation preserves lengths, and products depend on differences of positions */
    y = ct_rotary_embedding(x, 3, 100);
    expect_same("lengths", ct_norm_axis(y, 2, -1, false), ct_norm_axis(x, 2, -1, false), 1e-14);
    turned = ct_rotary_embedding(x, 10, 100);
    expect_same("differences", ct_matmul(y, ct_transpose(y, 1, 2)),
                ct_matmul(turned, ct_transpose(turned, 1, 2)), 1e-13);
    expect_values("an element", ct_select(ct_select(ct_narrow(y, 2, 0, 1), 0, 0), 0, 0),
                  (double[]){ ct_item(ct_select(ct_flatten(x, 0, 2), 0, 0)) * cos(3) -
                              ct_item(ct_select(ct_flatten(x, 0, 2), 0, 2)) * sin(3) },
                  1, 1e-14);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(encodings_misuse)
{
    ct_params *set = new_params(1, CT_F32);
    ct_module *learned = ct_nn_learned_encoding(
        set, "pos", (ct_nn_learned_encoding_options){ .max_length = 2, .size = 4 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(3, 4), CT_F32, DEVICE);

    REFUSED(CT_ERR_ARGUMENT, "ct_sinusoidal_encoding", "even",
            ct_sinusoidal_encoding(0, 2, 3, CT_F32, DEVICE));
    REFUSED(CT_ERR_DTYPE, "ct_sinusoidal_encoding", "dtype",
            ct_sinusoidal_encoding(0, 2, 4, CT_I32, DEVICE));
    REFUSED(CT_ERR_ARGUMENT, "ct_sinusoidal_encoding", "length is -2",
            ct_sinusoidal_encoding(0, -2, 4, CT_F32, DEVICE));
    REFUSED(CT_ERR_SHAPE, "ct_rotary_embedding", "even D",
            ct_rotary_embedding(ct_narrow(x, 1, 0, 3), 0, 10000));
    REFUSED(CT_ERR_ARGUMENT, "ct_rotary_embedding", "base is 0", ct_rotary_embedding(x, 0, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_rotary_embedding", "first is -1", ct_rotary_embedding(x, -1, 2));
    REFUSED(CT_ERR_DTYPE, "ct_rotary_embedding", "x",
            ct_rotary_embedding(ct_ones(CT_SHAPE(2, 2), CT_I64, DEVICE), 0, 2));
    REFUSED(CT_ERR_SHAPE, "ct_forward", "longer ... 2 positions", ct_forward(learned, x));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_sinusoidal_encoding", "dropout is 1",
            ct_nn_sinusoidal_encoding(set, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_learned_encoding", "max_length",
            ct_nn_learned_encoding(set, "q", (ct_nn_learned_encoding_options){ .size = 4 }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* ---- MultiheadAttention ---- */

static ct_tensor *param_of(ct_params *set, const char *name)
{
    return ct_param_value(ct_params_get(set, name));
}

/* Computes attention head by head, as in the paper. */
static ct_tensor *heads_by_hand(ct_params *set, ct_tensor *const *x, int heads, bool one_weight)
{
    static const char *const names[3] = { "a.q_proj_weight", "a.k_proj_weight", "a.v_proj_weight" };
    ct_tensor *projected[3], *each[8], *b = param_of(set, "a.in_proj_bias");
    int64_t embed = ct_numel(b) / 3, size = embed / heads;
    int i, h;

    for (i = 0; i < 3; i++)
        projected[i] =
            ct_linear(x[i],
                      one_weight ? ct_narrow(param_of(set, "a.in_proj_weight"), 0, i * embed, embed)
                                 : param_of(set, names[i]),
                      ct_narrow(b, 0, i * embed, embed));
    for (h = 0; h < heads; h++) {
        ct_tensor *q = ct_narrow(projected[0], -1, h * size, size);
        ct_tensor *k = ct_narrow(projected[1], -1, h * size, size);

        each[h] = ct_matmul(
            ct_softmax(ct_div_scalar(ct_matmul(q, ct_transpose(k, -1, -2)), sqrt((double)size)),
                       -1),
            ct_narrow(projected[2], -1, h * size, size));
    }
    return ct_linear(ct_cat(heads, each, -1), param_of(set, "a.out_proj.weight"),
                     param_of(set, "a.out_proj.bias"));
}

START_TEST(multihead_attention_by_hand)
{
    const bool other = _i == 1; /* key and value have other sizes */
    ct_params *set = new_params(3, CT_F64);
    ct_attention *a = ct_nn_multihead_attention(
        set, "a",
        (ct_nn_multihead_attention_options){
            .embed_dim = 6, .num_heads = 3, .kdim = other ? 5 : 0, .vdim = other ? 7 : 0 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x[3] = { drawn(1, CT_SHAPE(2, 4, 6), CT_F64),
                        drawn(2, CT_SHAPE(2, 5, other ? 5 : 6), CT_F64),
                        drawn(3, CT_SHAPE(2, 5, other ? 7 : 6), CT_F64) };
    ct_tensor *y, *weights, *self[3] = { x[0], x[0], x[0] };

    ck_assert_int_eq(ct_params_count(set), other ? 6 : 4);
    if (!other)
        expect_param(set, 0, "a.in_proj_weight", CT_SHAPE(18, 6));
    expect_param(set, other ? 3 : 1, "a.in_proj_bias", CT_SHAPE(18));
    ck_assert(ct_params_init(set, ct_init_normal(0, 0.5), 4) == CT_OK);
    y = ct_attention_forward(a, x[0], x[1], x[2], (ct_attention_call){ .weights = &weights });
    expect_same("y", y, heads_by_hand(set, x, 3, !other), 1e-13);
    ck_assert_int_eq(ct_size(weights, 1), 4);
    expect_same("weights", ct_sum_axis(weights, -1, false), ct_ones(CT_SHAPE(2, 4), CT_F64, DEVICE),
                1e-14);
    if (!other)
        expect_same("self", ct_attention_forward(a, x[0], x[0], x[0], (ct_attention_call){ 0 }),
                    heads_by_hand(set, self, 3, true), 1e-13);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

#define MULTIHEAD(...)                                                                             \
    ct_nn_multihead_attention(set, "q", (ct_nn_multihead_attention_options){ __VA_ARGS__ })

START_TEST(multihead_attention_misuse)
{
    static const char *const me = "ct_nn_multihead_attention", *const run = "ct_attention_forward";
    ct_params *set = new_params(1, CT_F32);
    ct_attention *a = ct_nn_multihead_attention(
        set, "a", (ct_nn_multihead_attention_options){ .embed_dim = 4, .num_heads = 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3, 4), CT_F32, DEVICE), *row = ct_select(x, 0, 0);
    ct_state *past = NULL, *bad = ct_state_from_tensors(1, &x);
    ct_tensor *pair[2] = { x, x };

    REFUSED(CT_ERR_ARGUMENT, me, "num_heads is 3 ... divide",
            (void *)MULTIHEAD(.embed_dim = 4, .num_heads = 3));
    REFUSED(CT_ERR_ARGUMENT, me, "embed_dim is 0", (void *)MULTIHEAD(.num_heads = 3));
    REFUSED(CT_ERR_ARGUMENT, me, "dropout is 1",
            (void *)MULTIHEAD(.embed_dim = 4, .num_heads = 2, .dropout = 1));
    REFUSED(CT_ERR_ARGUMENT, me, "rotary_base",
            (void *)MULTIHEAD(.embed_dim = 4, .num_heads = 4, .rotary_base = 100));
    REFUSED(CT_ERR_SHAPE, run, "key", ct_attention_forward(a, x, row, x, (ct_attention_call){ 0 }));
    REFUSED(CT_ERR_SHAPE, run, "call.past has 1 tensors",
            ct_attention_forward(a, x, x, x, (ct_attention_call){ .past = bad }));
    bad = ct_state_from_tensors(2, pair);
    REFUSED(CT_ERR_SHAPE, run, "call.past ... must be",
            ct_attention_forward(a, x, x, x, (ct_attention_call){ .past = bad }));
    REFUSED(CT_ERR_SHAPE, run, "cache",
            ct_attention_forward(a, row, row, row, (ct_attention_call){ .next = &past }));
    pair[0] = pair[1] = ct_ones(CT_SHAPE(1, 2, 1, 3, 4), CT_F32, DEVICE);
    bad = ct_state_from_tensors(2, pair);
    REFUSED(CT_ERR_SHAPE, run, "does not fit",
            ct_attention_forward(a, x, x, x, (ct_attention_call){ .past = bad }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* ---- transformers ---- */

static const ct_nn_transformer_options small = { .d_model = 8,
                                                 .num_heads = 2,
                                                 .dim_feedforward = 12,
                                                 .num_layers = 3,
                                                 .dropout = CT_ZERO,
                                                 .norm_first = true,
                                                 .final_norm = true,
                                                 .rotary_base = 100,
                                                 .activation = CT_ACTIVATION_GELU_TANH };

START_TEST(transformer_names)
{
    ct_params *set = new_params(1, CT_F32);
    ct_nn_transformer_options o = small;

    o.num_layers = 2;
    ck_assert_ptr_nonnull(ct_nn_transformer_decoder(set, "dec", o));
    ck_assert_int_eq(ct_params_count(set), 2 * 18 + 2);
    ck_assert_ptr_nonnull(ct_params_get(set, "dec.layers.1.multihead_attn.out_proj.bias"));
    ck_assert_ptr_nonnull(ct_params_get(set, "dec.layers.0.norm3.weight"));
    ck_assert_ptr_nonnull(ct_params_get(set, "dec.norm.bias"));
    ck_assert_ptr_nonnull(ct_nn_transformer_encoder_layer(set, "enc", o));
    ck_assert_ptr_nonnull(ct_params_get(set, "enc.self_attn.in_proj_weight"));
    ck_assert_ptr_null(ct_params_get(set, "enc.norm3.weight"));
    o.no_bias = true;
    ck_assert_ptr_nonnull(ct_nn_transformer_encoder(set, "bare", o));
    ck_assert_ptr_null(ct_params_get(set, "bare.layers.0.norm1.bias"));
    ck_assert_ptr_null(ct_params_get(set, "bare.layers.0.linear1.bias"));
    expect_ok();
    ct_params_free(set);
}
END_TEST

/* Chunks of 1, 3 and 2 steps with a cache, against all 6 at once; portable: the same bits. */
START_TEST(cached_steps_equal_the_whole)
{
    static const int64_t chunks[3] = { 1, 3, 2 };
    const bool decoder = _i == 1;
    ct_params *set = new_params(5, CT_F32);
    ct_transformer *t = decoder ? ct_nn_transformer_decoder(set, "t", small)
                                : ct_nn_transformer_encoder(set, "t", small);
    ct_scope s = ct_scope_begin_inference();
    ct_tensor *x = drawn(6, CT_SHAPE(2, 6, 8), CT_F32), *parts[3], *whole;
    ct_tensor *memory = decoder ? drawn(7, CT_SHAPE(2, 4, 8), CT_F32) : NULL;
    ct_state *state = NULL, *next;
    int64_t at = 0;

    ct_set_portable(true);
    whole = ct_transformer_forward(t, x, memory, (ct_transformer_call){ .causal = true });
    ck_assert_msg(whole != NULL, "%s", ct_error_message());
    for (int i = 0; i < 3; at += chunks[i++]) {
        parts[i] = ct_transformer_forward(
            t, ct_narrow(x, 1, at, chunks[i]), memory,
            (ct_transformer_call){ .causal = true, .past = state, .next = &next });
        ck_assert_msg(next != NULL, "%s", ct_error_message());
        state = next;
    }
    ck_assert_int_eq(ct_state_count(state), 6);
    ck_assert_int_eq(ct_size(ct_state_get(state, 5), 3), 6);
    expect_same_bits("steps", ct_cat(3, parts, 1), whole);
    ct_set_portable(false);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Selected rows of a cache give the same results as the original rows. */
START_TEST(cached_rows_are_selected)
{
    ct_params *set = new_params(5, CT_F32);
    ct_transformer *t = ct_nn_transformer_encoder(set, "t", small);
    ct_scope s = ct_scope_begin_inference();
    ct_tensor *x = drawn(6, CT_SHAPE(3, 4, 8), CT_F32), *one = drawn(7, CT_SHAPE(1, 1, 8), CT_F32);
    ct_tensor *rows = ct_from_data((int32_t[]){ 2 }, CT_SHAPE(1), CT_I32, DEVICE), *both[2], *y;
    ct_state *state, *row;

    ct_transformer_forward(t, x, NULL, (ct_transformer_call){ .causal = true, .next = &state });
    row = ct_state_select_new(state, rows);
    y = ct_transformer_forward(t, one, NULL, (ct_transformer_call){ .causal = true, .past = row });
    both[0] = ct_narrow(x, 0, 2, 1);
    both[1] = one;
    expect_same("y", y,
                ct_narrow(ct_transformer_forward(t, ct_cat(2, both, 1), NULL,
                                                 (ct_transformer_call){ .causal = true }),
                          1, 4, 1),
                1e-5);
    ct_state_free(row);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Elements after a row's length do not change the row's result. */
START_TEST(lengths_hide_what_follows)
{
    ct_params *set = new_params(5, CT_F64);
    ct_transformer *t = ct_nn_transformer_decoder(set, "t", small);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = drawn(6, CT_SHAPE(1, 4, 8), CT_F64),
              *memory = drawn(8, CT_SHAPE(1, 5, 8), CT_F64);
    ct_transformer_call call = { .lengths = lengths_of(1, (int32_t[]){ 3 }),
                                 .memory_lengths = lengths_of(1, (int32_t[]){ 2 }) };

    expect_same("y", ct_narrow(ct_transformer_forward(t, x, memory, call), 1, 0, 3),
                ct_transformer_forward(t, ct_narrow(x, 1, 0, 3), ct_narrow(memory, 1, 0, 2),
                                       (ct_transformer_call){ 0 }),
                1e-13);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

static ct_tensor *run_encoder(int count, ct_tensor *const *in, void *t)
{
    (void)count;
    return ct_transformer_forward(t, in[0], NULL, (ct_transformer_call){ .causal = true });
}

START_TEST(transformer_gradients)
{
    ct_params *set = new_params(5, CT_F64);
    ct_nn_transformer_options o = small;
    ct_transformer *t;
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(2);
    ct_tensor *x;

    o.num_layers = 1;
    o.norm_first = _i == 0;
    t = ct_nn_transformer_encoder(set, "t", o);
    x = ct_set_requires_grad(drawn(9, CT_SHAPE(1, 3, 8), CT_F64), true);
    ck_assert_msg(ct_gradcheck(run_encoder, 1, &x, t, &g, 0, 0), "%s", ct_error_message());
    ck_assert(ct_backward(ct_sum(ct_square(run_encoder(1, &x, t)))) == CT_OK);
    for (int i = 0; i < ct_params_count(set); i++)
        ck_assert_msg(ct_tensor_grad(ct_param_value(ct_params_at(set, i))) != NULL, "%s",
                      ct_param_name(ct_params_at(set, i)));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* While the set trains, each dropout draws random numbers. */
START_TEST(transformer_dropout)
{
    ct_params *set = new_params(5, CT_F64);
    ct_nn_transformer_options o = small;
    ct_transformer *t;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = drawn(6, CT_SHAPE(1, 4, 8), CT_F64), *y;
    uint64_t before;

    o.dropout = 0;
    t = ct_nn_transformer_encoder_layer(set, "t", o);
    before = ct_params_generator(set)->position;
    y = ct_transformer_forward(t, x, NULL, (ct_transformer_call){ 0 });
    ck_assert(ct_params_generator(set)->position > before);
    ck_assert(!same_bytes(y, ct_transformer_forward(t, x, NULL, (ct_transformer_call){ 0 })));
    ct_params_train(set, false);
    y = ct_transformer_forward(t, x, NULL, (ct_transformer_call){ 0 });
    expect_same_bits("evaluating", y,
                     ct_transformer_forward(t, x, NULL, (ct_transformer_call){ 0 }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

#define STACK(o) (void *)ct_nn_transformer_encoder(set, "q", o)

START_TEST(transformer_misuse)
{
    static const char *const me = "ct_nn_transformer_encoder", *const run =
                                                                   "ct_transformer_forward";
    ct_params *set = new_params(1, CT_F32);
    ct_transformer *encoder = ct_nn_transformer_encoder(set, "e", small);
    ct_transformer *decoder = ct_nn_transformer_decoder(set, "d", small);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3, 8), CT_F32, DEVICE),
              *wide = ct_ones(CT_SHAPE(2, 3, 9), CT_F32, DEVICE);
    ct_nn_transformer_options o = small;

    o.num_heads = 3;
    REFUSED(CT_ERR_ARGUMENT, me, "num_heads is 3 ... divide d_model", STACK(o));
    o = small;
    o.num_layers = 0;
    REFUSED(CT_ERR_ARGUMENT, me, "num_layers is 0", STACK(o));
    o.num_layers = 33;
    REFUSED(CT_ERR_ARGUMENT, me, "num_layers is 33", STACK(o));
    o = small;
    o.dropout = 1;
    REFUSED(CT_ERR_ARGUMENT, me, "dropout is 1", STACK(o));
    o = small;
    o.activation = (ct_activation)9;
    REFUSED(CT_ERR_ARGUMENT, me, "activation is 9", STACK(o));
    o = small;
    o.num_heads = 8;
    REFUSED(CT_ERR_ARGUMENT, me, "rotary_base", STACK(o));
    REFUSED(CT_ERR_SHAPE, run, "x",
            ct_transformer_forward(encoder, wide, NULL, (ct_transformer_call){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, run, "must be NULL",
            ct_transformer_forward(encoder, x, x, (ct_transformer_call){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, run, "memory is NULL",
            ct_transformer_forward(decoder, x, NULL, (ct_transformer_call){ 0 }));
    REFUSED(CT_ERR_SHAPE, run, "memory",
            ct_transformer_forward(decoder, x, wide, (ct_transformer_call){ 0 }));
    REFUSED(CT_ERR_SHAPE, run, "options.mask",
            ct_transformer_forward(encoder, x, NULL, (ct_transformer_call){ .mask = x }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

void nn_attention_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "attention");

    tcase_add_loop_test(tc, a_query_that_sees_nothing, 0, 3);
    tcase_add_loop_test(tc, attention_in_tiles, 0, 7);
    tcase_add_test(tc, masks);
    tcase_add_test(tc, attention_dropout);
    tcase_add_test(tc, attention_misuse);
    tcase_add_test(tc, encodings);
    tcase_add_test(tc, encodings_misuse);
    tcase_add_loop_test(tc, multihead_attention_by_hand, 0, 2);
    tcase_add_test(tc, multihead_attention_misuse);
    tc = harness_case(suite, "transformer");
    tcase_add_test(tc, transformer_names);
    tcase_add_loop_test(tc, cached_steps_equal_the_whole, 0, 2);
    tcase_add_test(tc, cached_rows_are_selected);
    tcase_add_test(tc, lengths_hide_what_follows);
    tcase_add_loop_test(tc, transformer_gradients, 0, 2);
    tcase_add_test(tc, transformer_dropout);
    tcase_add_test(tc, transformer_misuse);
}
