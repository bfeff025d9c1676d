/* SPDX-License-Identifier: MIT */
/* test_handles.c - dead tensors and states, NULL values, owners, and scopes for inference.
 *
 * Includes <cotangent.h>, as a program does: messages name the FILE:LINE of a call, and of the call that
 * ended a handle. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tests/harness.h"
#include "tests/test_handles.h"

/* ---- helpers ---- */

void expect_dead_at(const char *file, const char *front, int line, const char *function)
{
    const char *message = ct_error_message(), *rest = strstr(message, front);
    char place[200];

    ck_assert_msg(ct_error() == CT_ERR_SCOPE && rest, "expected %s, got %s \"%s\"", front,
                  ct_status_name(ct_error()), message);
    snprintf(place, sizeof place, "%s:%d: %s", file, line, function);
    ck_assert_msg(strstr(rest + strlen(front), place) != NULL, "%s is not in \"%s\"", place,
                  message);
    ct_error_clear();
}

static ct_recurrent *gru_of(ct_params *set)
{
    return ct_nn_gru(set, "g", (ct_nn_gru_options){ .hidden_size = 3, .input_size = 4 });
}

void make_others(ct_recurrent *g, int count)
{
    ct_scope s = ct_scope_begin();
    int i;

    for (i = 0; i < count; i++) {
        ct_tensor *x = ct_full(CT_SHAPE(2), i, CT_F32, CT_CPU);

        ck_assert(x && ct_state_from_tensors(1, &x));
    }
    if (g)
        ck_assert(ct_recurrent_forward(g, ct_ones(CT_SHAPE(2, 2, 4), CT_F32, CT_CPU), NULL, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* ---- dead tensors ---- */

/* A program that adds up losses over steps in one tensor, as total_loss += loss in PyTorch. */
START_TEST(total_over_steps)
{
    ct_tensor *total = NULL;
    int line = 0, step;

    for (step = 0; step < 2; step++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *loss = ct_full(CT_SCALAR, 1, CT_F32, CT_CPU);

        total = total ? ct_add(total, loss) : loss;
        ck_assert(!total == (step == 1));
        if (step == 1)
            expect_dead("ct_add: a is a dead tensor: its scope ended at ", line, "ct_scope_end");
        line = __LINE__ + 1;
        ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
        make_others(NULL, 300);
    }
    ck_assert(isnan(ct_item(total)));
    expect_error(CT_ERR_ARGUMENT, "ct_item", "t is NULL");
}
END_TEST

/* Compares a complete message. */
START_TEST(message_of_a_dead_tensor)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), *k = ct_keep(t);
    char want[400];
    int died, used;

    died = __LINE__ + 1;
    ck_assert(ct_scope_end(s) == CT_OK);
    used = __LINE__ + 1;
    ck_assert(ct_tanh(t) == NULL);
    snprintf(
        want, sizeof want,
        "%s:%d: ct_tanh: x is a dead tensor: its scope ended at %s:%d: ct_scope_end; use ct_keep "
        "or ct_scope_return to keep a value",
        __FILE__, used, __FILE__, died);
    ck_assert_msg(strcmp(ct_error_message(), want) == 0, "%s\n%s", ct_error_message(), want);
    ct_error_clear();

    died = __LINE__ + 1;
    ct_free(k);
    used = __LINE__ + 1;
    ck_assert(ct_fill(k, 1) == CT_ERR_SCOPE);
    snprintf(want, sizeof want,
             "%s:%d: ct_fill: t is a dead tensor: it was freed at %s:%d: ct_free", __FILE__, used,
             __FILE__, died);
    ck_assert_msg(strcmp(ct_error_message(), want) == 0, "%s\n%s", ct_error_message(), want);
    ct_error_clear();
}
END_TEST

/* Functions that accept NULL also raise an error for a dead tensor, and return the same as for
 * NULL. */
START_TEST(access_to_a_dead_tensor)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(3, 2), CT_F64, CT_CPU), *out;
    float buffer[6];
    int line;

    line = __LINE__ + 1;
    ck_assert(ct_scope_end(s) == CT_OK);
    make_others(NULL, 300);
