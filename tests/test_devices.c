/* SPDX-License-Identifier: MIT */
/* test_devices.c - compares a GPU with the CPU: every op of the tables with its gradients, modules,
 * optimisers, moves, loaders, faults, and the first ten losses of both protocols.
 *
 * The device is COTANGENT_TEST_DEVICE; if that is not set, cuda-emu, and also cuda if it exists. On
 * the emulated GPU each test runs with several seeds of the schedule and without the pool, so that
 * each tensor has separate memory. Tolerances: f64 1e-12, f32 1e-5. */
#include "tests/cases.h"
#include "tests/harness.h"
#include "tensor/internal.h"
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cotangent.h>

#include "tests/test_devices.h"

ct_device gpu; /* the device of the current test */

void choose_device(int i)
{
    static const char *const names[] = { "cuda-emu", "cuda" };
    const char *given = getenv("COTANGENT_TEST_DEVICE"), *name = names[i / SEEDS];
    char seed[16];

    snprintf(seed, sizeof seed, "%d", 1 + i % SEEDS);
    setenv("COTANGENT_EMU_SEED", seed, 1);
    setenv("COTANGENT_POOL", "0", 1);
    gpu = ct_device_from_name(given && *given ? given : name);
    ck_assert_msg(gpu > 0, "%s", ct_error_message());
}

static double tolerance_of(ct_dtype dtype)
{
    return dtype == CT_F64 ? 1e-12 : 1e-5;
}

/* Compares two tensors on the host. Elements may differ by the tolerance times 1 + the largest. */
static void compare(const char *what, ct_tensor *got, ct_tensor *want)
{
    double *a, *b, most = 0;
    int64_t i;

    ck_assert_msg(got && want, "%s: %s", what, ct_error_message());
    ck_assert_msg(cti_same_shape(&got->shape, &want->shape), "%s: %s, not %s", what,
                  cti_describe(got).s, cti_describe(want).s);
    a = values_of(got);
    b = values_of(want);
    for (i = 0; i < want->numel; i++)
        most = isfinite(b[i]) && fabs(b[i]) > most ? fabs(b[i]) : most;
    for (i = 0; i < want->numel; i++)
        if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])) ||
              fabs(a[i] - b[i]) <= tolerance_of(want->dtype) * (1 + most)))
            ck_abort_msg("%s: element %lld is %.17g, on the CPU %.17g", what, (long long)i, a[i],
                         b[i]);
    free(a);
    free(b);
}

/* ---- every op ---- */

/* Copies the inputs (on the CPU; reals are f64) to a device as leaves of dtype. */
static void leaves(const op_draw *d, ct_tensor *const *in, ct_dtype dtype, ct_device device,
                   ct_tensor **out)
{
    int k;

    for (k = 0; k < d->count; k++) {
        bool real = ct_tensor_dtype(in[k]) == CT_F64;
        ct_tensor *t = real ? ct_cast(ct_detach(in[k]), dtype) : in[k];

        if (d->in[k].same_as >= 0) {
            out[k] = out[d->in[k].same_as];
            continue;
        }
        t = ct_to(ct_contiguous(ct_detach(t)), device);
        out[k] =
            real && ct_tensor_requires_grad(in[k]) ? ct_set_requires_grad(ct_detach(t), true) : t;
    }
}

static void check_op(const op_row *row, int number, ct_dtype dtype)
{
    op_draw d = op_draw_call(row, number, 60);
    ct_generator g = ct_generator_stream(d.g, "output");
    ct_scope s = ct_scope_begin();
    ct_tensor *in[OP_INPUTS], *here[OP_INPUTS], *there[OP_INPUTS], *want, *got, *dy;
    char what[1200];
    int k;

    op_make_inputs(&d, in);
    leaves(&d, in, dtype, CT_CPU, here);
    leaves(&d, in, dtype, gpu, there);
    want = op_call(row, &d, here);
    got = op_call(row, &d, there);
    snprintf(what, sizeof what, "%s, %s", op_describe(row, number, &d), ct_dtype_name(dtype));
    compare(what, got, want);
    if (!row->no_gradient && want->requires_grad) {
        dy = ct_randn(want->shape, want->dtype, CT_CPU, &g);
        ck_assert_msg(ct_backward_with(want, dy) == CT_OK, "%s: %s", what, ct_error_message());
        ck_assert_msg(ct_backward_with(got, ct_to(dy, gpu)) == CT_OK, "%s: %s", what,
                      ct_error_message());
        for (k = 0; k < d.count; k++)
            if (here[k]->requires_grad && ct_tensor_grad(here[k])) {
                snprintf(what + strlen(what), 40, ", gradient %d", k);
                compare(what, ct_tensor_grad(there[k]), ct_tensor_grad(here[k]));
                what[strlen(what) - 12] = '\0';
            }
    }
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", what, ct_error_message());
}

