/* SPDX-License-Identifier: MIT */
/* test_blob.c - tensors over the caller's memory, and DLPack. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dlpack_abi.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tests/counted.h"
#include "tests/harness.h"

static const ct_blob_options none;

static void expect_floats(const ct_tensor *t, int n, const float *want)
{
    float got[16];

    ck_assert_msg(ct_to_host(t, got, (size_t)n * sizeof *got) == CT_OK, "%s", ct_error_message());
    for (int i = 0; i < n; i++)
        ck_assert_msg(got[i] == want[i], "element %d is %g, not %g", i, got[i], want[i]);
}

/* ---- ct_from_blob ---- */

START_TEST(blob_reads_the_callers_memory)
{
    static const float values[] = { 1, 2, 3, 4, 5, 6 };
    static const int64_t columns[] = { 1, 3 }, overlapping[] = { 1, 1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_from_blob(values, sizeof values, CT_SHAPE(2, 3), CT_F32, none), *v;

    ck_assert(ct_data(t) == values && ct_is_contiguous(t));
    expect_floats(ct_sum_axis(t, 1, false), 2, (float[]){ 6, 15 });
    v = ct_from_blob(values, sizeof values, CT_SHAPE(3, 2), CT_F32,
                     (ct_blob_options){ .strides = columns });
    expect_floats(v, 6, (float[]){ 1, 4, 2, 5, 3, 6 });
    v = ct_from_blob(values, sizeof values, CT_SHAPE(4, 3), CT_F32,
                     (ct_blob_options){ .strides = overlapping });
    expect_floats(v, 12, (float[]){ 1, 2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6 });
    ck_assert_int_eq(ct_numel(ct_from_blob(NULL, 0, CT_SHAPE(0, 3), CT_F32, none)), 0);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    expect_ok();
}
END_TEST

START_TEST(blob_takes_part_in_history)
{
    float x[] = { 1, 2, 3 };
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_from_blob(x, sizeof x, CT_SHAPE(3), CT_F32, none), *y;

    ct_set_requires_grad(t, true);
    y = ct_sum(ct_mul(t, t));
    ck_assert_int_eq(ct_backward(y), CT_OK);
    expect_floats(ct_tensor_grad(t), 3, (float[]){ 2, 4, 6 });
    t = ct_from_blob(x, sizeof x, CT_SHAPE(2, 2), CT_F32,
                     (ct_blob_options){ .strides = (int64_t[]){ 1, 1 } });
    ct_set_requires_grad(t, true); /* 1 2, 2 3: elements that share memory */
    ck_assert_int_eq(ct_backward(ct_sum(ct_square(ct_matmul(t, ct_select(t, 0, 1))))), CT_OK);
    expect_floats(ct_tensor_grad(t), 4, (float[]){ 32, 48, 120, 188 });
    t = ct_set_requires_grad(ct_from_blob(x, sizeof x, CT_SHAPE(3), CT_F32, none), true);
    y = ct_sum(ct_mul(t, t));
    x[0] = 9;
    ct_data_changed(t);
    ct_backward(y);
    expect_error(CT_ERR_GRAD, "ct_mul", "modified in place");
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A gradient that is the blob itself: the gradient must not add to the caller's memory, and must not
 * refer to it when the scope has ended. */
START_TEST(blob_as_a_gradient)
{
    float d[] = { 1, 2 };
    ct_scope outer = ct_scope_begin(), s;
    ct_tensor *leaf = ct_set_requires_grad(ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU), true), *g;
    int i;

    for (i = 0; i < 2; i++) {
        s = ct_scope_begin();
        g = ct_from_blob(d, sizeof d, CT_SHAPE(2), CT_F32, (ct_blob_options){ .writable = true });
        ck_assert_int_eq(ct_backward_with(ct_add_scalar(leaf, 1), g), CT_OK);
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
    }
    ck_assert(d[0] == 1 && d[1] == 2);
    d[0] = d[1] = -100;
    expect_floats(ct_tensor_grad(leaf), 2, (float[]){ 2, 4 });
    ck_assert_int_eq(ct_scope_end(outer), CT_OK);
}
END_TEST

START_TEST(blob_writes)
{
    float x[] = { 1, 2, 3, 4 };
    static const int64_t window[] = { 1, 1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_from_blob(x, sizeof x, CT_SHAPE(4), CT_F32, none);

    REFUSED(CT_ERR_ARGUMENT, "ct_fill", "read-only", ct_fill(t, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_copy_into", "read-only",
            ct_copy_into(ct_narrow(t, 0, 0, 2), ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU)));
    ck_assert(ct_mutable_data(t) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_mutable_data", "read-only");
    t = ct_from_blob(x, sizeof x, CT_SHAPE(3, 2), CT_F32,
                     (ct_blob_options){ .writable = true, .strides = window });
    REFUSED(CT_ERR_ARGUMENT, "ct_fill", "share memory", ct_fill(t, 0));
    t = ct_from_blob(x, sizeof x, CT_SHAPE(4), CT_F32, (ct_blob_options){ .writable = true });
    ck_assert_int_eq(ct_fill(ct_narrow(t, 0, 1, 2), 7), CT_OK);
    ck_assert(x[0] == 1 && x[1] == 7 && x[2] == 7 && x[3] == 4 && ct_mutable_data(t) == x);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* Every tensor that outlives the scope has a copy of the memory. */
START_TEST(borrowed_memory_stays_behind)
{
    float *x = malloc(4 * sizeof *x);
    ct_scope outer = ct_scope_begin(), s = ct_scope_begin();
    ct_tensor *t, *kept, *returned = NULL;
    ct_state *state = NULL;

    for (int i = 0; i < 4; i++)
        x[i] = (float)i;
    t = ct_from_blob(x, 4 * sizeof *x, CT_SHAPE(4), CT_F32, (ct_blob_options){ .writable = true });
    kept = ct_keep(ct_narrow(t, 0, 1, 2));
    ct_fill(t, 5); /* changes the blob, not the copy */
    ck_assert(x[1] == 5);
    state = ct_state_new(1, &t);
    ck_assert_int_eq(ct_scope_return(s, ct_narrow(t, 0, 2, 2), &returned), CT_OK);
    memset(x, 0xff, 4 * sizeof *x);
    free(x);
    expect_floats(kept, 2, (float[]){ 1, 2 });
    expect_floats(returned, 2, (float[]){ 5, 5 });
    expect_floats(ct_state_get(state, 0), 4, (float[]){ 5, 5, 5, 5 });
    ck_assert_int_eq(ct_fill(returned, 1), CT_OK);
    ct_free(kept);
    ct_state_free(state);
    ck_assert_int_eq(ct_scope_end(outer), CT_OK);
}
END_TEST

/* A view that an inner scope returns still refers to the blob of the outer scope. */
START_TEST(inner_scope_keeps_the_blob)
{
    float x[] = { 1, 2 };
    ct_scope outer = ct_scope_begin(), s;
    ct_tensor *t = ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32,
                                (ct_blob_options){ .writable = true }),
              *v = NULL;

    s = ct_scope_begin();
    ck_assert_int_eq(ct_scope_return(s, ct_narrow(t, 0, 1, 1), &v), CT_OK);
    ck_assert(ct_data(v) == x + 1 && ct_fill(v, 3) == CT_OK && x[1] == 3);
    ck_assert_int_eq(ct_scope_end(outer), CT_OK);
}
END_TEST

static bool blob_inside(void *context, int inputs_count, ct_tensor *const *inputs,
                        int outputs_count, ct_tensor **outputs)
{
    static float x[] = { 7, 8 };

    (void)context, (void)inputs_count, (void)outputs_count;
    outputs[0] = ct_mul(inputs[0], inputs[0]);
    outputs[1] = ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32, none);
    return outputs[1] != NULL;
}

static void *borrow_on_a_thread(void *context)
{
    float x[] = { 3, 4 };
    ct_scope s = ct_scope_begin();
    ct_tensor *kept = ct_keep(ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32, none));

    (void)context;
    memset(x, 0xff, sizeof x);
    return ct_scope_end(s) == CT_OK ? kept : NULL;
}

/* Borrowed memory with devices, threads, and the scope of an activation checkpoint. */
START_TEST(borrowed_memory_on_other_ways)
{
    float x[] = { 1, 2 };
    ct_scope s = ct_scope_begin();
    ct_tensor *in = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true), *out[2];
    ct_tensor *kept = harness_on_thread(borrow_on_a_thread, NULL);
    ct_tensor *there = ct_to(ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32, none), DEVICE);

    expect_floats(kept, 2, (float[]){ 3, 4 });
    expect_floats(there, 2, x);
    ct_free(kept);
    ck_assert_int_eq(ct_activation_checkpoint(blob_inside, NULL, NULL, 1, &in, 2, out), CT_OK);
    ck_assert(!(out[1]->storage->foreign & CTI_FOREIGN_BORROWED));
    expect_floats(out[1], 2, (float[]){ 7, 8 });
    ck_assert_int_eq(ct_backward(ct_sum(out[0])), CT_OK);
    expect_floats(ct_tensor_grad(in), 2, (float[]){ 2, 2 });
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

