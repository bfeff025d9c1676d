/* SPDX-License-Identifier: MIT */
/* engine_history.c - history: versions of saved tensors, large graphs, the memory of nodes,
 * lifetimes, one-hot inputs. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_engine.h"

/* ---- version counters ---- */

START_TEST(a_saved_tensor_modified_later_is_an_error)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *data = VECTOR(3, 4), *y, *row;
    char made[64], wrote[64];

    /* the place of each call is that of its line */
    /* clang-format off */
    y = ct_sum(ct_mul(x, data)); snprintf(made, sizeof made, "%s", CT_HERE);
    row = ct_slice(data, 0, 0, 1, 1);
    ct_fill(row, 7); snprintf(wrote, sizeof wrote, "%s", CT_HERE); /* through a view */
    /* clang-format on */
    ct_backward(y);
    ck_assert(ct_error() == CT_ERR_GRAD);
    ck_assert_msg(strncmp(ct_error_message(), made, strlen(made)) == 0, "%s", ct_error_message());
    ck_assert_msg(strstr(ct_error_message(), wrote) != NULL, "%s", ct_error_message());
    expect_error(CT_ERR_GRAD, "ct_mul", "input 1 ... modified");
    ck_assert_ptr_null(ct_tensor_grad(x));
    leave(s);
}
END_TEST

static ct_generator writers_g;

static void write_fill(ct_tensor *t)
{
    ct_fill(t, 7);
}

static void write_data(ct_tensor *t)
{
    if (DEVICE == CT_CPU)
        ((double *)ct_mutable_data(t))[0] = 5;
    else
        write_fill(t); /* on a GPU the bytes cannot be accessed */
}

static void write_copy(ct_tensor *t)
{
    ct_copy_into(t, VECTOR(5, 6));
}

static void write_itself(ct_tensor *t)
{
    ct_copy_into(t, t);
}

static void write_apart(ct_tensor *t)
{
    ct_fill(ct_slice(t, 0, 0, 2, 2), 7);
}

static void write_uniform(ct_tensor *t)
{
    ct_uniform_into(t, 0, 1, &writers_g);
}

static void write_normal(ct_tensor *t)
{
    ct_normal_into(t, 0, 1, &writers_g);
}

/* Every way to write is detected, on the tensor itself and through a view. */
START_TEST(every_write_is_seen)
{
    static void (*const writers[])(ct_tensor * t) = { write_data,  write_copy,  write_itself,
                                                      write_fill,  write_apart, write_uniform,
                                                      write_normal };
    ct_scope s = ct_scope_begin();
    size_t k;
    int view;

    for (k = 0; k < sizeof writers / sizeof *writers; k++)
        for (view = 0; view < 2; view++) {
            ct_tensor *x = LEAF(1, 2), *data = VECTOR(3, 4), *y = ct_sum(ct_mul(x, data));

            writers[k](view ? ct_reshape(data, CT_SHAPE(2)) : data);
            ck_assert_msg(ct_ok(), "%s", ct_error_message());
            ct_backward(y);
            ck_assert_msg(ct_error() == CT_ERR_GRAD, "writer %d is not seen", (int)k);
            expect_error(CT_ERR_GRAD, "ct_mul", "modified");
        }
    leave(s);
}
END_TEST

/* A tensor that no op has saved may be overwritten. */
START_TEST(an_unsaved_tensor_may_be_modified)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *data = VECTOR(3, 4), *y = ct_sum(ct_add(x, data));

    ct_fill(data, 0);
    ct_backward(y);
    EXPECT(ct_tensor_grad(x), 1, 1);
    end_scope(s);
}
END_TEST

START_TEST(in_place_writes_are_for_leaves_and_data)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x), *detached = ct_detach(y);

    ct_fill(y, 0);
    expect_error(CT_ERR_GRAD, "ct_fill", "history");
    ct_fill(x, 0);
    expect_error(CT_ERR_GRAD, "ct_fill", "leaf");
    ct_set_grad_enabled(false);
    ck_assert(ct_fill(x, 5) == CT_OK);
    ct_set_grad_enabled(true);
    EXPECT(x, 5, 5);
    ct_backward(ct_sum(y)); /* y's node has saved x */
    ck_assert(ct_error() == CT_ERR_GRAD);
    ct_error_clear();
    EXPECT(detached, 1, 4);
    leave(s);
}
END_TEST

