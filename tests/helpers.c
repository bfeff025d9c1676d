/* SPDX-License-Identifier: MIT */
/* helpers.c - functions for tests: values, tensors and sets. */
#include "tests/helpers.h"
#include "tests/harness.h"

#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>

/* ---- numbers ---- */

void expect_close(const char *what, double got, double want, double tolerance)
{
    if (isnan(got) && isnan(want))
        return;
    if (got == want) /* also equal infinities */
        return;
    if (!(fabs(got - want) <= tolerance))
        ck_abort_msg("%s: got %.17g, expected %.17g, tolerance %g", what, got, want, tolerance);
}

long double element_load(const void *values, ct_dtype dtype, int64_t i)
{
    uint32_t bits;
    float f;

    switch (dtype) {
    case CT_F32:
        return ((const float *)values)[i];
    case CT_F64:
        return ((const double *)values)[i];
    case CT_I32:
        return ((const int32_t *)values)[i];
    case CT_I64:
        return ((const int64_t *)values)[i];
    case CT_BOOL:
        return ((const uint8_t *)values)[i];
    case CT_BF16:
        bits = (uint32_t)((const uint16_t *)values)[i] << 16;
        memcpy(&f, &bits, sizeof f);
        return f;
    }
    ck_abort_msg("no elements of dtype %d", (int)dtype);
    return 0;
}

void element_store(void *values, ct_dtype dtype, int64_t i, long double v)
{
    uint32_t bits;
    float f = (float)v;

    switch (dtype) {
    case CT_F32:
        ((float *)values)[i] = f;
        break;
    case CT_F64:
        ((double *)values)[i] = (double)v;
        break;
    case CT_I32:
        ((int32_t *)values)[i] = (int32_t)v;
        break;
    case CT_I64:
        ((int64_t *)values)[i] = (int64_t)v;
        break;
    case CT_BOOL:
        ((uint8_t *)values)[i] = v != 0;
        break;
    case CT_BF16:
        memcpy(&bits, &f, sizeof bits);
        ((uint16_t *)values)[i] = (uint16_t)(bits >> 16);
        break;
    }
}

/* ---- tensors ---- */

ct_tensor *leaf_from(ct_tensor *t)
{
    return CT_INFERENCE_ONLY ? t : ct_set_requires_grad(t, true);
}

ct_tensor *random_normal(ct_generator *g, ct_shape shape, ct_dtype dtype)
{
    return ct_randn(shape, dtype, DEVICE, g);
}

/* Returns the bytes of the elements, row-major; the caller frees them. */
static void *bytes_of(ct_tensor *t, size_t *n)
{
    void *bytes;

    ck_assert_msg(t != NULL, "no tensor: %s", ct_error_message());
    *n = (size_t)ct_numel(t) * ct_dtype_size(ct_tensor_dtype(t));
    bytes = malloc(*n + 1);
    ck_assert_msg(ct_to_host(t, bytes, *n) == CT_OK, "%s", ct_error_message());
    return bytes;
}

double *values_of(ct_tensor *t)
{
    size_t size, i, n;
    void *bytes = bytes_of(t, &size);
    double *out;

    n = (size_t)ct_numel(t);
    out = malloc((n + 1) * sizeof *out);
    for (i = 0; i < n; i++)
        out[i] = (double)element_load(bytes, ct_tensor_dtype(t), (int64_t)i);
    free(bytes);
    return out;
}

void put_value(ct_tensor *t, int64_t at, double value)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *row = ct_reshape(t, CT_SHAPE(ct_numel(t)));

    ck_assert_msg(ct_fill(ct_narrow(row, 0, at, 1), value) == CT_OK, "%s", ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
}

void expect_values(const char *what, ct_tensor *t, const double *want, size_t count,
                   double tolerance)
{
    double *got = values_of(t);
    char where[256];
    size_t i;

    ck_assert_msg((size_t)ct_numel(t) == count, "%s: %lld elements, expected %zu", what,
                  (long long)ct_numel(t), count);
    for (i = 0; i < count; i++) {
        snprintf(where, sizeof where, "%s, element %zu", what, i);
        expect_close(where, got[i], want[i], tolerance);
    }
    free(got);
}

static void expect_same_shape(const char *what, ct_tensor *got, ct_tensor *want)
{
    ck_assert_msg(got && want, "%s: %s", what, ct_error_message());
    ck_assert_msg(cti_same_shape(&got->shape, &want->shape), "%s: %s, not %s", what,
                  cti_describe(got).s, cti_describe(want).s);
}

void expect_same(const char *what, ct_tensor *got, ct_tensor *want, double tolerance)
{
    double *values;

    expect_same_shape(what, got, want);
    values = values_of(want);
    expect_values(what, got, values, (size_t)ct_numel(want), tolerance);
    free(values);
}

void expect_same_bits(const char *what, ct_tensor *got, ct_tensor *want)
{
    expect_same_shape(what, got, want);
    ck_assert_msg(got->dtype == want->dtype, "%s: %s, not %s", what, ct_dtype_name(got->dtype),
                  ct_dtype_name(want->dtype));
    ck_assert_msg(same_bytes(got, want), "%s: other bits", what);
}

bool same_bytes(ct_tensor *a, ct_tensor *b)
{
    size_t n, m;
    void *x = bytes_of(a, &n), *y = bytes_of(b, &m);
    bool same = n == m && memcmp(x, y, n) == 0;

    free(x);
    free(y);
    return same;
}

/* ---- sets and corpora ---- */

ct_params *new_params(uint64_t seed, ct_dtype dtype)
{
    return ct_params_new((ct_params_options){ .device = DEVICE, .seed = seed, .dtype = dtype });
}

ct_corpus *new_corpus_of(const void *bytes, size_t size, ct_corpus_options options)
{
    ct_text *text = ct_text_new_from_bytes(bytes, size, "test");
    ct_corpus *corpus = ct_corpus_new(text, options);

    ct_text_free(text);
    ck_assert_msg(corpus != NULL, "%s", ct_error_message());
    return corpus;
}