#define DEAD(function, call)                                                                       \
    do {                                                                                           \
        ck_assert_msg(call, "%s", #call);                                                          \
        expect_dead(function ": t is a dead tensor: its scope ended at ", line, "ct_scope_end");   \
    } while (0)
    DEAD("ct_rank", ct_rank(t) == 0);
    DEAD("ct_size", ct_size(t, 0) == 0);
    DEAD("ct_numel", ct_numel(t) == 0);
    DEAD("ct_tensor_shape", ct_tensor_shape(t).rank == 0);
    DEAD("ct_tensor_dtype", ct_tensor_dtype(t) == CT_F32);
    DEAD("ct_tensor_device", ct_tensor_device(t) == CT_CPU);
    DEAD("ct_is_contiguous", !ct_is_contiguous(t));
    DEAD("ct_stride", ct_stride(t, 0) == 0);
    DEAD("ct_tensor_requires_grad", !ct_tensor_requires_grad(t));
    DEAD("ct_item", isnan(ct_item(t)));
    DEAD("ct_data", ct_data(t) == NULL);
    DEAD("ct_mutable_data", ct_mutable_data(t) == NULL);
    DEAD("ct_to_host", ct_to_host(t, buffer, sizeof buffer) == CT_ERR_SCOPE);
    DEAD("ct_fill", ct_fill(t, 0) == CT_ERR_SCOPE);
    DEAD("ct_copy_into", ct_copy_into(t, t) == CT_ERR_SCOPE);
    DEAD("ct_keep", ct_keep(t) == NULL);
    DEAD("ct_detach", ct_detach(t) == NULL);
    DEAD("ct_set_requires_grad", ct_set_requires_grad(t, true) == NULL);
    DEAD("ct_register_hook", ct_register_hook(t, NULL, NULL, NULL) == CT_ERR_SCOPE);
    DEAD("ct_free", (ct_free(t), true));
    ct_print(t, stdout);
    expect_dead("ct_print: t is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ct_tensor_grad(t);
    expect_dead("ct_tensor_grad: leaf is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ct_tensor_zero_grad(t);
    expect_dead("ct_tensor_zero_grad: leaf is a dead tensor: its scope ended at ", line,
                "ct_scope_end");
    ct_backward(t);
    expect_dead("ct_backward: loss is a dead tensor: its scope ended at ", line, "ct_scope_end");
    s = ct_scope_begin();
    ck_assert(ct_scope_return(s, t, &out) == CT_ERR_ARGUMENT || !out); /* no enclosing scope */
    ct_error_clear();
#undef DEAD
}
END_TEST

/* Arrays, options and the arguments of ct_grad. */
START_TEST(dead_tensors_in_arrays)
{
    ct_scope outer = ct_scope_begin(), s = ct_scope_begin();
    ct_tensor *dead = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), *parts[3], *g, *out;
    ct_tensor *x, *y, *logits, *targets;
    int line;

    line = __LINE__ + 1;
    ck_assert(ct_scope_end(s) == CT_OK);
    x = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true);
    y = ct_sum(ct_square(x));
    parts[0] = parts[1] = x;
    parts[2] = dead;
    ck_assert(ct_cat(3, parts, 0) == NULL);
    expect_dead("ct_cat: parts[2] is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ck_assert(ct_stack(3, parts, 0) == NULL);
    expect_dead("ct_stack: parts[2] is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ck_assert(ct_state_from_tensors(3, parts) == NULL);
    expect_dead("ct_state_from_tensors: tensors[2] is a dead tensor: its scope ended at ", line,
                "ct_scope_end");
    ck_assert(ct_grad(1, &y, 1, &dead, NULL, false, &g) == CT_ERR_SCOPE && !g);
    expect_dead("ct_grad: inputs[0] is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ck_assert(ct_grad(1, &dead, 1, &x, NULL, false, &g) == CT_ERR_SCOPE && !g);
    expect_dead("ct_grad: outputs[0] is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ck_assert(ct_grad(1, &y, 1, &x, &dead, false, &g) == CT_ERR_SCOPE && !g);
    expect_dead("ct_grad: the gradient is a dead tensor: its scope ended at ", line,
                "ct_scope_end");
    ck_assert(ct_backward_with(y, dead) == CT_ERR_SCOPE);
    expect_dead("ct_backward_with: the gradient is a dead tensor: its scope ended at ", line,
                "ct_scope_end");
    logits = ct_ones(CT_SHAPE(1, 2), CT_F32, CT_CPU);
    targets = ct_zeros(CT_SHAPE(1), CT_I64, CT_CPU);
    ck_assert(ct_cross_entropy_with(logits, targets,
                                    (ct_cross_entropy_options){ .weight = dead }) == NULL);
    expect_dead("ct_cross_entropy_with: weight is a dead tensor: its scope ended at ", line,
                "ct_scope_end");
    ck_assert(ct_linear(logits, ct_ones(CT_SHAPE(2, 2), CT_F32, CT_CPU), dead) == NULL);
    expect_dead("ct_linear: bias is a dead tensor: its scope ended at ", line, "ct_scope_end");
    s = ct_scope_begin();
    ck_assert(ct_scope_return(s, dead, &out) == CT_ERR_SCOPE && !out);
    expect_dead("ct_scope_return: t is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ck_assert(ct_scope_end(outer) == CT_OK || ct_ok());
}
END_TEST

static ct_tensor *return_dead(ct_tensor *gradient, void *context)
{
    (void)gradient;
    return *(ct_tensor **)context;
}

static ct_tensor *steal(ct_tensor *gradient, void *context)
{
    *(ct_tensor **)context = gradient;
    return NULL;
}

/* A hook's gradient ends with the call, and a hook may not return a dead tensor. */
START_TEST(hooks_and_dead_tensors)
{
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *dead = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), *stolen = NULL, *x, *h;

    ck_assert(ct_scope_end(inner) == CT_OK);
    x = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true);
    h = ct_square(x);
    ck_assert(ct_register_hook(h, steal, &stolen, NULL) == CT_OK);
    ck_assert(ct_backward(ct_sum(ct_square(h))) == CT_OK && stolen);
    ck_assert(ct_neg(stolen) == NULL);
    ck_assert_int_eq(ct_error(), CT_ERR_SCOPE);
    ck_assert_msg(strstr(ct_error_message(), "x is a dead tensor: its scope ended at ") != NULL,
                  "%s", ct_error_message());
    ct_error_clear();
    ck_assert(ct_register_hook(h, return_dead, &dead, NULL) == CT_OK);
    ck_assert(ct_backward(ct_sum(h)) == CT_ERR_SCOPE);
    ck_assert_msg(strstr(ct_error_message(), "what a hook returned is a dead tensor") != NULL, "%s",
                  ct_error_message());
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

/* ct_scope_return ends the other tensors of the scope. */
START_TEST(ended_by_return)
{
    ct_scope outer = ct_scope_begin(), s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), *other = ct_neg(t), *out;
    int line;

    line = __LINE__ + 1;
    ck_assert(ct_scope_return(s, t, &out) == CT_OK && out == t);
    ck_assert(ct_item(ct_sum(t)) == 2);
    ck_assert(ct_neg(other) == NULL);
    expect_dead("ct_neg: x is a dead tensor: its scope ended at ", line, "ct_scope_return");
    ck_assert(ct_scope_end(outer) == CT_OK || ct_ok());
}
END_TEST

/* ---- dead states ---- */

/* state = next, as in PyTorch without detach. */
START_TEST(next_state_over_windows)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 });
    ct_recurrent *g = gru_of(set);
    ct_state *state = NULL;
    int line = 0, window;

    for (window = 0; window < 2; window++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_ones(CT_SHAPE(2, 2, 4), CT_F32, CT_CPU);
        ct_tensor *y = ct_recurrent_forward(g, x, state, &state);

        ck_assert(!y == (window == 1));
        if (window == 1)
            expect_dead("ct_recurrent_forward: state is a dead state: its scope ended at ", line,
                        "ct_scope_end");
        line = __LINE__ + 1;
        ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
        make_others(g, 300);
    }
    ct_params_free(set);
}
END_TEST

