/* SPDX-License-Identifier: MIT */
/* plugin_moves.c - ops, sets, states and files on another device, and moves between devices. */
#include "tests/cases.h"
#include "tests/files.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_plugin.h"

/* ---- every op on another device: the same kernels, so the same bits ---- */

/* What may differ: this loss always multiplies rows on a device that is asynchronous, because the sizes
 * are not there to be read (autograd/ops/statistics.c), and divides them one by one. */
static double device_tolerance(const op_row *row)
{
    return strcmp(row->name, "ct_cosine_embedding_loss") == 0 ? 1e-12 : 0;
}

static void expect_same_on(const char *what, ct_tensor *got, ct_tensor *want, ct_device d,
                           double tolerance)
{
    ck_assert_msg(got && ct_tensor_device(got) == d, "%s: %s", what, ct_error_message());
    ck_assert_msg(got->dtype == want->dtype, "%s: another dtype", what);
    expect_same(what, got, want, tolerance);
}

/* Copies the inputs to device d. */
static void move_inputs(const op_draw *o, ct_tensor *const *in, ct_device d, ct_tensor **there)
{
    int k;

    for (k = 0; k < o->count; k++) {
        if (o->in[k].same_as >= 0)
            there[k] = there[o->in[k].same_as];
        else
            there[k] = ct_to(ct_detach(in[k]), d);
        if (in[k]->requires_grad)
            ct_set_requires_grad(there[k], true);
    }
}

/* True if the message names the op, or the function of which it is a part. */
static bool told_by(const char *op)
{
    const char *message = ct_error_message(), *function = strstr(message, ": ct_");

    function = function ? function + 2 : message; /* the message of an op that is called through a
                                                   * pointer has no place */
    return strncmp(op, function, strcspn(function, ":")) == 0;
}

static void check_op(const op_row *row, int number, ct_device d)
{
    op_draw o = op_draw_call(row, number, 24);
    ct_scope s = ct_scope_begin();
    ct_tensor *here[OP_INPUTS], *there[OP_INPUTS], *want, *got;
    const char *what = op_describe(row, number, &o);
    int k;

    o.strided = false; /* strided copies would be made on the CPU */
    op_make_inputs(&o, here);
    move_inputs(&o, here, d, there);
    want = op_call(row, &o, here);
    got = op_call(row, &o, there);
    if (got && got->device == CT_CPU && o.count == 0) { /* an op without inputs */
        ck_assert(ct_scope_end(s) == CT_OK);
        return;
    }
    expect_same_on(what, got, want, d, device_tolerance(row));
    if (!row->no_gradient && want->requires_grad) {
        ct_generator g = ct_generator_from_seed(5);
        ct_tensor *dy = ct_randn(want->shape, want->dtype, CT_CPU, &g);

        ck_assert_msg(ct_backward_with(want, dy) == CT_OK && got->requires_grad &&
                          ct_backward_with(got, ct_to(dy, got->device)) == CT_OK,
                      "%s: %s", what, ct_error_message());
        for (k = 0; k < o.count; k++)
            if (ct_tensor_grad(here[k]))
                expect_same_on(what, ct_tensor_grad(there[k]), ct_tensor_grad(here[k]), d,
                               device_tolerance(row));
    }
    /* an input on another device is refused */
    for (k = 1; k < o.count; k++) {
        if (o.in[k].same_as >= 0 || o.in[k].unused)
            continue;
        got = there[k];
        there[k] = here[k];
        ck_assert_msg(op_call(row, &o, there) == NULL && ct_error() == CT_ERR_DEVICE &&
                          told_by(row->name),
                      "%s, input %d elsewhere: %s", what, k, ct_error_message());
        ct_error_clear();
        there[k] = got;
    }
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", what, ct_error_message());
}

START_TEST(every_op)
{
    ct_device d;
    int t, r, n;

    given.devices = 2;
    d = ct_device_from_name("cuda:1");
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (n = 0; n < harness_count(8, 60); n++)
                check_op(&op_tables[t][r], n, d);
}
END_TEST