START_TEST(every_op_gives_what_the_cpu_gives)
{
    int calls = harness_count(1, 80), t, r, n;

    choose_device(_i);
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (n = _i * calls; n < (_i + 1) * calls; n++) /* each seed gets other calls */
                check_op(&op_tables[t][r], n, (n + r) % 2 ? CT_F64 : CT_F32);
}
END_TEST

/* ---- modules ---- */

/* A recurrent module with its options and seed. */
typedef struct module_case {
    const char *name;
    ct_recurrent *(*make)(ct_params *set, const char *name, ct_nn_recurrent_options o);
    ct_nn_recurrent_options options;
} module_case;

/* Returns the sum of all results of forward with random weights, and adds its gradients to the set
 * and x. */
static ct_tensor *loss_of(ct_recurrent *r, ct_module *out, ct_tensor *x, ct_generator g)
{
    ct_state *next = NULL;
    ct_tensor *y = ct_recurrent_forward(r, x, NULL, &next), *w, *loss;
    ct_device device = ct_tensor_device(x);

    y = ct_forward(out, y);
    w = ct_randn(ct_tensor_shape(y), ct_tensor_dtype(y), CT_CPU, &g);
    loss = ct_sum(ct_mul(y, ct_to(w, device)));
    w = ct_randn(ct_tensor_shape(ct_state_get(next, 0)), ct_tensor_dtype(y), CT_CPU, &g);
    return ct_add(loss, ct_sum(ct_mul(ct_state_get(next, 0), ct_to(w, device))));
}

static void compare_gradients(const char *name, ct_params *there, ct_params *here)
{
    int k;

    ck_assert_int_eq(ct_params_count(there), ct_params_count(here));
    for (k = 0; k < ct_params_count(here); k++) {
        char what[160];
        ct_param *p = ct_params_at(here, k), *q = ct_params_at(there, k);

        snprintf(what, sizeof what, "%s, %s", name, ct_param_name(p));
        compare(what, ct_param_value(q), ct_param_value(p));
        if (ct_tensor_grad(ct_param_value(p)))
            compare(what, ct_tensor_grad(ct_param_value(q)), ct_tensor_grad(ct_param_value(p)));
    }
}

static void check_module(const module_case *c, ct_dtype dtype)
{
    ct_params *set[2];
    ct_tensor *loss[2], *x[2];
    ct_generator g = ct_generator_from_seed(3);
    ct_scope s = ct_scope_begin();
    char what[160];
    int k;

    x[0] = ct_set_requires_grad(ct_randn(CT_SHAPE(7, 3, 5), dtype, CT_CPU, &g), true);
    x[1] = ct_set_requires_grad(ct_to(ct_detach(x[0]), gpu), true);
    for (k = 0; k < 2; k++) {
        ct_recurrent *r;
        ct_module *out;

        set[k] = ct_params_new((ct_params_options){ .seed = 4, .dtype = dtype });
        r = c->make(set[k], "rnn", c->options);
        out = ct_nn_linear(set[k], "out", (ct_nn_linear_options){ .out_features = 4 });
        loss[k] = loss_of(r, out, x[0], g); /* materializes the parameters on the CPU */
        if (k == 1) {
            ck_assert(ct_params_to(set[1], gpu) == CT_OK);
            loss[1] = loss_of(r, out, x[1], g);
        }
        ck_assert_msg(ct_backward(loss[k]) == CT_OK, "%s: %s", c->name, ct_error_message());
    }
    snprintf(what, sizeof what, "%s, %s", c->name, ct_dtype_name(dtype));
    compare(what, loss[1], loss[0]);
    compare(what, ct_tensor_grad(x[1]), ct_tensor_grad(x[0]));
    compare_gradients(what, set[1], set[0]);
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", what, ct_error_message());
    ct_params_free(set[0]);
    ct_params_free(set[1]);
}