/* ---- large graphs ---- */

#define LARGE harness_rounds(3000, 100000)

START_TEST(a_chain_of_100000_nodes)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = x, *g;
    int i;

    for (i = 0; i < LARGE; i++)
        y = ct_add_scalar(y, 0.5);
    y = ct_sum(ct_square(y));
    ck_assert(ct_backward(y) == CT_OK);
    EXPECT(ct_tensor_grad(x), 2 * (1 + 0.5 * LARGE), 2 * (2 + 0.5 * LARGE));
    ck_assert(ct_grad(1, &y, 1, &x, NULL, false, &g) == CT_OK);
    EXPECT(g, 2 * (1 + 0.5 * LARGE), 2 * (2 + 0.5 * LARGE));
    end_scope(s);
}
END_TEST

START_TEST(a_graph_100000_wide)
{
    ct_scope s = ct_scope_begin();
    const int wide = LARGE / 2;
    ct_tensor *x = LEAF(3), **parts = malloc(sizeof *parts * (size_t)wide), *y[2];
    double slope = 0;
    int i, k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < wide; i++) {
            parts[i] = ct_mul_scalar(x, i % 7);
            slope += i % 7;
        }
        y[k] = ct_sum(ct_cat(wide, parts, 0));
    }
    ck_assert(ct_backward(ct_add(y[0], y[1])) == CT_OK);
    EXPECT(ct_tensor_grad(x), slope);
    free(parts);
    end_scope(s);
}
END_TEST

/* T selects from one tensor: the gradient of each writes only its own part. The test counts the
 * bytes that are requested from the pool; T copies of the whole tensor would need T times as
 * many. */
START_TEST(the_gradient_of_select_touches_its_part)
{
    enum { STEPS = 512, WIDTH = 64 };
    const size_t whole = STEPS * WIDTH * sizeof(double);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(STEPS, WIDTH), CT_F64, DEVICE), true);
    ct_tensor *y = NULL;
    ct_memory_stats before, after;
    double *g;
    int t;

    for (t = 0; t < STEPS; t++) {
        ct_tensor *part = ct_mul_scalar(ct_sum(ct_square(ct_select(x, 0, t))), t);

        y = y ? ct_add(y, part) : part;
    }
    ct_memory_trim();
    before = ct_memory_get_stats();
    ct_backward(y);
    after = ct_memory_get_stats();
    ck_assert_msg(after.peak_bytes <= before.peak_bytes + 2 * whole,
                  "backward took %zu bytes for a gradient of %zu",
                  after.peak_bytes - before.peak_bytes, whole);
    ck_assert_msg(after.system_allocations - before.system_allocations < 64,
                  "%llu requests to the system",
                  (unsigned long long)(after.system_allocations - before.system_allocations));
    g = values_of(ct_tensor_grad(x));
    for (t = 0; t < STEPS; t++)
        expect_close("element", g[t * WIDTH + 3], 2.0 * t, 0);
    free(g);
    end_scope(s);
}
END_TEST

/* A gradient is added in place to an existing gradient. So memory never holds more than the sum and
 * the new gradient, and the leaf takes the sum without a copy. */
START_TEST(gradients_add_up_in_place)
{
    enum { WHOLE = 1 << 14 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(WHOLE), CT_F64, DEVICE), true);
    size_t before, most;
    int uses, k, i;

    for (uses = 1; uses <= 5; uses += 4)
        for (k = 0; k < 2; k++) { /* first without a gradient, then with one */
            ct_scope inner = ct_scope_begin();
            ct_tensor *y = ct_zeros(CT_SCALAR, CT_F64, DEVICE);

            for (i = 0; i < uses; i++)
                y = ct_add(y, ct_dot(x, ct_full(CT_SHAPE(WHOLE), i, CT_F64, DEVICE)));
            ct_memory_trim();
            before = ct_memory_get_stats().live_bytes;
            ct_backward(y);
            most = ct_memory_get_stats().peak_bytes - before;
            ck_assert_msg(most < ((uses == 1 ? 1.5 : 2.5) + k) * WHOLE * sizeof(double),
                          "%d uses, %d: %zu bytes", uses, k, most);
            end_scope(inner);
        }
    end_scope(s);
}
END_TEST