static void *no_memory(size_t alignment, size_t bytes)
{
    (void)alignment, (void)bytes;
    return NULL;
}

START_TEST(no_memory_for_the_copy)
{
    float x[] = { 1, 2 };
    ct_scope outer = ct_scope_begin(), s = ct_scope_begin();
    void *(*allocate)(size_t, size_t) = cti_memory_calls.allocate;
    ct_tensor *t = ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32, none), *out = NULL;
    ct_status status;

    cti_memory_calls.allocate = no_memory;
    status = ct_scope_return(s, t, &out);
    cti_memory_calls.allocate = allocate;
    ck_assert(status == CT_ERR_MEMORY && out == NULL);
    expect_out_of_memory();
    ck_assert_int_eq(ct_scope_end(outer), CT_OK);
    s = ct_scope_begin();
    t = ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32, none);
    cti_memory_calls.allocate = no_memory;
    ck_assert(ct_keep(t) == NULL);
    cti_memory_calls.allocate = allocate;
    expect_out_of_memory();
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- deleters ---- */

static int deleted;
static pthread_t deleted_on;

static void count_deletion(void *data, void *context)
{
    deleted++;
    deleted_on = pthread_self();
    if (context)
        ck_assert(data == context);
    free(data);
}

static ct_tensor *owned_blob(int64_t n)
{
    float *x = calloc((size_t)n, sizeof *x);

    return ct_from_blob(x, (size_t)n * sizeof *x, CT_SHAPE(n), CT_F32,
                        (ct_blob_options){ .deleter = count_deletion, .context = x });
}