START_TEST(modules_give_what_the_cpu_gives)
{
    static const module_case cases[] = {
        { "rnn", ct_nn_rnn, { .hidden_size = 6 } },
        { "relu rnn", ct_nn_rnn, { .hidden_size = 33, .nonlinearity = CT_NONLINEARITY_RELU } },
        { "lstm", ct_nn_lstm, { .hidden_size = 6, .num_layers = 2 } },
        { "gru", ct_nn_gru, { .hidden_size = 6, .bidirectional = true } },
        { "lstm both ways", ct_nn_lstm, { .hidden_size = 31, .bidirectional = true } },
    };
    size_t i;

    choose_device(_i);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_module(&cases[i], CT_F64);
        check_module(&cases[i], CT_F32);
    }
}
END_TEST

/* ---- optimisers ---- */

/* Compares five steps from equal values with gradients that are equal functions of them. */
static void check_optimizer(const char *name, ct_optimizer *(*make)(ct_params *set), ct_dtype dtype)
{
    ct_params *set[2];
    int k, i;

    for (k = 0; k < 2; k++) {
        ct_device device = k ? gpu : CT_CPU;
        ct_optimizer *o;

        set[k] = ct_params_new((ct_params_options){ .seed = 8, .dtype = dtype });
        ct_params_add(set[k], "a", CT_SHAPE(31, 5), ct_init_normal(0, 1));
        ct_params_add(set[k], "b", CT_SHAPE(300), ct_init_normal(0, 1));
        o = make(set[k]);
        for (i = 0; i < 5; i++) {
            ct_scope s = ct_scope_begin();
            ct_tensor *a, *b;

            if (i == 2) /* the state moves too */
                ck_assert(ct_params_to(set[k], device) == CT_OK);
            a = ct_param_value(ct_params_get(set[k], "a"));
            b = ct_param_value(ct_params_get(set[k], "b"));
            ct_backward(ct_add(ct_sum(ct_square(ct_square(a))), ct_sum(ct_sin(b))));
            ct_clip_grad_norm(set[k], 5, NULL);
            ct_clip_grad_value(set[k], 1.5);
            ct_optimizer_step(o);
            ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", name, ct_error_message());
        }
        ct_optimizer_free(o);
    }
    {
        ct_scope s = ct_scope_begin();

        compare_gradients(name, set[1], set[0]);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ct_params_free(set[0]);
    ct_params_free(set[1]);
}

static ct_optimizer *sgd(ct_params *set)
{
    return ct_sgd_new(
        set,
        (ct_sgd_options){ .lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01 });
}

ct_optimizer *adam(ct_params *set)
{
    return ct_adam_new(set, (ct_adam_options){ .lr = 0.1, .amsgrad = true });
}

ct_optimizer *rmsprop(ct_params *set)
{
    return ct_rmsprop_new(set,
                          (ct_rmsprop_options){ .lr = 0.1, .momentum = 0.5, .centered = true });
}

static ct_optimizer *adagrad(ct_params *set)
{
    return ct_adagrad_new(set, (ct_adagrad_options){ .lr = 0.1 });
}

static ct_optimizer *adamax(ct_params *set)
{
    return ct_adamax_new(set, (ct_adamax_options){ .lr = 0.1, .weight_decay = 0.1 });
}

static ct_optimizer *adadelta(ct_params *set)
{
    return ct_adadelta_new(set, (ct_adadelta_options){ .lr = 0.5 });
}

ct_optimizer *nadam(ct_params *set)
{
    return ct_nadam_new(set, (ct_nadam_options){ .lr = 0.1, .momentum_decay = 0.1 });
}

ct_optimizer *radam(ct_params *set)
{
    return ct_radam_new(
        set, (ct_radam_options){
                 .lr = 0.1, .beta2 = 0.8, .weight_decay = 0.1, .decoupled_weight_decay = true });
}

ct_optimizer *lion(ct_params *set)
{
    return ct_lion_new(set, (ct_lion_options){ .lr = 0.01, .weight_decay = 0.1 });
}

START_TEST(optimisers_give_what_the_cpu_gives)
{
    static const struct {
        const char *name;
        ct_optimizer *(*make)(ct_params *set);
    } cases[] = {
        { "sgd", sgd },         { "adam", adam },     { "rmsprop", rmsprop },
        { "adagrad", adagrad }, { "adamax", adamax }, { "adadelta", adadelta },
        { "nadam", nadam },     { "radam", radam },   { "lion", lion },
    };
    size_t i;

    choose_device(_i);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_optimizer(cases[i].name, cases[i].make, CT_F64);
        check_optimizer(cases[i].name, cases[i].make, CT_F32);
    }
}
END_TEST