#define DEAD_STATE(call, function, name, how, where)                                               \
    do {                                                                                           \
        ck_assert_msg(call, "%s", #call);                                                          \
        expect_dead(function ": " name " is a dead state: " how " at ", line, where);              \
    } while (0)

START_TEST(dead_states)
{
    ct_scope outer = ct_scope_begin(), s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(1, 2, 3), CT_F32, CT_CPU), *rows;
    ct_state *dead = ct_state_from_tensors(1, &t), *kept = ct_state_copy_new(dead), *freed;
    int line;

    line = __LINE__ + 1;
    ck_assert(ct_scope_end(s) == CT_OK);
    make_others(NULL, 300);
    rows = ct_zeros(CT_SHAPE(1), CT_I64, CT_CPU);
    DEAD_STATE(ct_state_count(dead) == 0, "ct_state_count", "s", "its scope ended", "ct_scope_end");
    DEAD_STATE(ct_state_get(dead, 0) == NULL, "ct_state_get", "s", "its scope ended",
               "ct_scope_end");
    DEAD_STATE(ct_state_detach(dead) == NULL, "ct_state_detach", "s", "its scope ended",
               "ct_scope_end");
    DEAD_STATE(ct_state_copy_new(dead) == NULL, "ct_state_copy_new", "s", "its scope ended",
               "ct_scope_end");
    DEAD_STATE(ct_state_to(dead, CT_CPU) == NULL, "ct_state_to", "s", "its scope ended",
               "ct_scope_end");
    DEAD_STATE(ct_state_select_new(dead, rows) == NULL, "ct_state_select_new", "s",
               "its scope ended", "ct_scope_end");
    DEAD_STATE(ct_state_carry(kept, dead) == CT_ERR_SCOPE, "ct_state_carry", "next",
               "its scope ended", "ct_scope_end");
    DEAD_STATE((ct_state_free(dead), true), "ct_state_free", "s", "its scope ended",
               "ct_scope_end");

    freed = kept;
    t = ct_state_get(kept, 0);
    line = __LINE__ + 1;
    ct_state_free(kept);
    DEAD_STATE(ct_state_zero(freed) == CT_ERR_SCOPE, "ct_state_zero", "kept", "it was freed",
               "ct_state_free");
    DEAD_STATE(ct_state_get(freed, 0) == NULL, "ct_state_get", "s", "it was freed",
               "ct_state_free");
    DEAD_STATE((ct_state_free(freed), true), "ct_state_free", "s", "it was freed", "ct_state_free");
    ck_assert(ct_neg(t) == NULL);
    expect_dead("ct_neg: x is a dead tensor: it was freed at ", line, "ct_state_free");
    ck_assert(ct_scope_end(outer) == CT_OK || ct_ok());
}
END_TEST