START_TEST(deleter_runs_once)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = owned_blob(4), *kept = ct_keep(ct_narrow(t, 0, 1, 2));

    deleted = 0;
    ck_assert(ct_data(kept) == (const float *)ct_data(t) + 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ck_assert_int_eq(deleted, 0);
    expect_floats(kept, 2, (float[]){ 0, 0 });
    ct_free(kept);
    ck_assert_int_eq(deleted, 1);
    s = ct_scope_begin();
    ck_assert(owned_blob(1) != NULL);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ck_assert_int_eq(deleted, 2);
}
END_TEST

static void *free_it(void *t)
{
    ct_free(t);
    return NULL;
}

START_TEST(deleter_runs_where_the_last_goes)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *kept = ct_keep(owned_blob(4));

    deleted = 0;
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    harness_on_thread(free_it, kept);
    ck_assert(deleted == 1 && !pthread_equal(deleted_on, pthread_self()));
}
END_TEST

START_TEST(deleter_runs_when_the_call_fails)
{
    ct_scope s = ct_scope_begin();
    const ct_blob_options options = { .deleter = count_deletion };

    deleted = 0;
    REFUSED(CT_ERR_SHAPE, "ct_from_blob", "bytes",
            ct_from_blob(malloc(4), 4, CT_SHAPE(2), CT_F32, options));
    ck_assert_int_eq(deleted, 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    REFUSED(CT_ERR_SCOPE, "ct_from_blob", "no scope",
            ct_from_blob(malloc(4), 4, CT_SHAPE(1), CT_F32, options));
    ck_assert_int_eq(deleted, 2);
}
END_TEST

/* Each allocation fails in turn; the deleter runs exactly once. */
static bool blob_run(void)
{
    int before = deleted;
    ct_scope s = ct_scope_begin();
    ct_tensor *t = s.id ? owned_blob(3) : NULL;
    bool good = t && ct_from_blob(ct_data(t), 12, CT_SHAPE(3), CT_F32, none);

    ck_assert(!s.id || deleted == before + !t);
    (void)(ct_scope_end(s) == CT_OK); /* may return the failure */
    ck_assert(!s.id || deleted == before + 1);
    return good;
}

static int allocations_left;
static cti_memory_table usual;

static void *allocate_some(size_t alignment, size_t bytes)
{
    return allocations_left-- > 0 ? usual.allocate(alignment, bytes) : NULL;
}

START_TEST(deleter_and_failing_memory)
{
    bool good = false;

    usual = cti_memory_calls;
    for (int n = 0; n < 40 && !good; n++) {
        allocations_left = n;
        cti_memory_calls.allocate = allocate_some;
        good = blob_run();
        cti_memory_calls = usual;
        if (!good)
            expect_out_of_memory();
    }
    ck_assert(good);
}
END_TEST

/* ---- bad blobs ---- */

START_TEST(bad_blobs)
{
    static const double memory[8];
    static const float *x = (const float *)memory;
    static const uint8_t bools[] = { 1, 2 };
    ct_scope s = ct_scope_begin();
    const struct {
        ct_status status;
        const char *word;
        const void *data;
        size_t bytes;
        ct_shape shape;
        ct_dtype dtype;
        int64_t strides[2];
    } rows[] = {
        { CT_ERR_SHAPE, "data has 11", x, 11, CT_SHAPE(3), CT_F32, { 0 } },
        { CT_ERR_SHAPE, "data has 24", x, 24, CT_SHAPE(2, 3), CT_F32, { 4, 1 } },
        { CT_ERR_SHAPE, "too large", x, 64, CT_SHAPE(3, 3), CT_F32, { INT64_MAX, 1 } },
        { CT_ERR_SHAPE, "too large", x, 64, CT_SHAPE(2, 2), CT_F32, { INT64_MAX / 2, 1 } },
        { CT_ERR_SHAPE, "negative", x, 64, CT_SHAPE(-2), CT_F32, { 0 } },
        { CT_ERR_ARGUMENT, "strides[1]", x, 64, CT_SHAPE(2, 2), CT_F32, { 2, -1 } },
        { CT_ERR_ARGUMENT, "data is NULL", NULL, 64, CT_SHAPE(2), CT_F32, { 0 } },
        { CT_ERR_ARGUMENT, "aligned", (const char *)x + 2, 16, CT_SHAPE(2), CT_F32, { 0 } },
        { CT_ERR_ARGUMENT, "aligned", x + 1, 16, CT_SHAPE(1), CT_F64, { 0 } },
        { CT_ERR_ARGUMENT, "bool 2", bools, 2, CT_SHAPE(2), CT_BOOL, { 0 } },
        { CT_ERR_DTYPE, "dtype 99", x, 64, CT_SHAPE(2), (ct_dtype)99, { 0 } },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        REFUSED(rows[i].status, "ct_from_blob", rows[i].word,
                ct_from_blob(
                    rows[i].data, rows[i].bytes, rows[i].shape, rows[i].dtype,
                    (ct_blob_options){ .strides = rows[i].strides[0] ? rows[i].strides : NULL }));
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- DLPack ---- */

START_TEST(dlpack_there_and_back)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_from_data((float[]){ 1, 2, 3, 4, 5, 6 }, CT_SHAPE(2, 3), CT_F32, CT_CPU), *u;
    struct DLManagedTensorVersioned *m = NULL;
    struct DLManagedTensor *old = NULL;

    ck_assert_int_eq(ct_to_dlpack(ct_transpose(t, 0, 1), (ct_dlpack_options){ 0 }, &m), CT_OK);
    ck_assert(m->version.major == 1 && m->flags == CTI_DLPACK_READ_ONLY &&
              m->tensor.data == ct_data(t) && m->tensor.rank == 2 && m->tensor.strides[1] == 3);
    u = ct_from_dlpack(m);
    expect_floats(u, 6, (float[]){ 1, 4, 2, 5, 3, 6 });
    REFUSED(CT_ERR_ARGUMENT, "ct_fill", "read-only", ct_fill(u, 1));
    ck_assert_int_eq(ct_to_dlpack_unversioned(t, &old), CT_OK);
    u = ct_from_dlpack_unversioned(old);
    ck_assert(ct_fill(ct_select(u, 0, 1), 8) == CT_OK);
    expect_floats(t, 6, (float[]){ 1, 2, 3, 8, 8, 8 });
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

static void *delete_it(void *m)
{
    struct DLManagedTensorVersioned *v = m;

    v->deleter(v);
    return NULL;
}

/* The export outlives the scope, also for borrowed memory, and any thread may free it. */
START_TEST(dlpack_outlives_the_scope)
{
    float x[] = { 1, 2 };
    ct_scope s = ct_scope_begin();
    struct DLManagedTensorVersioned *m[2];

    ck_assert_int_eq(ct_to_dlpack(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU),
                                  (ct_dlpack_options){ .writable = true }, &m[0]),
                     CT_OK);
    ck_assert_int_eq(ct_to_dlpack(ct_from_blob(x, sizeof x, CT_SHAPE(2), CT_F32, none),
                                  (ct_dlpack_options){ 0 }, &m[1]),
                     CT_OK);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ck_assert(m[0]->flags == 0 && m[1]->flags == (CTI_DLPACK_READ_ONLY | CTI_DLPACK_COPIED));
    x[0] = 5;
    ck_assert(((float *)m[0]->tensor.data)[1] == 1 && ((float *)m[1]->tensor.data)[0] == 1);
    for (int i = 0; i < 2; i++)
        harness_on_thread(delete_it, m[i]);
}
END_TEST

START_TEST(dlpack_refuses_exports)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true);
    ct_tensor *wide = ct_expand(ct_ones(CT_SHAPE(1), CT_F32, CT_CPU), CT_SHAPE(3));
    struct DLManagedTensorVersioned *m = (void *)&s;
    struct DLManagedTensor *old = NULL;
    float x = 1;

    REFUSED(CT_ERR_GRAD, "ct_to_dlpack", "requires a gradient",
            ct_to_dlpack(t, (ct_dlpack_options){ 0 }, &m));
    ck_assert(m == NULL);
    REFUSED(CT_ERR_GRAD, "ct_to_dlpack", "history",
            ct_to_dlpack(ct_neg(t), (ct_dlpack_options){ 0 }, &m));
    REFUSED(CT_ERR_SHAPE, "ct_to_dlpack_unversioned", "expanded",
            ct_to_dlpack_unversioned(wide, &old));
    t = ct_from_blob(&x, sizeof x, CT_SHAPE(1), CT_F32, none);
    REFUSED(CT_ERR_ARGUMENT, "ct_to_dlpack_unversioned", "read-only",
            ct_to_dlpack_unversioned(t, &old));
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

static void count_dlpack(struct DLManagedTensorVersioned *m)
{
    deleted++;
    m->deleter = NULL;
}

/* Makes a valid struct; each case below changes one member. */
static struct DLManagedTensorVersioned dlpack_sample(void)
{
    static double data[6];
    static int64_t shape[] = { 2, 3 }, strides[] = { 3, 1 };

    return (struct DLManagedTensorVersioned){
        .version = { 1, 9 },
        .deleter = count_dlpack,
        .tensor = { data,
                    { CTI_DLPACK_CPU, 0 },
                    2,
                    { CTI_DLPACK_FLOAT, 64, 1 },
                    shape,
                    strides,
                    0 },
    };
}

START_TEST(dlpack_refuses_imports)
{
    static int64_t bad_shape[] = { 2, -3 }, bad_strides[] = { 3, -1 };
    ct_scope s = ct_scope_begin();
    struct DLManagedTensorVersioned m[12];
    static const struct {
        ct_status status;
        const char *word;
    } rows[] = {
        { CT_ERR_ARGUMENT, "version 2" },    { CT_ERR_DEVICE, "type 2" },
        { CT_ERR_DTYPE, "code 2" },          { CT_ERR_DTYPE, "64 bits" },
        { CT_ERR_DTYPE, "2 lanes" },         { CT_ERR_ARGUMENT, "aligned" },
        { CT_ERR_SHAPE, "rank 9" },          { CT_ERR_SHAPE, "rank -1" },
        { CT_ERR_SHAPE, "negative" },        { CT_ERR_ARGUMENT, "strides[1]" },
        { CT_ERR_ARGUMENT, "data is NULL" }, { CT_ERR_ARGUMENT, "shape of m is NULL" },
    };

    for (int i = 0; i < 12; i++)
        m[i] = dlpack_sample();
    m[0].version.major = 2;
    m[1].tensor.device.type = 2;
    m[2].tensor.dtype.bits = 16;
    m[3].tensor.dtype.code = 1;
    m[4].tensor.dtype.lanes = 2;
    m[5].tensor.byte_offset = 4;
    m[6].tensor.rank = 9;
    m[7].tensor.rank = -1;
    m[8].tensor.shape = bad_shape;
    m[9].tensor.strides = bad_strides;
    m[10].tensor.data = NULL;
    m[11].tensor.shape = NULL;
    deleted = 0;
    for (int i = 0; i < 12; i++)
        REFUSED(rows[i].status, "ct_from_dlpack", rows[i].word, ct_from_dlpack(&m[i]));
    ck_assert_int_eq(deleted, 0);
    m[0] = dlpack_sample();
    m[0].tensor.strides = NULL;
    m[0].tensor.byte_offset = 8;
    m[0].tensor.shape = (int64_t[]){ 1, 3 };
    ck_assert(ct_data(ct_from_dlpack(&m[0])) == (const double *)m[0].tensor.data + 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ck_assert_int_eq(deleted, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blob");
    TCase *c = harness_case(suite, "from_blob");

    tcase_add_test(c, blob_reads_the_callers_memory);
    tcase_add_test(c, blob_takes_part_in_history);
    tcase_add_test(c, blob_as_a_gradient);
    tcase_add_test(c, blob_writes);
    tcase_add_test(c, borrowed_memory_stays_behind);
    tcase_add_test(c, inner_scope_keeps_the_blob);
    tcase_add_test(c, borrowed_memory_on_other_ways);
    tcase_add_test(c, no_memory_for_the_copy);
    tcase_add_test(c, bad_blobs);
    c = harness_case(suite, "deleters");
    tcase_add_test(c, deleter_runs_once);
    tcase_add_test(c, deleter_runs_where_the_last_goes);
    tcase_add_test(c, deleter_runs_when_the_call_fails);
    tcase_add_test(c, deleter_and_failing_memory);
    c = harness_case(suite, "dlpack");
    tcase_add_test(c, dlpack_there_and_back);
    tcase_add_test(c, dlpack_outlives_the_scope);
    tcase_add_test(c, dlpack_refuses_exports);
    tcase_add_test(c, dlpack_refuses_imports);
    return harness_run(suite);
}