/* ---- both protocols ---- */

/* Computes ten losses of a protocol on a device. Returns the number of times that the host
 * waited. */
static uint64_t ten_losses(const protocol *p, ct_dtype dtype, ct_device device, double *losses)
{
    ct_text *text = ct_text_read(harness_source("data/sample.txt"));
    ct_corpus *corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    int64_t classes = ct_vocab_size(ct_corpus_vocab(corpus));
    ct_params *set =
        ct_params_new((ct_params_options){ .seed = 1, .dtype = dtype, .device = device });
    ct_recurrent *rnn = ct_nn_rnn(set, "rnn", (ct_nn_rnn_options){ .hidden_size = p->hidden });
    ct_module *linear =
        ct_nn_linear(set, "linear", (ct_nn_linear_options){ .out_features = classes });
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_loader *l =
        p->classic
            ? ct_loader_sequences_new(corpus, (ct_loader_sequences_options){ .batch_size = p->batch,
                                                                             .steps = p->steps,
                                                                             .device = device })
            : ct_loader_windows_new(corpus, (ct_loader_windows_options){ .batch_size = p->batch,
                                                                         .steps = p->steps,
                                                                         .count = 10000,
                                                                         .shuffle = true,
                                                                         .device = device });
    ct_state *state = NULL;
    ct_tensor *kept[10];
    uint64_t waited = 0;
    int i;

    ct_loader_begin(l);
    for (i = 0; i < 10; i++) {
        uint64_t before = ct_device_get_stats(device).synchronisations;
        ct_scope s = ct_scope_begin();
        ct_batch b;
        ct_state *next = NULL;
        ct_tensor *x, *y;

        if (!ct_loader_next(l, &b)) {
            ct_loader_begin(l);
            ck_assert(ct_loader_next(l, &b));
        }
        x = ct_one_hot_as(ct_transpose(b.x, 0, 1), classes, dtype);
        y = ct_recurrent_forward(rnn, x, b.continues ? state : NULL, p->classic ? &next : NULL);
        y = ct_transpose(ct_forward(linear, y), 0, 1);
        y = ct_cross_entropy(y, b.y);
        ct_backward(y);
        ct_clip_grad_norm(set, 1, NULL);
        ct_optimizer_step(o);
        if (p->classic && !state)
            state = ct_state_copy_new(next);
        else if (p->classic)
            ct_state_carry(state, next);
        kept[i] = ct_keep(y);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
        waited += ct_device_get_stats(device).synchronisations - before;
    }
    for (i = 0; i < 10; i++) {
        losses[i] = ct_item(kept[i]);
        ct_free(kept[i]);
    }
    expect_ok();
    ct_state_free(state);
    ct_loader_free(l);
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_corpus_free(corpus);
    ct_text_free(text);
    return waited;
}

START_TEST(protocols_give_the_cpu_s_first_ten_losses)
{
    const protocol *p = harness_full() ? whole : thin;
    const ct_dtype dtypes[] = { CT_F64, CT_F32 };
    double want[10], got[10];
    int k, d, i;

    choose_device(_i);
    for (k = 0; k < 2; k++)
        for (d = 0; d < 2; d++) {
            char what[80];

            ten_losses(&p[k], dtypes[d], CT_CPU, want);
            /* the training loop never waits for the device */
            ck_assert_int_eq(ten_losses(&p[k], dtypes[d], gpu, got), 0);
            for (i = 0; i < 10; i++) {
                snprintf(what, sizeof what, "%s, %s, loss %d", p[k].classic ? "classic" : "book",
                         ct_dtype_name(dtypes[d]), i);
                expect_close(what, got[i], want[i], tolerance_of(dtypes[d]) * (1 + want[i]));
            }
        }
}
END_TEST