/* A state may outlive a tensor from which it was made. It refers to the handle, so the dead tensor
 * is recognised however many others have died since. */
START_TEST(state_of_freed_tensors)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *kept = ct_keep(ct_ones(CT_SHAPE(1, 2, 3), CT_F32, CT_CPU));
    ct_state *state = ct_state_from_tensors(1, &kept);
    int line;

    line = __LINE__ + 1;
    ct_free(kept);
    harness_fill_handles();
    harness_fill_handles();
    ck_assert(ct_state_copy_new(state) == NULL);
    expect_dead("ct_state_copy_new: s's tensor[0] is a dead tensor: it was freed at ", line,
                "ct_free");
    ck_assert(ct_neg(ct_state_get(state, 0)) == NULL);
    expect_dead("ct_neg: x is a dead tensor: it was freed at ", line, "ct_free");
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

/* ---- reuse ---- */

/* More than 4,096 tensors must die before the memory of a dead tensor is reused. */
START_TEST(queue_wraps_around)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *old;
    int made, died_at;
    bool again = false;

    harness_fill_handles();
    {
        ct_scope inner = ct_scope_begin();

        old = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
        died_at = __LINE__ + 1;
        ck_assert(ct_scope_end(inner) == CT_OK);
    }
    for (made = 0; made < 3 * CTI_HANDLES_WAIT && !again; made++) {
        ct_scope inner = ct_scope_begin();

        if (made == CTI_HANDLES_WAIT) {
            ck_assert(ct_neg(old) == NULL);
            expect_dead("ct_neg: x is a dead tensor: its scope ended at ", died_at, "ct_scope_end");
        }
        again = ct_zeros(CT_SHAPE(3), CT_F32, CT_CPU) == old;
        ck_assert(ct_scope_end(inner) == CT_OK || ct_ok());
    }
    ck_assert_msg(again, "it was never used again");
    ck_assert_int_gt(made, CTI_HANDLES_WAIT);
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