/* A set moves as a whole, with its gradients, to a device and back, or it does not change. */
START_TEST(sets_move)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 }), *other;
    ct_tensor *w, *b, *frozen, *dw;
    double value[6], grad[6], now[6];
    ct_device d;
    bool done = false;
    int k, failed = 0;

    given.devices = 2;
    d = ct_device_from_name("cuda:1");
    ct_params_add(set, "w", CT_SHAPE(2, 3), ct_init_normal(0, 1));
    ct_params_add(set, "frozen", CT_SHAPE(2), ct_init_constant(4));
    ct_params_add_buffer(set, "buffer", CT_SHAPE(3), ct_init_constant(5));
    ct_params_add(set, "open", CT_SHAPE(-1), ct_init_constant(6));
    ct_params_add(set, "b", CT_SHAPE(3), ct_init_normal(0, 1));
    ct_params_freeze(set, "frozen", true);
    w = ct_param_value(ct_params_get(set, "w"));
    b = ct_param_value(ct_params_get(set, "b"));
    frozen = ct_param_value(ct_params_get(set, "frozen"));
    ck_assert(ct_backward(ct_sum(ct_square(ct_add(w, ct_mul_scalar(b, 2))))) == CT_OK);
    dw = ct_cast(w, CT_F64);
    ck_assert(ct_to_host(dw, value, sizeof value) == CT_OK);
    ck_assert(ct_to_host(ct_cast(ct_tensor_grad(w), CT_F64), grad, sizeof grad) == CT_OK);

    ck_assert(ct_params_to(set, 17) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_params_to", "device 17");
    for (k = 1; !done; k++) { /* all or nothing */
        ct_status got;
        ct_device now;

        fail_allocations_from(k);
        got = ct_params_to(set, d);
        done = allocations_seen < k;
        fail_nothing();
        now = got == CT_OK ? d : CT_CPU;
        failed += got != CT_OK;
        ck_assert(got == CT_OK || got == CT_ERR_MEMORY);
        ct_error_clear();
        ck_assert(ct_params_device(set) == now && w->device == now && b->device == now &&
                  ct_tensor_grad(w)->device == now && ct_tensor_grad(b)->device == now);
        ck_assert(done || ct_params_to(set, CT_CPU) == CT_OK);
    }
    ck_assert_int_gt(failed, 6);
    ck_assert(ct_params_device(set) == d && w->device == d && b->device == d &&
              frozen->device == d && ct_tensor_grad(w)->device == d &&
              ct_tensor_grad(b)->device == d);
    ck_assert(ct_params_to(set, d) == CT_OK);
    ck_assert(ct_to_host(ct_cast(w, CT_F64), now, sizeof now) == CT_OK);
    ck_assert_mem_eq(now, value, sizeof value);
    ck_assert(ct_to_host(ct_cast(ct_tensor_grad(w), CT_F64), now, sizeof now) == CT_OK);
    ck_assert_mem_eq(now, grad, sizeof grad);
    ck_assert(ct_param_materialize(ct_params_get(set, "open"), CT_SHAPE(2)) == CT_OK);
    ck_assert(ct_param_value(ct_params_get(set, "open"))->device == d);
    ck_assert(ct_backward(ct_sum(ct_mul(ct_transpose(w, 0, 1), frozen))) == CT_OK);
    ck_assert(ct_params_to(ct_params_sub(set, "part"), CT_CPU) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_to", "moved");
    ck_assert(ct_params_to(set, CT_CPU) == CT_OK);
    ck_assert(w->device == CT_CPU && ct_tensor_grad(w)->device == CT_CPU);
    expect_close("gradient", ct_item(ct_select(ct_select(ct_tensor_grad(w), 0, 1), 0, 2)),
                 (double)((float)grad[5] + 4), 1e-6);
    b = ct_sum(ct_square(w)); /* backward through existing history sees that the values have
                               * changed */
    ck_assert(ct_params_to(set, d) == CT_OK);
    ck_assert(ct_backward(b) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_square", "modified");
    ck_assert(ct_params_to(set, CT_CPU) == CT_OK);
    other = ct_params_new((ct_params_options){ .seed = 1, .device = d });
    ct_params_add(other, "w", CT_SHAPE(2, 3), ct_init_normal(0, 1));
    ck_assert(ct_params_device(other) == d);
    ck_assert(ct_param_value(ct_params_get(other, "w"))->device == d);
    ct_params_free(other);
    ct_params_free(set);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A backward function or a hook that returns a gradient on another device. */
static ct_tensor *carry_off(ct_tensor *gradient, void *context)
{
    (void)context;
    return ct_to(gradient, CT_CPU);
}

START_TEST(hooks_stay)
{
    ct_device d = ct_device_from_name("cuda");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F64, d), true), *y = ct_square(x);

    ct_register_hook(y, carry_off, NULL, NULL);
    ck_assert(ct_backward(ct_sum(y)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_square", "returned");
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- between devices, to files and back ---- */

/* Copies x's values to device d in one of several ways; NULL with an error. */
static ct_tensor *move_it(ct_tensor *x, ct_device d)
{
    return (ct_to)(x, d);
}

static ct_tensor *by_npy(ct_tensor *x, ct_device d)
{
    return ct_npy_write("x.npy", x) == CT_OK ? ct_npy_read("x.npy", d) : NULL;
}

static ct_tensor *by_safetensors(ct_tensor *x, ct_device d)
{
    ct_safetensors *f;
    ct_tensor *y = NULL;

    if (ct_safetensors_write("x", 1, (const char *const[]){ "x" }, &x, NULL) == CT_OK) {
        f = ct_safetensors_open("x");
        y = f ? ct_safetensors_load(f, 0, d) : NULL;
        ct_safetensors_close(f);
    }
    return y;
}

static ct_tensor *by_state(ct_tensor *x, ct_device d)
{
    ct_tensor *two[2] = { x, x };
    ct_state *s = ct_state_to(ct_state_from_tensors(2, two), d);

    if (!s)
        return NULL;
    ck_assert_int_eq(ct_state_count(s), 2);
    return ct_state_get(s, 1);
}

static ct_tensor *with_gradient(ct_tensor *x, ct_device d)
{
    ct_tensor *leaf = ct_set_requires_grad(ct_clone(x), true), *y = ct_to(leaf, d), *g;

    if (!y || ct_backward_with(y, ct_mul_scalar(ct_detach(y), 2)) != CT_OK)
        return NULL;
    g = ct_tensor_grad(leaf);
    ck_assert(!g || ct_tensor_device(g) == ct_tensor_device(x));
    return ct_to(ct_mul_scalar(g, 0.5), d);
}

static const struct way {
    const char *name;
    ct_tensor *(*go)(ct_tensor *x, ct_device d);
    bool floats;
} ways[] = {
    { "ct_to", move_it, false },         { "NPY", by_npy, false },
    { "a state", by_state, false },      { "safetensors", by_safetensors, false },
    { "backward", with_gradient, true },
};

static void expect_moved(const struct way *w, ct_tensor *y, ct_device d, const double *want)
{
    double *v;
    int i;

    ck_assert_msg(y && ct_tensor_device(y) == d, "%s: %s", w->name, ct_error_message());
    v = values_of(ct_cast(ct_to(y, CT_CPU), CT_F64));
    for (i = 0; i < 6; i++)
        expect_close(w->name, v[i], want[i], 0);
    free(v);
}

/* Moves each kind of tensor, also strided ones, between any two of three devices; also with each
 * allocation failing in turn, and with a fault during the move. */
START_TEST(goes_anywhere)
{
    static const double values[6] = { 1, 0, 0, 1, 1, 0 }, turned[6] = { 1, 1, 0, 1, 0, 0 };
    static const ct_dtype dtypes[] = { CT_F32, CT_BOOL, CT_I64 };
    const struct way *w = &ways[_i];
    ct_device from, to;
    size_t k;

    given.devices = 2;
    ck_assert_int_eq(ct_device_from_name("cuda:1"), 2);
    for (from = 0; from < 3; from++)
        for (to = 0; to < 3; to++)
            for (k = 0; k < (w->floats ? 1 : 3); k++) {
                ct_scope s = ct_scope_begin();
                ct_tensor *x, *y;
                bool done = k != 0 || from == to || from + to == 2;
                int fail;

                x = ct_to(ct_cast(ct_from_data(values, CT_SHAPE(2, 3), CT_F64, CT_CPU), dtypes[k]),
                          from);
                expect_moved(w, w->go(x, to), to, values);
                expect_moved(w, w->go(ct_transpose(x, 0, 1), to), to, turned);
                y = w->floats ? NULL : w->go(ct_narrow(x, 0, 0, 0), to);
                ck_assert_msg(w->floats || (y && ct_numel(y) == 0 && ct_tensor_device(y) == to),
                              "%s", ct_error_message());
                for (fail = 1; !done; fail++) {
                    fail_allocation(fail);
                    y = w->go(ct_transpose(x, 0, 1), to);
                    done = allocations_seen < fail;
                    fail_nothing();
                    ck_assert_msg(y ? ct_ok() : ct_error() == CT_ERR_MEMORY, "%s, failure %d: %s",
                                  w->name, fail, ct_error_message());
                    ct_error_clear();
                    if (y)
                        expect_moved(w, y, to, turned);
                }
                ck_assert_msg(ct_scope_end(s) == CT_OK || ct_ok(), "%s", ct_error_message());
            }
    if (w->go == move_it || w->go == by_npy)
        for (from = 1; from < 3; from++) {
            ct_scope s = ct_scope_begin();
            ct_tensor *x = ct_ones(CT_SHAPE(2), CT_F32, from);
            cti_fault f = cti_fault_at(from, CTI_FAULT_INDEX, "ct_some", 9);

            let_fault(CT_ERR_INDEX, f.ticket, 5);
            ck_assert_ptr_null(w->go(x, from == 1 ? 2 : CT_CPU));
            expect_error(CT_ERR_INDEX, "ct_some", "index at position 5");
            ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
        }
}
END_TEST

START_TEST(printed)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ct_device d = ct_device_from_name("cuda");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2), CT_F32, d);

    ct_print(x, f);
    let_fault(CT_ERR_INDEX, 7, 5);
    ct_print(x, f);
    expect_error(CT_ERR_INDEX, "ct_print", "earlier ... range");
    fail_allocation(1);
    ct_print(x, f);
    fail_nothing();
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    fclose(f);
    ck_assert_str_eq(text, "f32[2] cuda [1, 1]\nf32[2] cuda\nf32[2] cuda\n");
    free(text);
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());

    given.devices = 3; /* the emulated ones */
    f = open_memstream(&text, &size);
    ct_build_print(f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "\ndevices: cpu cuda cuda-emu cuda-emu:1 cuda-emu:2\n"));
    free(text);
}
END_TEST