/* ---- moves, loaders, faults ---- */

START_TEST(tensors_move_there_and_back)
{
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s;
    ct_tensor *x, *y, *back;

    choose_device(_i);
    s = ct_scope_begin();
    x = ct_set_requires_grad(ct_randn(CT_SHAPE(3, 5), CT_F64, CT_CPU, &g), true);
    y = ct_to(ct_transpose(x, 0, 1), gpu);
    ck_assert(ct_tensor_device(y) == gpu && ct_to(y, gpu) == y);
    back = ct_to(ct_square(y), CT_CPU);
    compare("squares", back, ct_square(ct_transpose(ct_detach(x), 0, 1)));
    ct_backward(ct_sum(back)); /* the gradient goes through both moves */
    compare("gradient", ct_tensor_grad(x), ct_mul_scalar(ct_detach(x), 2));
    ck_assert(ct_add(x, y) == NULL && ct_error() == CT_ERR_DEVICE);
    ct_error_clear();
    ck_assert(ct_data(y) == NULL && ct_error() == CT_ERR_DEVICE);
    ct_error_clear();
    ck_assert(ct_numel(ct_to(ct_zeros(CT_SHAPE(0, 4), CT_F32, CT_CPU), gpu)) == 0);
    expect_close("item", ct_item(ct_full(CT_SCALAR, 2.5, CT_F32, gpu)), 2.5, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A module, its input and its state must be on the same device. */
START_TEST(states_elsewhere_are_refused)
{
    ct_params *set;
    ct_recurrent *r;
    ct_state *here, *there, *kept, *mixed, *again, *next;
    ct_tensor *x, *y, *row;
    ct_scope s;

    choose_device(_i);
    s = ct_scope_begin();
    set = ct_params_new((ct_params_options){ .device = gpu });
    r = ct_nn_lstm(set, "rnn", (ct_nn_lstm_options){ .input_size = 2, .hidden_size = 3 });
    there = ct_recurrent_begin_state(r, 2);
    here = ct_state_to(there, CT_CPU);
    kept = ct_state_copy_new(here);
    mixed =
        ct_state_from_tensors(2, (ct_tensor *[]){ ct_state_get(there, 0), ct_state_get(here, 1) });
    x = ct_ones(CT_SHAPE(4, 2, 2), CT_F32, gpu);
    y = ct_to(x, CT_CPU);
    row = ct_ones(CT_SHAPE(2, 2), CT_F32, gpu);
    expect_ok();
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "state ... devices",
            ct_recurrent_forward(r, x, here, &next));
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "state ... devices",
            ct_recurrent_forward(r, x, mixed, &next));
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "state ... devices",
            ct_recurrent_forward(r, y, there, &next));
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "weight ... devices",
            ct_recurrent_forward(r, y, here, &next));
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_step", "state ... devices",
            ct_recurrent_step(r, row, here, &next));
    ct_set_fused_rnn(false);
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "weight ... devices",
            ct_recurrent_forward(r, y, here, &next));
    ct_set_fused_rnn(true);
    ck_assert_int_eq(ct_state_carry(there, here), CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_state_carry", "src ... devices");
    again =
        ct_state_from_tensors(2, (ct_tensor *[]){ ct_state_get(there, 0), ct_state_get(there, 1) });
    ck_assert_int_eq(ct_state_carry(kept, again), CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_state_carry", "src ... devices");
    REFUSED(CT_ERR_DEVICE, "ct_state_select_new", "indices ... devices",
            ct_state_select_new(there, ct_zeros(CT_SHAPE(1), CT_I64, CT_CPU)));
    ck_assert(ct_recurrent_forward(r, x, there, &next) != NULL);
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    ct_state_free(there);
    ct_state_free(kept);
    ct_params_free(set);
}
END_TEST

/* The batches are those of the CPU, although one batch is uploaded ahead, and kept batches do not
 * change. */
START_TEST(loaders_give_the_cpu_s_batches)
{
    ct_text *text = ct_text_read(harness_source("data/sample.txt"));
    ct_corpus *corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    ct_loader_windows_options o = { .batch_size = 5, .steps = 7, .count = 33, .shuffle = true };
    ct_loader *here = ct_loader_windows_new(corpus, o), *there;
    ct_scope s = ct_scope_begin();
    ct_batch a, b, kept[7];
    ct_tensor *first = NULL;
    int epoch, n = 0;

    choose_device(_i);
    o.device = gpu;
    there = ct_loader_windows_new(corpus, o);
    for (epoch = 0; epoch < 2; epoch++) {
        n = 0;
        ck_assert(ct_loader_begin(here) == CT_OK && ct_loader_begin(there) == CT_OK);
        while (ct_loader_next(here, &a)) {
            first = n ? first : a.x;
            ck_assert_msg(ct_loader_next(there, &b), "%s", ct_error_message());
            compare("x", b.x, a.x);
            compare("y", b.y, a.y);
            kept[n++] = b;
        }
        ck_assert(!ct_loader_next(there, &b) && ct_ok());
    }
    ck_assert_int_eq(n, 7);
    compare("one that was kept", kept[0].x, first);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_loader_free(here);
    ct_loader_free(there);
    ct_corpus_free(corpus);
    ct_text_free(text);
}
END_TEST

/* After a step with an index out of range nothing changes, and the next call that waits reports the
 * op and its place. */
START_TEST(a_fault_stops_all_updates)
{
    ct_params *set;
    ct_optimizer *o;
    ct_state *kept;
    ct_tensor *w, *first;
    ct_scope s, outer = ct_scope_begin();
    char place[64];
    int i;

    choose_device(_i);
    set = ct_params_new((ct_params_options){ .device = gpu });
    ct_params_add(set, "w", CT_SHAPE(3, 2), ct_init_constant(1));
    w = ct_param_value(ct_params_get(set, "w"));
    o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    kept = ct_state_new(1, (ct_tensor *[]){ ct_zeros(CT_SHAPE(1, 1, 1), CT_F32, gpu) });
    for (i = 0; i < 4; i++) {
        int32_t index[] = { 0, i < 2 ? 2 : 3 };
        ct_tensor *k, *y;

        s = ct_scope_begin();
        k = ct_from_data(index, CT_SHAPE(2), CT_I32, gpu);
        /* the place of the call on this line */
        /* clang-format off */
        y = ct_embedding(w, k); snprintf(place, sizeof place, "%s: ct_embedding: ", CT_HERE);
        /* clang-format on */
        ck_assert(y != NULL);
        ct_backward(ct_sum(y));
        ct_clip_grad_norm(set, 1, NULL);
        ct_optimizer_step(o);
        ct_state_carry(kept,
                       ct_state_from_tensors(
                           1, (ct_tensor *[]){ ct_full(CT_SHAPE(1, 1, 1), i + 1, CT_F32, gpu) }));
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
    ck_assert(isnan(ct_item(ct_sum(w))));
    ck_assert_msg(strncmp(ct_error_message(), place, strlen(place)) == 0, "%s", ct_error_message());
    ck_assert_msg(strstr(ct_error_message(), "index at position 1"), "%s", ct_error_message());
    ck_assert_int_eq(ct_error(), CT_ERR_INDEX);
    ct_error_clear();
    /* two good steps: each subtracted 1/2 from the four elements of rows 0 and 2, whose gradient
     * has norm 1 */
    first = ct_full(CT_SHAPE(3, 2), 1, CT_F32, CT_CPU);
    ct_fill(ct_select(first, 0, 0), 0);
    ct_fill(ct_select(first, 0, 2), 0);
    compare("parameters", w, first);
    expect_close("kept", ct_item(ct_state_get(kept, 0)), 2, 0);
    ck_assert(ct_device_synchronize(gpu) == CT_OK); /* it is reported once */
    ck_assert(ct_scope_end(outer) == CT_ERR_INDEX || ct_ok());
    ct_error_clear();
    ct_state_free(kept);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

START_TEST(other_faults_are_told)
{
    ct_scope s = ct_scope_begin();
    ct_params *set;
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *w;
    double norm;

    choose_device(_i);
    ck_assert(ct_cross_entropy(ct_zeros(CT_SHAPE(2, 3), CT_F32, gpu),
                               ct_full(CT_SHAPE(2), 7, CT_I32, gpu)) != NULL);
    ck_assert(ct_device_synchronize(gpu) == CT_ERR_INDEX);
    ct_error_clear();
    ck_assert(ct_multinomial(ct_full(CT_SHAPE(4), -1, CT_F32, gpu), 1, true, &g) != NULL);
    ck_assert(ct_device_synchronize(gpu) == CT_ERR_NUMERIC);
    ct_error_clear();
    set = ct_params_new((ct_params_options){ .device = gpu });
    w = ct_param_value(ct_params_add(set, "w", CT_SHAPE(3), ct_init_constant(1)));
    ct_backward(ct_sum(ct_mul_scalar(w, INFINITY)));
    ct_clip_grad_norm(set, 1, &norm); /* reads the norm, so the error is raised at once */
    ck_assert(isnan(norm) && ct_error() == CT_ERR_NUMERIC);
    ct_error_clear();
    ck_assert(ct_clip_grad_norm(set, 1, NULL) == CT_OK);
    ck_assert(ct_device_synchronize(gpu) == CT_ERR_NUMERIC);
    ct_error_clear();
    ck_assert(ct_device_synchronize(-1) == CT_ERR_DEVICE);
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
    ct_params_free(set);
}
END_TEST

/* The counters of a device: copies and their bytes, waits, buffers. */
START_TEST(counts_are_exact)
{
    static const float three[3] = { 1, 2, 3 };
    ct_scope s = ct_scope_begin();
    ct_device_stats a, b, c, d;
    ct_tensor *x;

    choose_device(_i);
    ct_item(ct_ones(CT_SCALAR, CT_F32, gpu)); /* the device has been started */
    a = ct_device_get_stats(gpu);
    x = ct_from_data(three, CT_SHAPE(3), CT_F32, gpu);
    b = ct_device_get_stats(gpu);
    x = ct_add(x, x);
    c = ct_device_get_stats(gpu);
    ck_assert(ct_to_host(x, (float[3]){ 0 }, 12) == CT_OK);
    d = ct_device_get_stats(gpu);
    ck_assert(b.uploads == a.uploads + 1 && b.upload_bytes == a.upload_bytes + 12);
    ck_assert(b.launches == a.launches && b.allocations == a.allocations + 1);
    ck_assert(c.launches == b.launches + 1 && c.allocations == b.allocations + 1);
    ck_assert(c.uploads == b.uploads && c.synchronisations == a.synchronisations);
    ck_assert(d.downloads == a.downloads + 1 && d.download_bytes == a.download_bytes + 12);
    ck_assert(d.synchronisations == c.synchronisations + 1 && d.launches == c.launches);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Tests the message about a missing device. The test program runs itself as a child, which only
 * opens the device. */
START_TEST(why_there_is_no_device)
{
    static const struct {
        const char *variable, *message;
    } cases[] = {
        { "COTANGENT_EMU_DEVICES=0",
          "*: ct_device_from_name: no emulated CUDA device: the driver finds no GPU" },
        { "COTANGENT_EMU_DRIVER=0",
          "*: ct_device_from_name: no emulated CUDA device: driver missing" },
        { "COTANGENT_EMU_DRIVER=11040",
          "*: ct_device_from_name: no emulated CUDA device: the driver is "
          "for CUDA 11.4, and too old" },
        { "COTANGENT_EMU_FAIL=1", "*: ct_device_from_name: no emulated CUDA device: unknown error "
                                  "(cudaErrorUnknown)" },
        { "COTANGENT_EMU_DEVICES=1", "1" },
        { "COTANGENT_EMU_DEVICES=99", "8" },
        { "COTANGENT_EMU_SEED=1 COTANGENT_EMU_DEVICES=2",
          "1024, 1024 on the other; *: ct_embedding: the index at position 0 is not in 0..1" },
    };
    char program[4096], command[5000], line[300] = "";
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    size_t k;

    choose_device(_i);
    if (_i % SEEDS || !harness_emulator(ct_device_name(gpu), "emu_fail"))
        return;
    ck_assert(n > 0);
    program[n] = '\0';
    for (k = 0; k < sizeof cases / sizeof *cases; k++) {
        FILE *f;

        snprintf(command, sizeof command, "%s '%s' %s", cases[k].variable, program, "cuda-emu");
        f = popen(command, "r");
        ck_assert(f && fgets(line, sizeof line, f));
        pclose(f);
        line[strcspn(line, "\n")] = '\0';
        ck_assert_msg(fnmatch(cases[k].message, line, 0) == 0, "%s: %s", cases[k].variable, line);
    }
}
END_TEST

/* ---- the program ---- */

/* True if a device of this kind exists. Checked in a child process, because a GPU that is opened
 * before a fork cannot be used after it, and an emulated one has read its seed. */
static bool is_there(const char *kind)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(ct_device_count(kind) > 0);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 1;
}

/* Returns the number of devices to test: the given one, or cuda-emu and cuda. */
static int devices(void)
{
    const char *given = getenv("COTANGENT_TEST_DEVICE");

    if (given && *given)
        return 1;
    return is_there("cuda-emu") ? 1 + is_there("cuda") : 0;
}

static ct_tensor *sum_rows(ct_device d)
{
    return ct_sum_axes(ct_ones(CT_SHAPE(2, 3), CT_F32, d), 1, (int[]){ 1 }, true);
}

/* Alternates products on two devices, each on its own stream. */
static void on_two_devices(void)
{
    const ct_device two[2] = { ct_device_from_name("cuda-emu"), ct_device_from_name("cuda-emu:1") };
    ct_tensor *sum[2];
    int k;

    ct_scope_begin(); /* open until the program ends; the harness does not check it, because this is
                       * not a test */
    for (k = 0; k < 2; k++) {
        ct_tensor *x = ct_ones(CT_SHAPE(8, 16), CT_F32, two[k]);

        sum[k] = ct_sum(ct_matmul(x, ct_transpose(x, 0, 1)));
    }
    printf("%g, %g on the other; ", ct_item(sum[0]), ct_item(sum[1]));
    /* a fault of one device is reported, also after work on the other one */
    ct_embedding(sum_rows(two[0]), ct_full(CT_SHAPE(1), 2, CT_I32, two[0]));
    for (k = 1; k >= 0; k--)
        sum[k] = sum_rows(two[k]);
    ct_device_synchronize(two[1]);
    ct_device_synchronize(two[0]);
    printf("%s\n", ct_error_message());
}

int main(int argc, char **argv)
{
    int rounds;
    Suite *suite;
    TCase *tc;

    if (argc > 1) { /* why_there_is_no_device */
        ct_error_set_handler(NULL, NULL);
        if (ct_device_from_name(argv[1]) < 0)
            printf("%s\n", ct_error_message());
        else if (ct_device_count(argv[1]) == 2)
            on_two_devices();
        else
            printf("%d\n", ct_device_count(argv[1]));
        return 0;
    }
    rounds = devices() * SEEDS;
    if (!rounds) {
        printf("skipped: there is no cuda-emu (built without CUDA's headers)\n");
        return 77;
    }
    suite = suite_create("devices");
    tc = harness_case(suite, "ops");
    tcase_add_loop_test(tc, every_op_gives_what_the_cpu_gives, 0, rounds);
    tc = harness_case(suite, "library");
    tcase_add_loop_test(tc, modules_give_what_the_cpu_gives, 0, rounds);
    tcase_add_loop_test(tc, optimisers_give_what_the_cpu_gives, 0, rounds);
    tcase_add_loop_test(tc, protocols_give_the_cpu_s_first_ten_losses, 0, rounds);
    tcase_add_loop_test(tc, tensors_move_there_and_back, 0, rounds);
    tcase_add_loop_test(tc, states_elsewhere_are_refused, 0, rounds);
    tcase_add_loop_test(tc, loaders_give_the_cpu_s_batches, 0, rounds);
    tcase_add_loop_test(tc, a_fault_stops_all_updates, 0, rounds);
    tcase_add_loop_test(tc, other_faults_are_told, 0, rounds);
    tcase_add_loop_test(tc, counts_are_exact, 0, rounds);
    tcase_add_loop_test(tc, why_there_is_no_device, 0, rounds);
    devices_captured_cases(suite, rounds);
    devices_threads_cases(suite, rounds);
    harness_pooled = true;
    return harness_run(suite);
}