static void wish_unique(void)
{
    setenv("COTANGENT_HANDLES", "unique", 1);
}

START_TEST(unique_handles)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *old = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    ct_state *state = ct_state_from_tensors(1, &old);
    int line, i;

    line = __LINE__ + 1;
    ck_assert(ct_scope_end(s) == CT_OK);
    for (i = 0; i < 40; i++)
        make_others(NULL, 1000);
    ck_assert(ct_numel(old) == 0);
    expect_dead("ct_numel: t is a dead tensor: its scope ended at ", line, "ct_scope_end");
    ck_assert(ct_state_get(state, 0) == NULL);
    expect_dead("ct_state_get: s is a dead state: its scope ended at ", line, "ct_scope_end");
}
END_TEST

/* ---- memory ---- */

cti_memory_table memory_before;
long memory_calls, memory_fails_from = -1;

void *counted_allocate(size_t alignment, size_t bytes)
{
    memory_calls++;
    if (memory_fails_from >= 0 && memory_calls >= memory_fails_from)
        return NULL;
    return memory_before.allocate(alignment, bytes);
}

/* Runs on a new thread, which has no unused handles yet. */
static void *slab_fails(void *unused)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *one = ct_ones(CT_SCALAR, CT_F32, CT_CPU), *none = one, *view[200];
    ct_state *state = NULL;
    int i;

    cti_memory_calls.allocate = counted_allocate;
    memory_fails_from = 0;
    for (i = 0; i < 200 && none; i++) /* views need a handle and no buffer */
        none = view[i] = ct_detach(one);
    ck_assert_msg(!none && i < 70, "%d handles without memory", i);
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ck_assert_msg(strstr(ct_error_message(), "ct_detach: out of memory (") != NULL, "%s",
                  ct_error_message());
    ct_error_clear();
    ck_assert(ct_state_from_tensors(1, &one) == NULL);
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    memory_fails_from = -1;
    state = ct_state_from_tensors(1, &one);
    ck_assert(ct_item(ct_state_get(state, 0)) == 1 && ct_item(ct_detach(one)) == 1);
    cti_memory_calls = memory_before;
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
    return unused;
}

START_TEST(a_slab_without_memory)
{
    memory_before = cti_memory_calls;
    harness_on_thread(slab_fails, NULL);
}
END_TEST