static char large[4096];   /* the attributes of a node */
static size_t large_bytes; /* the size of these blocks */

static void large_backward(ct_node *n, ct_tensor *const *dout)
{
    ck_assert(memcmp(ct_node_attributes(n), large, large_bytes) == 0);
    ct_node_add_grad(n, 0, dout[0]);
}

/* Returns the number of allocations for a node with these attributes, after a node of the same size
 * was freed. */
static int requests_of_node(void)
{
    static const ct_op op = {
        .name = "large", .inputs = 1, .outputs = 1, .backward = large_backward
    };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y;
    int i, requests = 0;

    for (i = 0; i < 2; i++) {
        ct_scope inner = ct_scope_begin();

        y = ct_detach(x);
        fail_allocation(0);
        ck_assert(ct_record(&op, 1, &x, 1, &y, large, large_bytes));
        requests = allocations_seen;
        fail_nothing();
        ct_backward_with(y, VECTOR(3, i));
        end_scope(inner);
    }
    EXPECT(ct_tensor_grad(x), 6, 1);
    end_scope(s);
    return requests;
}

/* The memory of small nodes is reused; that of large ones is returned. */
START_TEST(nodes_take_the_place_of_others)
{
    size_t kept = 0;

    memset(large, 7, sizeof large);
    for (large_bytes = 0; large_bytes <= sizeof large; large_bytes += 32) {
        int requests = requests_of_node();

        if (requests == 0)
            kept = large_bytes;
        ck_assert_msg(requests == (kept != large_bytes), "%zu bytes: %d", large_bytes, requests);
    }
    ck_assert_msg(kept >= 1024 && kept < 2048, "%zu", kept);
}
END_TEST

/* ---- history stays in its scope and thread ---- */

START_TEST(history_of_an_ended_scope_cannot_leave)
{
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *out;

    ck_assert(ct_scope_return(inner, ct_square(x), &out) == CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "f64[2]");
    ck_assert_ptr_null(out);
    leave(s);
}
END_TEST

/* A result of the outer scope can be used in an inner one: its history still exists. */
START_TEST(an_inner_scope_extends_outer_history)
{
    ct_scope s = ct_scope_begin(), inner;
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x);

    inner = ct_scope_begin();
    ct_backward(ct_sum(ct_mul(y, y)));
    end_scope(inner);
    EXPECT(ct_tensor_grad(x), 4, 32);
    inner = ct_scope_begin();
    ct_backward(ct_sum(y));
    end_scope(inner);
    EXPECT(ct_tensor_grad(x), 6, 36);
    end_scope(s);
}
END_TEST

static void *use_elsewhere(void *y)
{
    static char text[PICTURE];
    ct_scope s = ct_scope_begin();
    ct_tensor *own = LEAF(1), *g;

    own = ct_sum(ct_square(own)); /* history of this thread, at the same positions of the tape */
    ct_square(y);
    expect_error(CT_ERR_SCOPE, "ct_square", "input 0 ... another thread");
    ct_backward(y);
    ck_assert(ct_error() == CT_ERR_SCOPE);
    ct_error_clear();
    dot_of(y, text);
    ck_assert(ct_error() == CT_ERR_SCOPE && !text[0]);
    ct_error_clear();
    g = own;
    ct_grad(1, (ct_tensor *[]){ y }, 1, &own, NULL, false, &g);
    ck_assert(ct_error() == CT_ERR_SCOPE && !g);
    ct_error_clear();
    g = own;
    ct_grad(1, &own, 1, (ct_tensor *[]){ y }, NULL, false, &g);
    ck_assert(ct_error() == CT_ERR_SCOPE && !g);
    ct_error_clear();
    ct_backward(own);
    ck_assert(ct_ok());
    leave(s);
    return NULL;
}