/* Modules and losses refuse arguments on different devices. */
START_TEST(modules_on_one_device)
{
    ct_device d = ct_device_from_name("cuda");
    ct_params *set = ct_params_new((ct_params_options){ .device = d });
    ct_recurrent *r = ct_nn_lstm(set, "r", (ct_nn_lstm_options){ .hidden_size = 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, d), *y = ct_ones(CT_SHAPE(2), CT_I64, d);
    ct_tensor *there = ct_zeros(CT_SHAPE(1, 1, 2), CT_F32, d), *row = ct_unsqueeze(x, 1);
    ct_tensor *here = ct_zeros(CT_SHAPE(1, 1, 2), CT_F32, CT_CPU), *both[2] = { there, here };
    ct_tensor *x_here = ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU), *w = ct_select(x_here, 0, 0);
    ct_cross_entropy_options weight = { .weight = w };

    ck_assert_ptr_nonnull(ct_recurrent_forward(r, row, NULL, NULL));
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "state ... devices",
            ct_recurrent_forward(r, row, ct_state_from_tensors(2, both), NULL));
    REFUSED(CT_ERR_DEVICE, "ct_cross_entropy", "targets ... devices", ct_cross_entropy(x_here, y));
    REFUSED(CT_ERR_DEVICE, "ct_cross_entropy", "targets ... devices", ct_cross_entropy(x, x_here));
    REFUSED(CT_ERR_DEVICE, "ct_cross_entropy_with", "weight ... devices",
            ct_cross_entropy_with(x, y, weight));
    REFUSED(CT_ERR_DEVICE, "ct_nll_loss", "weight ... devices", ct_nll_loss(x, y, weight));
    REFUSED(CT_ERR_DEVICE, "ct_mse_loss", "target ... devices",
            ct_mse_loss(x, x_here, CT_REDUCTION_MEAN));
    REFUSED(CT_ERR_DEVICE, "ct_bce_with_logits", "pos_weight ... devices",
            ct_bce_with_logits(x, x, (ct_bce_options){ .pos_weight = w }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* A tensor on a device is written to a file and read back, also with failing allocations: one (0),
 * or one and all later ones (1). */
START_TEST(files_without_memory)
{
    int k, done = 0;

    for (k = 1; !done; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_full(CT_SHAPE(3), 2, CT_F32, ct_device_from_name("cuda")), *y = NULL;
        ct_safetensors *f = NULL;
        const char *name = "a";

        ct_memory_trim();
        (_i ? fail_allocations_from : fail_allocation)(k);
        if (ct_npy_write("x", x) == CT_OK)
            y = ct_npy_read("x", ct_tensor_device(x));
        ck_assert((y != NULL) == (ct_ok() != 0));
        if (y && ct_safetensors_write("y", 1, &name, &y, NULL) == CT_OK)
            f = ct_safetensors_open("y");
        y = f ? ct_safetensors_load(f, 0, ct_tensor_device(x)) : NULL;
        done = allocations_seen < k;
        fail_nothing();
        ck_assert((y != NULL) == (ct_ok() != 0) && (!_i || done == (ct_ok() != 0)));
        ck_assert_msg(y || ct_error() == CT_ERR_MEMORY, "request %d: %s", k, ct_error_message());
        if (y)
            expect_values("y", y, (double[]){ 2, 2, 2 }, 3, 0);
        ct_safetensors_close(f);
        ct_error_clear();
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ck_assert_int_gt(k, 15);
}
END_TEST

void plugin_moves_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "names");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_checked_fixture(tc, plugin_setup, NULL);
    tcase_add_test(tc, every_op);
    tcase_add_test(tc, sets_move);
    tcase_add_test(tc, hooks_stay);
    tcase_add_loop_test(tc, goes_anywhere, 0, LENGTH(ways));
    tcase_add_test(tc, printed);
    tcase_add_test(tc, modules_on_one_device);
    tcase_add_loop_test(tc, files_without_memory, 0, 2);
}