/* ---- other objects of a scope ---- */

START_TEST(memory_of_a_scope)
{
    size_t live = ct_memory_get_stats().live_bytes;
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    uint64_t asked;
    char *a, *b;
    int i;

    a = cti_scope_alloc("f", 0);
    b = cti_scope_alloc("f", 1000);
    ck_assert(a && b && a != b && (uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0);
    memset(b, 7, 1000);
    ck_assert_uint_gt(ct_memory_get_stats().live_bytes, live + 1000);
    ck_assert(ct_scope_begin().id != 0); /* a scope that is not ended */
    ck_assert(cti_scope_alloc("f", 50) != NULL);
    harness_forgets = true;
    ck_assert(ct_scope_end(inner) == CT_OK);
    harness_forgets = false;
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live);
    asked = ct_memory_get_stats().system_allocations;
    for (i = 0; i < 10; i++) {
        inner = ct_scope_begin();
        ck_assert(cti_scope_alloc("f", 1000) != NULL);
        ck_assert(ct_scope_end(inner) == CT_OK);
    }
    ck_assert_uint_eq(ct_memory_get_stats().system_allocations, asked);
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(cti_scope_alloc("f", 8) == NULL);
    expect_error(CT_ERR_SCOPE, "f", "no scope is open on this thread");
    s = ct_scope_begin();
    ck_assert(cti_scope_alloc("f", SIZE_MAX) == NULL);
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

/* ---- owners ---- */

/* ct_free refuses tensors that the caller does not own. */
START_TEST(what_is_not_the_callers)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 });
    ct_module *linear = ct_nn_linear(
        set, "lin", (ct_nn_linear_options){ .in_features = 4, .out_features = 4, .no_bias = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *weight = ct_param_value(ct_params_at(set, 0)), *t, *mine;
    ct_state *state;
    double before = ct_item(ct_sum(weight));

    ct_free(weight);
    expect_error(CT_ERR_SCOPE, "ct_free", "t f32[4,4]");
    mine = ct_full(CT_SHAPE(4, 4), 7, CT_F32, CT_CPU);
    ck_assert(ct_param_value(ct_params_at(set, 0)) == weight && mine != weight);
    ck_assert(ct_item(ct_sum(weight)) == before);
    ck_assert(ct_forward(linear, ct_ones(CT_SHAPE(1, 4), CT_F32, CT_CPU)) != NULL);
    ct_free(mine);
    expect_error(CT_ERR_SCOPE, "ct_free", "t f32[4,4]");
    t = ct_ones(CT_SHAPE(1, 1, 2), CT_F32, CT_CPU);
    state = ct_state_new(1, &t);
    ct_free(ct_state_get(state, 0));
    expect_error(CT_ERR_SCOPE, "ct_free", "t f32[1,1,2]");
    ck_assert(ct_item(ct_sum(ct_state_get(state, 0))) == 2);
    ct_state_free(state);
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
    ct_params_free(set);
    ck_assert(ct_numel(weight) == 0);
    expect_dead("ct_numel: t is a dead tensor: it was freed at ", __LINE__ - 2, "ct_params_free");
}
END_TEST

/* ---- NULL values ---- */

/* A misspelt parameter, a module that was never made, and a gradient that does not exist. */
START_TEST(missing_values_in_a_step)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 });
    ct_module *linear =
        ct_nn_linear(set, "lin", (ct_nn_linear_options){ .in_features = 8, .out_features = 3 });
    ct_module *forgotten = NULL;
    ct_optimizer *sgd = ct_sgd_new(set, (ct_sgd_options){ .lr = 0.1 });
    static const char *const said[][2] = { { "ct_param_value", "p is NULL" },
                                           { "ct_forward", "m is NULL" },
                                           { "ct_sum", "x is NULL" } };
    double norm = -1;
    int kind;

    for (kind = 0; kind < 3; kind++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_ones(CT_SHAPE(4, 8), CT_F32, CT_CPU), *y, *loss;
        ct_tensor *weight = ct_param_value(ct_params_get(set, "lin.weight"));

        if (kind == 0)
            y = ct_linear(x, ct_param_value(ct_params_get(set, "lin.wieght")), NULL);
        else if (kind == 1)
            y = ct_forward(forgotten, x);
        else
            y = ct_mul(ct_forward(linear, x), ct_sum(ct_tensor_grad(weight)));
        loss = ct_mean(ct_square(y));
        ck_assert(ct_backward(loss) == CT_ERR_ARGUMENT);
        ck_assert(ct_clip_grad_norm(set, 1, &norm) == CT_ERR_ARGUMENT);
        ck_assert(ct_optimizer_step(sgd) == CT_ERR_ARGUMENT);
        ck_assert(isnan(ct_item(loss)));
        ck_assert(ct_scope_end(s) == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, said[kind][0], said[kind][1]);
    }
    ct_optimizer_free(sgd);
    ct_params_free(set);
}
END_TEST