START_TEST(history_of_another_thread_is_an_error)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_sum(x);

    harness_on_thread(use_elsewhere, y);
    end_scope(s);
}
END_TEST

START_TEST(a_tensor_used_after_its_scope)
{
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *x = VECTOR(1, 2), *kept = ct_keep(x);

    end_scope(inner);
    ct_neg(x);
    expect_error(CT_ERR_SCOPE, "ct_neg", "x is a dead tensor ... scope ended");
    EXPECT(kept, 1, 2);
    ct_free(kept);
    ct_neg(kept);
    expect_error(CT_ERR_SCOPE, "ct_neg", "x is a dead tensor ... freed");
    leave(s);
}
END_TEST

/* ---- one-hot tensors and their indices ---- */

/* y = x W^T + b and its gradients for a one-hot x with indices, compared with a dense copy of x. */
START_TEST(linear_of_one_hot_equals_dense)
{
    ct_generator g = ct_generator_from_seed(3);
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_from_data((int32_t[]){ 1, 3, 1, 0, 4, 4 }, CT_SHAPE(2, 3), CT_I32, DEVICE);
    ct_tensor *hot = ct_one_hot_as(ids, 5, CT_F64), *dense = ct_clone(hot);
    ct_tensor *w = random_leaf(&g, CT_SHAPE(4, 5)), *b = random_leaf(&g, CT_SHAPE(4));
    ct_tensor *upon = ct_randn(CT_SHAPE(2, 3, 4), CT_F64, DEVICE, &g);
    double *want_y = values_of(ct_linear(dense, w, b)), *want_w, *want_b;

    ct_backward_with(ct_linear(dense, w, b), upon);
    want_w = values_of(ct_tensor_grad(w));
    want_b = values_of(ct_tensor_grad(b));
    ct_tensor_zero_grad(w);
    ct_tensor_zero_grad(b);
    ct_backward_with(ct_linear(hot, w, b), upon);
    expect_values("y", ct_linear(hot, w, b), want_y, 24, 1e-12);
    expect_values("dw", ct_tensor_grad(w), want_w, 20, 1e-12);
    expect_values("db", ct_tensor_grad(b), want_b, 4, 1e-12);
    free(want_y);
    free(want_w);
    free(want_b);
    end_scope(s);
}
END_TEST

/* A write makes it an ordinary tensor: the product uses the written values, also those written
 * through a view. */
START_TEST(a_written_one_hot_forgets_its_indices)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_from_data((int32_t[]){ 1, 0 }, CT_SHAPE(2), CT_I32, DEVICE);
    ct_tensor *w = ct_from_data((double[]){ 1, 10, 100 }, CT_SHAPE(1, 3), CT_F64, DEVICE);
    ct_tensor *x = ct_one_hot_as(ids, 3, CT_F64), *z = ct_one_hot_as(ids, 3, CT_F64);

    EXPECT(ct_linear(x, w, NULL), 10, 1);
    ct_fill(ids, 2); /* the tensor has a copy of the indices */
    EXPECT(ct_linear(x, w, NULL), 10, 1);
    ct_fill(ct_select(x, 0, 0), 2);
    EXPECT(ct_linear(x, w, NULL), 222, 1);
    ct_fill(ct_select(ct_select(z, 0, 1), 0, 2), 3);
    EXPECT(ct_linear(z, w, NULL), 10, 301);
    EXPECT(ct_linear(ct_mul_scalar(ct_one_hot_as(ct_argmax(z, 1, false), 3, CT_F64), 2), w, NULL),
           20, 200);
    end_scope(s);
}
END_TEST

enum { LATER_ROWS = 12, LATER_CLASSES = 3 };

static double later_index(int row)
{
    return row * 2 % LATER_CLASSES;
}

