/* SPDX-License-Identifier: MIT */
/* test_plan.c - planned steps have the bits of inference, functions that cannot be planned raise
 * errors, and a step allocates nothing, takes no lock and makes no system call. */
#include "tests/test_plan.h"

#include "tests/harness.h"
#include "tests/plan_models.h"

#include "nn/plan_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

/* ---- bits ---- */

/* Runs a plan of the model and the model itself for `steps` steps. All bits must be equal. */
static void compare_steps(plan_model *m, int steps)
{
    ct_generator g = ct_generator_from_seed(7);
    ct_state *begin, *kept;
    ct_plan_options o = plan_model_options(m, &begin);
    ct_plan *p = ct_plan_new_function(m->params, plan_model_step, m, o);

    ck_assert_msg(p != NULL, "%s: %s", m->what, ct_error_message());
    kept = begin ? ct_state_copy_new(begin) : NULL;
    for (int t = 0; t < steps; t++) {
        ct_scope s = ct_scope_begin_inference();
        ct_plan_call call = { .state = kept };
        size_t bytes;

        plan_model_draw(m, &g, ct_plan_input(p, 0));
        call.input[0] = ct_from_data(ct_plan_input(p, 0), o.shape[0], o.dtype[0], CT_CPU);
        ck_assert(plan_model_step(m, &call) == CT_OK);
        ck_assert(ct_plan_run(p) == CT_OK);
        bytes = (size_t)ct_numel(call.output[0]) * sizeof(float);
        ck_assert_int_eq(ct_plan_output_shape(p, 0).rank, ct_rank(call.output[0]));
        ck_assert_msg(memcmp(ct_data(ct_contiguous(call.output[0])), ct_plan_output(p, 0), bytes) ==
                          0,
                      "%s: step %d differs", m->what, t);
        if (kept)
            ct_state_carry(kept, call.next);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ct_plan_free(p);
    ct_state_free(begin);
    ct_state_free(kept);
}

START_TEST(bits_of_inference)
{
    int count = harness_count(24, 400);

    for (int i = 0; i < count; i++) {
        plan_model m = plan_model_new((uint64_t)i, i % 2 ? 1 : 0);

        ct_set_portable(i % 2 == 0);
        compare_steps(&m, 6);
        ct_set_portable(false);
        plan_model_free(&m);
    }
}
END_TEST

/* These ops read values to choose an algorithm when they are not recorded. */
static ct_tensor *variance_of_rows(ct_tensor *x)
{
    return ct_cat(2, (ct_tensor *[]){ ct_var_axis(x, 1, 1, true), ct_norm_axis(x, 2, 1, true) }, 1);
}

START_TEST(bits_of_statistics)
{
    ct_params *set = new_params(3, CT_F32);
    ct_plan *p = ct_plan_new(set, ct_nn_op(set, variance_of_rows), CT_SHAPE(3, 4), CT_F32);
    ct_scope s = ct_scope_begin_inference();
    float *x, v = 1;
    ct_tensor *y;

    ck_assert_msg(p != NULL, "%s", ct_error_message());
    x = ct_plan_input(p, 0);
    for (int i = 0; i < 12; i++, v *= -37)
        x[i] = i < 4 ? v * 1e-30f : v;
    y = variance_of_rows(ct_from_data(x, CT_SHAPE(3, 4), CT_F32, CT_CPU));
    ck_assert(ct_plan_run(p) == CT_OK);
    ck_assert(memcmp(ct_plan_output(p, 0), ct_data(ct_contiguous(y)), 24) == 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

/* A recurrence that begins with a computed state, and products. */
static ct_tensor *scans_of_rows(ct_tensor *x)
{
    const ct_linear_scan_options o = { .initial = ct_select(ct_mul_scalar(x, 2), 1, 0) };

    return ct_cat(2, (ct_tensor *[]){ ct_linear_scan(x, x, 1, o), ct_cumprod(x, 1) }, 1);
}

START_TEST(bits_of_scans)
{
    ct_params *set = new_params(3, CT_F32);
    ct_plan *p = ct_plan_new(set, ct_nn_op(set, scans_of_rows), CT_SHAPE(3, 4), CT_F32);
    ct_scope s = ct_scope_begin_inference();

    ck_assert_msg(p != NULL, "%s", ct_error_message());
    for (int run = 1; run < 3; run++) {
        float *x = ct_plan_input(p, 0);
        ct_tensor *y;

        for (int i = 0; i < 12; i++)
            x[i] = (float)(i + run) / 4;
        y = scans_of_rows(ct_from_data(x, CT_SHAPE(3, 4), CT_F32, CT_CPU));
        ck_assert(ct_plan_run(p) == CT_OK);
        ck_assert(memcmp(ct_plan_output(p, 0), ct_data(ct_contiguous(y)), 96) == 0);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

/* Runs a whole sequence in one call. */
static ct_status whole_sequence(void *r, ct_plan_call *call)
{
    call->output[0] = ct_recurrent_forward(r, call->input[0], NULL, NULL);
    return ct_error();
}

/* The directions of a layer, and stacked layers, which run at the same time. */
START_TEST(bits_of_a_sequence)
{
    const bool both = _i == 0;
    ct_params *set = new_params(3, CT_F32);
    ct_recurrent *r =
        ct_nn_gru(set, "rnn",
                  (ct_nn_gru_options){
                      .input_size = 5, .hidden_size = 9, .num_layers = 2, .bidirectional = both });
    ct_plan_options o = { .shape = { CT_SHAPE(80, 1, 5) } };
    ct_plan *p = ct_plan_new_function(set, whole_sequence, r, o);
    bool portable = p == NULL; /* without LIBXSMM, BLAS computes products of 80 rows */
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin_inference();
    ct_tensor *x, *y;

    if (portable) {
        expect_error(CT_ERR_ARGUMENT, "ct_plan_new_function", "BLAS");
        ct_set_portable(true);
        p = ct_plan_new_function(set, whole_sequence, r, o);
    }
    x = random_normal(&g, o.shape[0], CT_F32);
    ck_assert_msg(p != NULL, "%s", ct_error_message());
    y = ct_contiguous(ct_recurrent_forward(r, x, NULL, NULL));
    memcpy(ct_plan_input(p, 0), ct_data(x), 400 * sizeof(float));
    ck_assert(ct_plan_run(p) == CT_OK);
    ck_assert(memcmp(ct_plan_output(p, 0), ct_data(y), (size_t)ct_numel(y) * sizeof(float)) == 0);
    ck_assert_int_eq(ct_numel(y), both ? 80 * 18 : 80 * 9);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_set_portable(false);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

/* A plan keeps the precision in which its function ran. */
START_TEST(bits_in_bf16)
{
    ct_params *set = new_params(3, CT_F32);
    ct_recurrent *r =
        ct_nn_gru(set, "rnn", (ct_nn_gru_options){ .input_size = 5, .hidden_size = 17 });
    ct_plan_options o = { .shape = { CT_SHAPE(20, 4, 5) } };
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin_inference();
    ct_tensor *x = random_normal(&g, o.shape[0], CT_F32), *y, *full;
    ct_plan *p;

    full = ct_contiguous(ct_recurrent_forward(r, x, NULL, NULL));
    if (strcmp(ct_build_get_info().bf16, "AVX512-BF16") == 0) {
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
        p = ct_plan_new_function(set, whole_sequence, r, o);
        ck_assert_msg(p != NULL, "%s", ct_error_message());
        y = ct_contiguous(ct_recurrent_forward(r, x, NULL, NULL));
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_F32) == CT_OK);
        memcpy(ct_plan_input(p, 0), ct_data(x), 400 * sizeof(float));
        ck_assert(ct_plan_run(p) == CT_OK);
        ck_assert(memcmp(ct_plan_output(p, 0), ct_data(y), 80 * 17 * sizeof(float)) == 0);
        ck_assert(memcmp(ct_data(full), ct_data(y), 80 * 17 * sizeof(float)) != 0);
        ct_plan_free(p);
    } else {
        printf("bits_in_bf16: skipped, this processor or code path has no AVX512-BF16\n");
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

static ct_plan *small_plan(ct_params **set, ct_recurrent **r)
{
    *set = new_params(3, CT_F32);
    *r = ct_nn_lstm(*set, "rnn", (ct_nn_lstm_options){ .input_size = 3, .hidden_size = 4 });
    return ct_plan_new_step(*set, *r, 1);
}

static ct_status step_on_tokens(void *recurrent, ct_plan_call *call)
{
    call->output[0] =
        ct_recurrent_step(recurrent, ct_one_hot(call->input[0], 28), call->state, &call->next);
    return ct_error();
}

/* The step copies its tokens, and the product with their one-hot vectors must still become a table:
 * the plan has no product but those of the cell. */
START_TEST(tokens_are_looked_up)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_recurrent *r =
        ct_nn_lstm(params, "lstm", (ct_nn_lstm_options){ .input_size = 28, .hidden_size = 8 });
    ct_state *begin = ct_recurrent_begin_state(r, 1);
    ct_plan_options o = { .shape = { CT_SHAPE(1) }, .dtype = { CT_I32 }, .state = begin };
    ct_plan *p = ct_plan_new_function(params, step_on_tokens, r, o);
    int products = 0, rows = 0;

    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < p->program->call_count; i++) {
        products += p->program->calls[i].slot == CTI_CALL_gemm;
        rows += p->program->calls[i].slot == CTI_CALL_gather_rows;
    }
    ck_assert_int_eq(products, 0);
    ck_assert_int_eq(rows, 1);
    ct_plan_free(p);
    ct_state_free(begin);
    ct_params_free(params);
}
END_TEST

START_TEST(state_is_kept_set_and_reset)
{
    ct_params *set;
    ct_recurrent *r;
    ct_plan *p = small_plan(&set, &r);
    float first[4], second[4];
    ct_state *after;

    memcpy(ct_plan_input(p, 0), (float[]){ 1, 2, -1 }, 3 * sizeof(float));
    ck_assert(ct_plan_run(p) == CT_OK);
    memcpy(first, ct_plan_output(p, 0), sizeof first);
    after = ct_plan_state_new(p);
    ck_assert(ct_plan_run(p) == CT_OK);
    memcpy(second, ct_plan_output(p, 0), sizeof second);
    ck_assert(memcmp(first, second, sizeof first) != 0);
    ck_assert(ct_plan_set_state(p, after) == CT_OK && ct_plan_run(p) == CT_OK);
    ck_assert(memcmp(second, ct_plan_output(p, 0), sizeof second) == 0);
    ck_assert(ct_plan_reset(p) == CT_OK && ct_plan_run(p) == CT_OK);
    ck_assert(memcmp(first, ct_plan_output(p, 0), sizeof first) == 0);
    ck_assert(ct_plan_bytes(p) > 100 && ct_plan_bytes(p) < 100000);
    ck_assert(ct_plan_bytes(NULL) == 0);
    ct_state_free(after);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

/* The plan keeps the memory of the parameters alive. */
START_TEST(outlives_its_parameters)
{
    ct_params *set;
    ct_recurrent *r;
    ct_plan *p = small_plan(&set, &r);

    ct_params_free(set);
    ck_assert(ct_plan_run(p) == CT_OK);
    ct_plan_free(p);
}
END_TEST

/* ---- functions that cannot be planned ---- */

static ct_tensor *outside;

static ct_tensor *forward_reads(void *self, ct_tensor *x)
{
    (void)self;
    return ct_item(ct_sum(x)) > 0 ? x : ct_neg(x);
}

static ct_tensor *forward_data(void *self, ct_tensor *x)
{
    ct_tensor *y = ct_empty(ct_tensor_shape(x), CT_F32, CT_CPU);

    (void)self;
    memcpy(ct_mutable_data(y), ct_data(x), (size_t)ct_numel(x) * sizeof(float));
    return y;
}

static ct_tensor *forward_unwritten(void *self, ct_tensor *x)
{
    (void)self;
    return ct_add(x, ct_empty(ct_tensor_shape(x), CT_F32, CT_CPU));
}

static ct_tensor *forward_draws(void *self, ct_tensor *x)
{
    static ct_generator g;

    (void)self;
    ct_uniform_into(x, 0, 1, &g);
    return x;
}

static ct_tensor *forward_searches(void *self, ct_tensor *x)
{
    (void)self;
    return ct_cast(ct_searchsorted(x, x, false), CT_F32);
}

static ct_tensor *forward_outside(void *self, ct_tensor *x)
{
    (void)self;
    return ct_add(x, outside);
}

static ct_tensor *forward_writes(void *self, ct_tensor *x)
{
    ct_fill(ct_param_value(self), 1);
    return x;
}

static ct_tensor *forward_on_the_host(void *self, ct_tensor *x)
{
    (void)self;
    x = ct_cat(3, (ct_tensor *[]){ x, x, x }, 1);
    return ct_adaptive_avg_pool1d(ct_reshape(x, CT_SHAPE(1, 1, 6)), 4);
}

static ct_tensor *forward_counts(void *self, ct_tensor *x)
{
    static int count;

    (void)self;
    return ct_mul_scalar(x, count++);
}

START_TEST(what_cannot_be_planned)
{
    static const struct {
        ct_tensor *(*forward)(void *self, ct_tensor *x);
        const char *word;
    } table[] = {
        { forward_reads, "reads values" },
        { forward_data, "by their address" },
        { forward_unwritten, "no kernel has written" },
        { forward_draws, "random numbers" },
        { forward_searches, "searches" },
        { forward_outside, "neither an input" },
        { forward_writes, "writes a parameter" },
        { forward_on_the_host, "outside of kernels" },
        { forward_counts, "outside of kernels" },
    };
    ct_params *set = new_params(1, CT_F32);
    ct_param *param = ct_params_add(set, "w", CT_SHAPE(2), ct_init_constant(0));
    ct_scope s = ct_scope_begin_no_grad();

    outside = ct_ones(CT_SHAPE(1, 2), CT_F32, CT_CPU);
    for (int i = 0; i < LENGTH(table); i++) {
        ct_module *m = ct_nn_module(set, param, table[i].forward);

        ck_assert(ct_plan_new(set, m, CT_SHAPE(1, 2), CT_F32) == NULL);
        expect_error(CT_ERR_ARGUMENT, "ct_plan_new", table[i].word);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(bad_calls)
{
    ct_params *set;
    ct_recurrent *r;
    ct_plan *p = small_plan(&set, &r), *stateless;
    ct_module *m = ct_nn_op(set, ct_relu);
    ct_state *two = ct_recurrent_begin_state(r, 2);

    REFUSED(CT_ERR_INDEX, "ct_plan_input", "1 inputs", ct_plan_input(p, 1));
    REFUSED(CT_ERR_INDEX, "ct_plan_output", "1 outputs", ct_plan_output(p, -1));
    REFUSED(CT_ERR_SHAPE, "ct_plan_set_state", "tensor 0", ct_plan_set_state(p, two));
    stateless = ct_plan_new(set, m, CT_SHAPE(2), CT_F32);
    REFUSED(CT_ERR_ARGUMENT, "ct_plan_set_state", "no state", ct_plan_set_state(stateless, two));
    ck_assert(ct_plan_new_function(set, whole_sequence, r,
                                   (ct_plan_options){ .inputs = 9, .state = NULL }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_plan_new_function", "inputs is 9");
    ct_set_portable(true);
    ck_assert(ct_plan_run(p) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plan_run", "ct_set_portable");
    ct_set_portable(false);
    ck_assert(ct_plan_run(p) == CT_OK);
    ct_state_free(two);
    ct_plan_free(stateless);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

/* ct_plan_run raises an error for an index out of range, and the state is unchanged. */
START_TEST(index_out_of_range)
{
    ct_params *set = new_params(1, CT_F32);
    ct_module *e = ct_nn_embedding(set, "e", (ct_nn_embedding_options){ .rows = 5, .size = 3 });
    ct_plan *p = ct_plan_new(set, e, CT_SHAPE(2), CT_I64);
    int64_t *ids = ct_plan_input(p, 0);

    ids[1] = 5;
    ck_assert(ct_plan_run(p) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_plan_run", "out of range");
    ids[1] = 4;
    ck_assert(ct_plan_run(p) == CT_OK);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

static Suite *plan_suite(void)
{
    Suite *s = suite_create("plan");
    TCase *t = harness_case(s, "plan");

    tcase_set_timeout(t, 300);
    tcase_add_test(t, bits_of_inference);
    tcase_add_test(t, bits_of_statistics);
    tcase_add_test(t, bits_of_scans);
    tcase_add_loop_test(t, bits_of_a_sequence, 0, 2);
    tcase_add_test(t, bits_in_bf16);
    tcase_add_test(t, tokens_are_looked_up);
    tcase_add_test(t, state_is_kept_set_and_reset);
    tcase_add_test(t, outlives_its_parameters);
    tcase_add_test(t, what_cannot_be_planned);
    tcase_add_test(t, bad_calls);
    tcase_add_test(t, index_out_of_range);
    plan_promise_cases(s);
    return s;
}

int main(void)
{
    return harness_run(plan_suite());
}