START_TEST(missing_values_in_inference)
{
    ct_scope s = ct_scope_begin_inference();
    ct_tensor *x = ct_ones(CT_SHAPE(1, 8), CT_F32, CT_CPU), *y;
    float out[3] = { -1, -1, -1 };

    y = ct_forward(NULL, x);
    ck_assert(ct_to_host(y, out, sizeof out) == CT_ERR_ARGUMENT);
    ck_assert(ct_scope_end(s) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_forward", "m is NULL");
    s = ct_scope_begin_inference();
    ck_assert(isnan(ct_item(ct_sum(ct_forward(NULL, x)))));
    ck_assert(ct_scope_end(s) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_forward", "m is NULL");
}
END_TEST

/* After an error, a NULL raises nothing, so a scope that begins then returns no error. */
START_TEST(missing_values_after_an_error)
{
    ct_scope outer = ct_scope_begin(), s;

    ck_assert(ct_zeros(CT_SHAPE(-1), CT_F32, CT_CPU) == NULL);
    s = ct_scope_begin();
    ck_assert(ct_add(ct_tanh(NULL), NULL) == NULL);
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(ct_error() == CT_ERR_SHAPE);
    ck_assert(ct_scope_end(outer) == CT_ERR_SHAPE);
    ct_error_clear();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handles");
    TCase *tc;
    tc = harness_case(suite, "tensors");
    tcase_add_test(tc, total_over_steps);
    tcase_add_test(tc, message_of_a_dead_tensor);
    tcase_add_test(tc, access_to_a_dead_tensor);
    tcase_add_test(tc, dead_tensors_in_arrays);
    tcase_add_test(tc, hooks_and_dead_tensors);
    tcase_add_test(tc, ended_by_return);
    tc = harness_case(suite, "states");
    tcase_add_test(tc, next_state_over_windows);
    tcase_add_test(tc, dead_states);
    tcase_add_test(tc, state_of_freed_tensors);
    tc = harness_case(suite, "reuse");
    tcase_add_test(tc, queue_wraps_around);
    tc = tcase_create("unique");
    tcase_add_checked_fixture(tc, wish_unique, NULL);
    tcase_add_checked_fixture(tc, harness_setup, harness_teardown);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, unique_handles);
    tc = harness_pooled_case(suite, "memory");
    tcase_add_test(tc, a_slab_without_memory);
    tcase_add_test(tc, memory_of_a_scope);
    tc = harness_case(suite, "owners");
    tcase_add_test(tc, what_is_not_the_callers);
    tc = harness_case(suite, "missing");
    tcase_add_test(tc, missing_values_in_a_step);
    tcase_add_test(tc, missing_values_in_inference);
    tcase_add_test(tc, missing_values_after_an_error);
    handles_threads_cases(suite);
    return harness_run(suite);
}