static void expect_hot(ct_tensor *hot)
{
    double *got = values_of(hot);
    int i;

    for (i = 0; i < LATER_ROWS * LATER_CLASSES; i++)
        ck_assert(got[i] == (later_index(i / LATER_CLASSES) == i % LATER_CLASSES));
    free(got);
}

static void *look(void *kept)
{
    ct_scope s = ct_scope_begin();

    expect_hot(kept);
    leave(s);
    return NULL;
}

/* The values of one-hot rows, and of a product with them, are computed at the first access. They
 * are the values at the time of the call, whichever handle or view is read first. */
START_TEST(values_put_off)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_empty(CT_SHAPE(LATER_ROWS), CT_I64, DEVICE), *x, *y, *z, *kept;
    ct_tensor *w = ct_from_data((double[]){ 1, 10, 100 }, CT_SHAPE(1, 3), CT_F64, DEVICE);
    pthread_t thread[4];
    ct_scope inner;
    int i;

    for (i = 0; i < LATER_ROWS; i++)
        ct_fill(ct_select(ids, 0, i), later_index(i));
    x = ct_one_hot_as(ids, LATER_CLASSES, CT_F64);
    y = ct_linear(x, w, NULL);
    z = ct_linear(x, w, ct_ones(CT_SHAPE(1), CT_F64, DEVICE));
    ct_fill(ids, 0);
    ct_fill(w, 7);
    EXPECT(ct_narrow(y, 0, 1, 2), 100, 10);
    EXPECT(ct_slice(z, 0, 0, 3, 1), 2, 101, 11);
    expect_hot(x);
    EXPECT(ct_select(ct_one_hot_as(ct_argmax(x, 1, false), LATER_CLASSES, CT_F64), 0, 1), 0, 0, 1);

    inner = ct_scope_begin(); /* kept after the scope of its indices has ended, and freed without an
                               * access */
    kept = ct_keep(ct_one_hot_as(ct_argmax(x, 1, false), LATER_CLASSES, CT_F64));
    ct_free(ct_keep(ct_linear(kept, w, NULL)));
    end_scope(inner);
    ct_fill(x, 5);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, look, kept), 0);
    for (i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    ct_free(kept);

    x = ct_one_hot_as(ct_argmax(ct_neg(z), 1, false), 1, CT_F32); /* written before the first
                                                                   * access */
    ct_fill(ct_select(x, 0, 2), 9);
    EXPECT(ct_narrow(x, 0, 1, 3), 1, 9, 1);
    ck_assert_int_eq(ct_numel(ct_one_hot(ct_zeros(CT_SHAPE(0), CT_I64, DEVICE), 4)), 0);
    end_scope(s);
}
END_TEST

void engine_history_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "versions");

    tcase_add_test(tc, a_saved_tensor_modified_later_is_an_error);
    tcase_add_test(tc, every_write_is_seen);
    tcase_add_test(tc, an_unsaved_tensor_may_be_modified);
    tcase_add_test(tc, in_place_writes_are_for_leaves_and_data);
    tc = harness_case(suite, "large");
    tcase_add_test(tc, a_chain_of_100000_nodes);
    tcase_add_test(tc, a_graph_100000_wide);
    tc = harness_pooled_case(suite, "pool");
    tcase_add_test(tc, the_gradient_of_select_touches_its_part);
    tcase_add_test(tc, gradients_add_up_in_place);
    tcase_add_test(tc, nodes_take_the_place_of_others);
    tc = harness_case(suite, "lifetimes");
    tcase_add_test(tc, history_of_an_ended_scope_cannot_leave);
    tcase_add_test(tc, an_inner_scope_extends_outer_history);
    tcase_add_test(tc, history_of_another_thread_is_an_error);
    tcase_add_test(tc, a_tensor_used_after_its_scope);
    tc = harness_case(suite, "one-hot");
    tcase_add_test(tc, linear_of_one_hot_equals_dense);
    tcase_add_test(tc, a_written_one_hot_forgets_its_indices);
    tcase_add_test(tc, values_put_off);
}
