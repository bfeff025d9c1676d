/* SPDX-License-Identifier: MIT */
/* cuda_kernels_optim.c - updates and clipping of a GPU against the CPU's, and faults. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- optimisers ---- */

#define SEGMENTS 30 /* more than fit into one launch */

static const int64_t segment_sizes[] = { 1, 0, 33, 256, 4097, 7, 31 };

/* Segments with random values, gradients and the states that the bits of `wanted` select. */
static void put_segments(run *t, cti_segment *s, int count, ct_dtype dtype, int wanted)
{
    int i, k;

    for (i = 0; i < count; i++) {
        int64_t n = segment_sizes[i % 7];
        char *all = put(t, dtype, 5 * n); /* value, gradient, states */

        s[i] = (cti_segment){ .value = all,
                              .grad = all + n * (int64_t)ct_dtype_size(dtype),
                              .n = n,
                              .dtype = dtype,
                              .lr = 0.1 + 0.01 * i,
                              .weight_decay = i % 2 * 0.1,
                              .shrink = i % 3 ? 1 : 0.9,
                              .root = 0.5,
                              .first = i % 4 == 0 };
        for (k = 0; k < 3; k++)
            if (wanted >> k & 1) {
                s[i].state[k] = all + (2 + k) * n * (int64_t)ct_dtype_size(dtype);
                if (k < 2)
                    change(t, CTI_EW_square, dtype, n, s[i].state[k], 0);
                else /* a mean near 0, so that the variance is positive */
                    change(t, CTI_EW_affine, dtype, n, s[i].state[k], 0.01);
            }
    }
}

static void get_segments(run *t, const cti_segment *s, int count, double tolerance)
{
    int i;

    for (i = 0; i < count; i++)
        get(t, SAY("segment %d", i), s[i].value, s[i].dtype, 5 * s[i].n, tolerance);
}

static void update_case(run *t, const cti_update *u, ct_dtype dtype, int wanted, int count)
{
    cti_segment s[SEGMENTS];

    put_segments(t, s, count, dtype, wanted);
    t->be->update(u, s, count);
    get_segments(t, s, count, tolerance_of(dtype));
}

START_TEST(updates)
{
    int d, rule, wanted, nesterov;

    for (d = 0; d < 2; d++)
        for (rule = 0; rule < CTI_RULES; rule++)
            for (wanted = 0; wanted < 8; wanted++)
                for (nesterov = 0; nesterov < 2; nesterov++) {
                    cti_update u = { .rule = (cti_update_rule)rule,
                                     .nesterov = nesterov,
                                     .scale = 0.5,
                                     .momentum = 0.9,
                                     .dampening = 0.1,
                                     .beta1 = 0.9,
                                     .beta2 = 0.99,
                                     .eps = 1e-3 };
                    int must = rule == CTI_SGD ? 0 : rule == CTI_ADAM ? 3 : 1;
                    int may = rule == CTI_SGD || rule == CTI_ADAGRAD ? 1 : 7;

                    if ((wanted & must) != must || (wanted & ~may) || (nesterov && rule))
                        continue;
                    BOTH(SAY("update %d %s states %d", rule, ct_dtype_name(floats[d]), wanted),
                         { update_case(t, &u, floats[d], wanted, 7); });
                }
}
END_TEST

/* Makes more segments than fit into a launch, of both dtypes. */
static void many_segments(run *t, cti_segment *s)
{
    int i;

    t->r.at = seed << 32;
    for (i = 0; i < SEGMENTS; i++) {
        ct_dtype dtype = i % 3 ? CT_F32 : CT_F64;
        int64_t n = i % 5 ? 3 : 300;

        s[i] = (cti_segment){ .n = n, .dtype = dtype };
        if (t->buffers < 3) { /* values; gradients f32, f64 */
            put(t, CT_F64, SEGMENTS * 300);
            put(t, CT_F32, SEGMENTS * 300);
            put(t, CT_F64, SEGMENTS * 300);
        }
        s[i].value = t->buffer[0].data;
        s[i].grad = shifted(t->buffer[dtype == CT_F32 ? 1 : 2].data, i * 300, dtype);
    }
}

static void clip_case(run *t, double max_norm, bool bad)
{
    cti_segment s[SEGMENTS];
    void *norm, *squared;
    cti_fault f = { 1, 0 };

    many_segments(t, s); /* the segments are in the first three buffers */
    norm = put(t, CT_F64, 1);
    squared = put(t, CT_F64, 1);
    if (bad)
        t->be->fill((void *)(uintptr_t)s[17].grad, s[17].dtype, 1, NAN);
    t->be->norm_squared(s, SEGMENTS, squared);
    note(t,
         t->be->clip_norm(
             &(cti_clip_norm_args){
                 .segments = s, .count = SEGMENTS, .max_norm = max_norm, .norm = norm },
             &f),
         &f);
    get(t, "squared", squared, CT_F64, 1, 1e-12);
    get(t, "norm", norm, CT_F64, 1, 1e-12);
    get(t, "f32", t->buffer[1].data, CT_F32, SEGMENTS * 300, 1e-6);
    get(t, "f64", t->buffer[2].data, CT_F64, SEGMENTS * 300, 1e-12);
}

START_TEST(clipping)
{
    BOTH("clip above", { clip_case(t, 1e9, false); });
    BOTH("clip below", { clip_case(t, 1.5, false); });
    BOTH("clip NaN", { clip_case(t, 1.5, true); });
}
END_TEST

/* While a fault is recorded, nothing changes; after the host has read it, all kernels work
 * again. */
START_TEST(faults)
{
    cti_update u = { .rule = CTI_SGD, .scale = 1 };
    run r = { .be = device }, *t = &r;
    cti_fault f = { 5, 0 }, got = { 0, 0 };
    int64_t bad = 9, dim[1] = { 4 };
    void *index = put_bytes(t, &bad, sizeof bad);
    void *one = put(t, CT_F32, 4), *other = put(t, CT_F32, 4);
    float before[4], after[4], carried[4];
    cti_segment s = { .value = one, .grad = one, .n = 4, .dtype = CT_F32, .lr = 1, .shrink = 1 };
    cti_array dst = { other, CT_F32, { 1 } }, src = { one, CT_F32, { 1 } };

    if (!device->async) {
        finish(t);
        return;
    }
    ck_assert(device->download(before, other, sizeof before, &got) == CT_OK);
    ck_assert(device->gather_rows(&(cti_gather_rows_args){ .dtype = CT_F32,
                                                           .index_dtype = CT_I64,
                                                           .count = 1,
                                                           .width = 4,
                                                           .rows = 3,
                                                           .src = one,
                                                           .index = index,
                                                           .out = other },
                                  &f) == CT_OK);
    device->upload(other, before, sizeof before);
    device->update(&u, &s, 1);
    device->carry(1, dim, &dst, &src);
    ck_assert(device->download(carried, other, sizeof carried, &got) == CT_ERR_INDEX);
    ck_assert(got.ticket == 5 && got.position == 0);
    ck_assert_mem_eq(carried, before, sizeof before);
    ck_assert(device->download(before, one, sizeof before, &got) == CT_OK);
    device->carry(1, dim, &dst, &src);
    device->update(&u, &s, 1);
    ck_assert(device->download(carried, other, sizeof carried, &got) == CT_OK);
    ck_assert(device->download(after, one, sizeof after, &got) == CT_OK);
    ck_assert_mem_eq(carried, before, sizeof before);
    ck_assert(after[0] == 0 && after[3] == 0); /* w -= w */
    finish(t);
}
END_TEST

void cuda_kernels_optim_cases(Suite *suite)
{

    add(suite, "updates", updates, 1);
    add(suite, "clipping", clipping, 1);
    add(suite, "faults", faults, 1);
}
