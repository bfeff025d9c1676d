/* test_devices.c - the library on a GPU against the library on the CPU: every op of the tables with
 * its gradients, modules, optimisers, moves, loaders, faults, and both protocols' first ten losses.
 *
 * The device is COTANGENT_TEST_DEVICE, else cuda-emu, and cuda too where there is one. On the
 * emulated one each test runs under several seeds of its schedule, without the pool of buffers, so
 * that each tensor's memory is its own. f64 within 1e-12, f32 within 1e-5. */
#include "tests/cases.h"
#include "tests/harness.h"

#include "cuda/emu/report.h"
#include "tensor/internal.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cotangent.h>

#define SEEDS 3

static ct_device gpu; /* of the test that runs */

/* Test number i: on which device, under which seed. */
static void choose_device(int i)
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

/* Both on the host; got's elements are want's, within the tolerance times 1 + the largest. */
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

/* in (on the CPU, f64 where it is real) as leaves of dtype on a device */
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
            for (n = _i * calls; n < (_i + 1) * calls; n++) /* other calls under other seeds */
                check_op(&op_tables[t][r], n, (n + r) % 2 ? CT_F64 : CT_F32);
}
END_TEST

/* ---- modules ---- */

/* What a module makes of x and its state, under a seed of its own. */
typedef struct module_case {
    const char *name;
    ct_recurrent *(*make)(ct_params *set, const char *name, ct_nn_recurrent_options o);
    ct_nn_recurrent_options options;
} module_case;

/* A sum of all that forward gives, weighted at random, and its gradients into the set and x. */
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
        loss[k] = loss_of(r, out, x[0], g); /* settles it on the CPU */
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

/* Five steps from the same values on gradients that are the same functions of them. */
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

static ct_optimizer *adam(ct_params *set)
{
    return ct_adam_new(set, (ct_adam_options){ .lr = 0.1, .amsgrad = true });
}

static ct_optimizer *rmsprop(ct_params *set)
{
    return ct_rmsprop_new(set,
                          (ct_rmsprop_options){ .lr = 0.1, .momentum = 0.5, .centered = true });
}

static ct_optimizer *adagrad(ct_params *set)
{
    return ct_adagrad_new(set, (ct_adagrad_options){ .lr = 0.1 });
}

START_TEST(optimisers_give_what_the_cpu_gives)
{
    static const struct {
        const char *name;
        ct_optimizer *(*make)(ct_params *set);
    } cases[] = {
        { "sgd", sgd },
        { "adam", adam },
        { "rmsprop", rmsprop },
        { "adagrad", adagrad },
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

typedef struct protocol {
    bool classic;
    int64_t batch, steps, hidden;
} protocol;

static const protocol thin[] = { { false, 64, 9, 16 }, { true, 8, 11, 32 } };
static const protocol whole[] = { { false, 1024, 32, 32 }, { true, 32, 35, 256 } };

/* Ten losses of one protocol on a device, and how often the host waited while it made them. */
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
            /* nothing in the loop waits for the device */
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
    ct_backward(ct_sum(back)); /* through both moves */
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

/* A module, its input and its state are on one device. */
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

/* Batches are the CPU's, though one is always on its way, and stay what they are if kept. */
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

/* A step on an index out of range: nothing moves from then on, and whoever waits learns which op
 * it was and where it was called. */
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
    /* two good steps: each took 1/2 from the four elements of rows 0 and 2, a norm of 1 in all */
    first = ct_full(CT_SHAPE(3, 2), 1, CT_F32, CT_CPU);
    ct_fill(ct_select(first, 0, 0), 0);
    ct_fill(ct_select(first, 0, 2), 0);
    compare("parameters", w, first);
    expect_close("kept", ct_item(ct_state_get(kept, 0)), 2, 0);
    ck_assert(ct_device_synchronize(gpu) == CT_OK); /* it is told once */
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
    ct_clip_grad_norm(set, 1, &norm); /* asks for the norm: told at once */
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

/* What a device counts: copies with their bytes, waits, buffers. */
START_TEST(counts_are_exact)
{
    static const float three[3] = { 1, 2, 3 };
    ct_scope s = ct_scope_begin();
    ct_device_stats a, b, c, d;
    ct_tensor *x;

    choose_device(_i);
    ct_item(ct_ones(CT_SCALAR, CT_F32, gpu)); /* it has begun */
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

/* Why there is no device, as a program is told: this one, which then does nothing but ask. */
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

/* ---- captured steps ---- */

typedef struct job {
    ct_params *set;
    ct_recurrent *rnn;
    ct_module *linear;
    ct_optimizer *o;
    ct_tensor *x, *y, *loss; /* what a step reads and writes */
    ct_state *state;         /* NULL: none is carried */
    int64_t classes;
    int calls;
    bool scheduled, draws;
    ct_generator g;
    ct_tensor *drawn;
    /* what a step may not do, done at a call of this number */
    enum { NOTHING, READ, SEND, DRAW, KEEP, LEAVE_GRADIENTS, NEST, RAISE, GROW, LOAD } misdeed;
    int at;
    ct_tensor *kept;
    struct ct_capture *self;
} job;

static const char *const file_of_two = "test_devices.npy";

static void misbehave(job *j, ct_tensor *loss)
{
    static const float two[2] = { 1, 2 };
    ct_generator g = ct_generator_from_seed(1);

    if (j->misdeed == READ)
        ct_item(loss);
    if (j->misdeed == SEND)
        ct_from_data(two, CT_SHAPE(2), CT_F32, gpu);
    if (j->misdeed == DRAW)
        ct_dropout(loss, 0.5, &g);
    if (j->misdeed == LOAD)
        ct_npy_read(file_of_two, gpu);
    if (j->misdeed == KEEP)
        j->kept = ct_keep(ct_add_scalar(ct_detach(loss), 1));
    if (j->misdeed == NEST)
        ct_capture_run(j->self);
    if (j->misdeed == RAISE)
        ct_raise(CT_ERR_ARGUMENT, "step", "enough");
    if (j->misdeed == GROW)
        ct_zeros(CT_SHAPE(1 << 20), CT_F32, gpu);
}

static bool drop_two(void *context, int given, ct_tensor *const *x, int outputs, ct_tensor **y)
{
    job *j = context;

    (void)given, (void)outputs;
    y[0] = ct_dropout(ct_dropout(x[0], 0.1, &j->g), 0.2, &j->g);
    return y[0] != NULL;
}

/* x changed by all that draws, by a segment that is run again, and by a sample. */
static ct_tensor *shaken(job *j, ct_tensor *x)
{
    ct_tensor *u = ct_rand(ct_tensor_shape(x), ct_tensor_dtype(x), gpu, &j->g);
    ct_tensor *sample = ct_multinomial(ct_exp(ct_detach(ct_select(x, 0, 0))), 3, false, &j->g);
    ct_tensor *y;

    x = ct_add(x,
               ct_randn(ct_tensor_shape(x), ct_tensor_dtype(x), gpu, ct_params_generator(j->set)));
    x = ct_mul(ct_dropout(x, 0.3, &j->g), u);
    ct_activation_checkpoint(drop_two, j, &j->g, 1, &x, 1, &y);
    ct_copy_into(j->drawn, ct_sum(ct_cast(sample, CT_F64)));
    return ct_add(y, ct_cast(j->drawn, ct_tensor_dtype(x)));
}

static void job_step(void *context)
{
    job *j = context;
    ct_state *next = NULL;
    ct_tensor *x = ct_one_hot_as(ct_transpose(j->x, 0, 1), j->classes, ct_params_dtype(j->set));
    ct_tensor *y = ct_recurrent_forward(j->rnn, j->draws ? shaken(j, x) : x, j->state,
                                        j->state ? &next : NULL);
    ct_tensor *loss = ct_cross_entropy(ct_transpose(ct_forward(j->linear, y), 0, 1), j->y);

    if (j->calls++ == j->at)
        misbehave(j, loss);
    ct_backward(loss);
    ct_clip_grad_norm(j->set, 0.5, NULL);
    if (j->misdeed != LEAVE_GRADIENTS || j->calls - 1 != j->at)
        ct_optimizer_step(j->o);
    if (j->scheduled)
        ct_schedule_step(ct_optimizer_schedule(j->o));
    if (j->state)
        ct_state_carry(j->state, next);
    ct_copy_into(j->loss, loss);
}

typedef struct captured_case {
    const char *name;
    ct_optimizer *(*make)(ct_params *set);
    bool carries, scheduled, adapts; /* a rate set between steps */
    ct_dtype dtype;
    const protocol *protocol; /* whose model and sizes; NULL: a small one of two layers */
    bool draws;
} captured_case;

/* NULLs in it, and an error, where something fails. */
static job job_make(const captured_case *c, ct_device device)
{
    const protocol *p = c->protocol;
    job j = { .classes = p ? 28 : 7,
              .scheduled = c->scheduled,
              .draws = c->draws,
              .at = -1,
              .g = { 5, 6, 7 } };
    ct_shape shape = p ? CT_SHAPE(p->batch, p->steps) : CT_SHAPE(5, 4);
    ct_scope s = ct_scope_begin();

    j.set = ct_params_new((ct_params_options){ .seed = 4, .dtype = c->dtype, .device = device });
    j.rnn = p ? ct_nn_rnn(j.set, "rnn", (ct_nn_rnn_options){ .hidden_size = p->hidden })
              : ct_nn_lstm(j.set, "rnn",
                           (ct_nn_lstm_options){ .hidden_size = 9,
                                                 .num_layers = 2,
                                                 .dropout = c->draws ? 0.2 : 0,
                                                 .recurrent_dropout = c->draws ? 0.1 : 0 });
    j.linear = ct_nn_linear(j.set, "linear", (ct_nn_linear_options){ .out_features = j.classes });
    j.o = c->make(j.set);
    if (c->scheduled)
        ct_schedule_step_lr(ct_optimizer_schedule(j.o), 2, 0.7);
    j.x = ct_keep(ct_zeros(shape, CT_I32, device));
    j.y = ct_keep(ct_zeros(shape, CT_I32, device));
    j.loss = ct_keep(ct_zeros(CT_SCALAR, c->dtype, device));
    j.drawn = ct_keep(ct_zeros(CT_SCALAR, CT_F64, device));
    j.state = c->carries ? ct_recurrent_begin_state(j.rnn, shape.dim[0]) : NULL;
    ck_assert(ct_scope_end(s) == CT_OK || !ct_ok());
    return j;
}

static job job_new(const captured_case *c, ct_device device)
{
    job j = job_make(c, device);

    ck_assert_msg(ct_ok(), "%s", ct_error_message());
    return j;
}

static void job_free(job *j)
{
    ct_optimizer_free(j->o);
    ct_params_free(j->set);
    ct_state_free(j->state);
    ct_free(j->x);
    ct_free(j->y);
    ct_free(j->loss);
    ct_free(j->drawn);
    ct_free(j->kept);
}

/* Ids of step i; one is out of range at the step bad_at. */
static void give_batch(job *j, int i, int bad_at)
{
    ct_scope s = ct_scope_begin();
    ct_device device = ct_tensor_device(j->x);
    int64_t n = ct_numel(j->x), k;
    int32_t *ids = malloc((size_t)(2 * n) * sizeof *ids);

    for (k = 0; k < 2 * n; k++)
        ids[k] = (int32_t)((i * 31 + k * k) % j->classes);
    if (i == bad_at)
        ids[n + 13] = (int32_t)j->classes;
    ct_copy_into(j->x, ct_from_data(ids, ct_tensor_shape(j->x), CT_I32, device));
    ct_copy_into(j->y, ct_from_data(ids + n, ct_tensor_shape(j->y), CT_I32, device));
    ck_assert(ct_scope_end(s) == CT_OK || !ct_ok());
    free(ids);
}

/* Steps first..last - 1, each by itself or by what was captured; the losses. */
static void job_steps(job *j, const captured_case *c, ct_capture *captured, int first, int last,
                      int bad_at, double *losses)
{
    int i;

    for (i = first; i < last; i++) {
        give_batch(j, i, bad_at);
        if (c->adapts)
            ct_optimizer_set_lr(j->o, 0.1 / (1 + i));
        if (captured) {
            ct_capture_run(captured);
        } else {
            ct_scope s = ct_scope_begin();

            job_step(j);
            ck_assert(ct_scope_end(s) == CT_OK || !ct_ok());
        }
        if (losses)
            losses[i] = ct_item(j->loss);
    }
}

static void expect_same_jobs(const char *name, job *a, job *b)
{
    int k;

    for (k = 0; k < ct_params_count(a->set); k++)
        ck_assert_msg(same_bytes(ct_param_value(ct_params_at(a->set, k)),
                                 ct_param_value(ct_params_at(b->set, k))),
                      "%s: %s has other bits", name, ct_param_name(ct_params_at(a->set, k)));
    ck_assert_msg(a->g.position == b->g.position && same_bytes(a->drawn, b->drawn),
                  "%s: what was drawn last is another", name);
    ck_assert_uint_eq(ct_params_generator(a->set)->position, ct_params_generator(b->set)->position);
    ck_assert_int_eq(ct_optimizer_state_count(a->o), ct_optimizer_state_count(b->o));
    for (k = 0; k < ct_optimizer_state_count(a->o); k++) {
        ct_scope s = ct_scope_begin();

        ck_assert_msg(
            same_bytes(ct_optimizer_state_tensor(a->o, k), ct_optimizer_state_tensor(b->o, k)),
            "%s: %s has other bits", name, ct_optimizer_state_name(a->o, k));
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    for (k = 0; a->state && k < ct_state_count(a->state); k++)
        ck_assert_msg(same_bytes(ct_state_get(a->state, k), ct_state_get(b->state, k)),
                      "%s: state %d has other bits", name, k);
}

static ct_optimizer *plain_sgd(ct_params *set)
{
    return ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
}

static ct_optimizer *damped_sgd(ct_params *set)
{
    return ct_sgd_new(set, (ct_sgd_options){ .lr = 0.5, .momentum = 0.9, .dampening = 0.3 });
}

static ct_optimizer *adamw(ct_params *set)
{
    ct_optimizer *o = ct_adamw_new(set, (ct_adam_options){ .lr = 0.05, .weight_decay = 0.1 });

    ct_optimizer_group(o, "*.bias*",
                       (ct_optimizer_group_options){ .lr = 0.01, .weight_decay = CT_ZERO });
    return o;
}

static ct_optimizer *decaying_adagrad(ct_params *set)
{
    return ct_adagrad_new(set, (ct_adagrad_options){ .lr = 0.1, .lr_decay = 0.1 });
}

static const captured_case captured_cases[] = {
    { "sgd, carried", plain_sgd, true, false, false, CT_F32, NULL, false },
    { "sgd, fresh", plain_sgd, false, false, false, CT_F64, NULL, false },
    { "momentum, a schedule in the step", damped_sgd, true, true, false, CT_F32, NULL, false },
    { "adam, rates between steps", adam, true, false, true, CT_F64, NULL, false },
    { "adamw, groups and a schedule", adamw, false, true, false, CT_F32, NULL, false },
    { "rmsprop", rmsprop, true, false, true, CT_F32, NULL, false },
    { "adagrad", decaying_adagrad, false, true, false, CT_F64, NULL, false },
    { "draws", adam, true, false, false, CT_F32, NULL, true },
    { "draws", plain_sgd, false, false, false, CT_F64, NULL, true },
};

#define STEPS 14

/* Noted in the third run, repeated then: each is one launch, and what comes of it has the bits of
 * steps that are not captured. */
static void check_captured(const captured_case *c, int steps)
{
    job a = job_new(c, gpu), b = job_new(c, gpu);
    ct_capture *captured = ct_capture_new(gpu, job_step, &b);
    double want[STEPS], got[STEPS];
    ct_device_stats before, after;
    int i;

    job_steps(&a, c, NULL, 0, steps, -1, want);
    job_steps(&b, c, captured, 0, 2, -1, got);
    ck_assert(!ct_capture_is_ready(captured));
    job_steps(&b, c, captured, 2, 3, -1, got);
    ck_assert_msg(ct_capture_is_ready(captured), "%s: %s", c->name, ct_error_message());
    job_steps(&b, c, captured, 3, steps - 1, -1, got);
    before = ct_device_get_stats(gpu);
    give_batch(&b, steps - 1, -1);
    after = ct_device_get_stats(gpu);
    job_steps(&b, c, captured, steps - 1, steps, -1, NULL);
    ck_assert_int_eq(ct_device_get_stats(gpu).launches - after.launches,
                     1 + after.launches - before.launches);
    ck_assert_int_eq(ct_device_get_stats(gpu).synchronisations, after.synchronisations);
    got[steps - 1] = ct_item(b.loss);
    for (i = 0; i < steps; i++)
        ck_assert_msg(got[i] == want[i], "%s: loss %d is %.17g, not %.17g", c->name, i, got[i],
                      want[i]);
    ck_assert_int_eq(b.calls, 3);
    expect_same_jobs(c->name, &a, &b);
    ct_capture_free(captured);
    job_steps(&a, c, NULL, steps, steps + 2, -1, NULL); /* and goes on without it */
    job_steps(&b, c, NULL, steps, steps + 2, -1, NULL);
    expect_same_jobs(c->name, &a, &b);
    job_free(&a);
    job_free(&b);
}

START_TEST(captured_steps_give_the_same_bits)
{
    size_t k;

    choose_device(_i);
    for (k = 0; k < sizeof captured_cases / sizeof *captured_cases; k++)
        check_captured(&captured_cases[k], STEPS);
}
END_TEST

/* The models of both protocols, with their sizes in check-full. */
START_TEST(captured_protocols_give_the_same_bits)
{
    int k;

    choose_device(_i);
    for (k = 0; k < 2; k++) {
        const protocol *p = &(harness_full() ? whole : thin)[k];
        const captured_case c = {
            p->classic ? "classic" : "book", plain_sgd, p->classic, false, false, CT_F32, p, false
        };

        check_captured(&c, 6);
    }
}
END_TEST

/* ---- every call of CUDA fails once ---- */

typedef struct emulator {
    emu_counters (*count)(void);
    int (*reports)(void);
    void (*fail_at)(uint64_t k);
    bool (*checking)(void);
} emulator;

static void emulator_symbol(const char *name, void *function)
{
    void *symbol = harness_emulator(ct_device_name(gpu), name);

    memcpy(function, &symbol, sizeof symbol);
}

/* Batches sent ahead, then steps that are captured; the last loss. */
static double work(ct_corpus *corpus)
{
    static const protocol tiny = { true, 2, 2, 3 };
    static const captured_case c = { "", plain_sgd, true, false, false, CT_F32, &tiny, false };
    ct_loader *l = ct_loader_windows_new(
        corpus,
        (ct_loader_windows_options){ .batch_size = 2, .steps = 2, .count = 8, .device = gpu });
    job j = job_make(&c, gpu);
    ct_capture *captured = ct_capture_new(gpu, job_step, &j);
    ct_scope s = ct_scope_begin();
    ct_batch b;
    double loss;

    ct_loader_begin(l);
    while (ct_loader_next(l, &b)) {
        ct_copy_into(j.x, b.x);
        ct_copy_into(j.y, b.y);
        ct_capture_run(captured);
    }
    loss = ct_item(j.loss);
    ck_assert(ct_scope_end(s) == CT_OK || !ct_ok());
    ct_capture_free(captured);
    job_free(&j);
    ct_loader_free(l);
    return loss;
}

/* In a process of its own: call number k fails (0: none does); what comes of it is told, or made
 * good by another call, and the same work is done after it as without, and leaves as many
 * objects of CUDA's (which call 0 notes). 2 where there are fewer calls; 0 if all is well. */
static int try_call(ct_corpus *corpus, const emulator *e, uint64_t k, uint64_t *objects)
{
    uint64_t before = e->count().calls, alive;
    double first, second;
    bool told, survived, begun;

    e->fail_at(k);
    first = work(corpus);
    if (k && e->count().calls - before < k)
        return 2;
    e->fail_at(0);
    alive = e->count().alive;
    told = !ct_ok() && (ct_error() == CT_ERR_DEVICE || ct_error() == CT_ERR_MEMORY);
    survived = ct_ok(); /* memory is asked for again */
    if (k && !told && !survived) {
        printf("call %d fails: %s\n", (int)k, ct_error_message());
        return 1;
    }
    ct_error_clear();
    second = work(corpus);
    begun = ct_ok(); /* a device that could not be started stays so */
    if (!begun && (ct_error() != CT_ERR_MEMORY || k > 10)) {
        printf("after the failure of call %d: %s\n", (int)k, ct_error_message());
        return 1;
    }
    ct_error_clear();
    if (!k && e->count().alive == alive)
        *objects = alive;
    alive = e->count().alive;
    if (begun && (isnan(second) || (survived && first != second) || alive != *objects)) {
        printf("call %d: losses %g %g, %d objects, not %d\n", (int)k, first, second, (int)alive,
               (int)*objects);
        return 1;
    }
    ct_error_clear();
    return e->reports() > 0;
}

START_TEST(any_call_of_cuda_may_fail)
{
    ct_text *text;
    ct_corpus *corpus;
    emulator e = { NULL, NULL, NULL, NULL };
    uint64_t k, *objects = mmap(NULL, sizeof *objects, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;

    setenv("COTANGENT_POOL", "1", 1);
    choose_device(_i);
    emulator_symbol("emu_count", &e.count);
    emulator_symbol("emu_reports", &e.reports);
    emulator_symbol("emu_fail", &e.fail_at);
    emulator_symbol("emu_checking", &e.checking);
    if (!e.count || e.checking()) /* a GPU, which fails when it likes; or the same again, slowly */
        return;
    text = ct_text_read(harness_source("data/sample.txt"));
    corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    for (k = 0; status == 0; k += k ? SEEDS : 1 + (uint64_t)_i % SEEDS) {
        pid_t child;

        fflush(stdout);
        child = fork();
        if (child == 0) {
            int found = try_call(corpus, &e, k, objects);

            fflush(stdout);
            _exit(found);
        }
        ck_assert(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
        status = WEXITSTATUS(status);
        ck_assert_msg(status != 1, "call %d", (int)k);
    }
    ck_assert_msg(k > 100, "only %d calls", (int)k);
    munmap(objects, sizeof *objects);
    ct_corpus_free(corpus);
    ct_text_free(text);
}
END_TEST

/* Of two that take turns each has its own buffers, and others' stay what they are. */
START_TEST(captured_steps_keep_to_their_own)
{
    const captured_case *c = &captured_cases[3];
    job a, b, alone;
    ct_capture *first, *second;
    ct_tensor *others[40];
    ct_scope s;
    int i;

    choose_device(_i);
    s = ct_scope_begin();
    a = job_new(c, gpu);
    b = job_new(c, gpu);
    alone = job_new(c, gpu);
    first = ct_capture_new(gpu, job_step, &a);
    second = ct_capture_new(gpu, job_step, &b);
    for (i = 0; i < 40; i++) {
        job_steps(&a, c, first, i, i + 1, -1, NULL);
        job_steps(&b, c, second, i, i + 1, -1, NULL);
        others[i] = ct_full(CT_SHAPE(1 + i * i), i, CT_F32, gpu);
    }
    job_steps(&alone, c, NULL, 0, 40, -1, NULL);
    expect_same_jobs("first", &a, &alone);
    expect_same_jobs("second", &b, &alone);
    for (i = 0; i < 40; i++)
        expect_close("others", ct_item(ct_sum(others[i])), i * (1 + i * i), 0);
    ct_capture_free(second);
    ct_capture_free(first);
    ck_assert(ct_scope_end(s) == CT_OK);
    job_free(&a);
    job_free(&b);
    job_free(&alone);
}
END_TEST

/* A fault in a repeated step: nothing moves from then on, and the message has the op's place. */
START_TEST(a_fault_in_a_captured_step)
{
    const captured_case *c = &captured_cases[0];
    char message[256];
    job a, b;
    ct_capture *captured;
    int i;

    choose_device(_i);
    a = job_new(c, gpu);
    b = job_new(c, gpu);
    captured = ct_capture_new(gpu, job_step, &b);
    job_steps(&a, c, NULL, 0, 9, 6, NULL);
    ck_assert(ct_device_synchronize(gpu) == CT_ERR_INDEX);
    snprintf(message, sizeof message, "%s", ct_error_message());
    ck_assert_msg(strstr(message, "test_devices.c:") && strstr(message, "0..6"), "%s", message);
    ct_error_clear();
    job_steps(&b, c, captured, 0, 9, 6, NULL);
    for (i = 0; i < 3000; i++) { /* more tickets than are kept */
        ct_scope s = ct_scope_begin();

        ct_one_hot(ct_zeros(CT_SHAPE(1), CT_I32, gpu), 2);
        if (ct_scope_end(s) != CT_OK)
            break;
    }
    ck_assert(i < 3000 || ct_device_synchronize(gpu) != CT_OK);
    ck_assert_int_eq(ct_error(), CT_ERR_INDEX);
    ck_assert_str_eq(ct_error_message(), message);
    ct_error_clear();
    expect_same_jobs("at the fault", &a, &b);
    ct_capture_free(captured);
    job_free(&a);
    job_free(&b);
}
END_TEST

/* What a captured step cannot do is refused, in the second run or the third; the next three capture
 * it after all. */
START_TEST(captured_steps_refuse)
{
    static const struct {
        int misdeed, at;
        ct_status status;
        const char *function, *word;
    } cases[] = {
        { READ, 1, CT_ERR_DEVICE, "ct_item", "read" },
        { READ, 2, CT_ERR_DEVICE, "ct_item", "read" },
        { SEND, 1, CT_ERR_DEVICE, "ct_from_data", "captured" },
        { DRAW, 2, CT_ERR_ARGUMENT, "ct_dropout", "generator" },
        { KEEP, 1, CT_ERR_SCOPE, "ct_capture_run", "64 bytes" },
        { LEAVE_GRADIENTS, 1, CT_ERR_SCOPE, "ct_capture_run", "bytes" },
        { LEAVE_GRADIENTS, 2, CT_ERR_SCOPE, "ct_capture_run", "bytes" },
        { NEST, 0, CT_ERR_ARGUMENT, "ct_capture_run", "another" },
        { LOAD, 2, CT_ERR_DEVICE, "ct_npy_read", "captured" },
        { RAISE, 2, CT_ERR_ARGUMENT, "step", "enough" },
        { GROW, 2, CT_ERR_DEVICE, "ct_zeros", "allocate" },
    };
    const captured_case *c = &captured_cases[0];
    size_t k;

    choose_device(_i);
    {
        ct_scope s = ct_scope_begin();

        ck_assert(ct_npy_write(file_of_two, ct_ones(CT_SHAPE(2), CT_F32, CT_CPU)) == CT_OK);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    for (k = 0; k < sizeof cases / sizeof *cases; k++) {
        job j = job_new(c, gpu);
        ct_capture *captured = ct_capture_new(gpu, job_step, &j);

        j.self = captured;
        j.misdeed = cases[k].misdeed;
        j.at = cases[k].at;
        job_steps(&j, c, captured, 0, cases[k].at, -1, NULL);
        expect_ok();
        ck_assert_msg(ct_capture_run(captured) == cases[k].status, "case %zu: %s", k,
                      ct_error_message());
        expect_error(cases[k].status, cases[k].function, cases[k].word);
        ct_params_zero_grad(j.set);
        ct_free(j.kept);
        j.kept = NULL;
        job_steps(&j, c, captured, 0, 5, -1, NULL);
        ck_assert_msg(ct_capture_is_ready(captured), "%s", ct_error_message());
        ct_capture_free(captured);
        job_free(&j);
    }
    unlink(file_of_two);
}
END_TEST

/* What it stands on was moved, frozen, or is looked at. */
START_TEST(captured_steps_need_what_they_use)
{
    const captured_case *c = &captured_cases[2];
    ct_capture *captured;
    ct_scope s;
    job j;

    choose_device(_i);
    ck_assert(!ct_capture_new(gpu, NULL, &j));
    expect_error(CT_ERR_ARGUMENT, "ct_capture_new", "function is NULL");
    ck_assert(!ct_capture_new(999, job_step, &j));
    expect_error(CT_ERR_DEVICE, "ct_capture_new", "device 999");
    ck_assert(ct_capture_run(NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "step is NULL");
    ct_capture_free(NULL);
    ck_assert(!ct_capture_is_ready(NULL));
    j = job_new(c, gpu);
    captured = ct_capture_new(gpu, job_step, &j);
    job_steps(&j, c, captured, 0, 5, -1, NULL);
    s = ct_scope_begin();
    ct_square(ct_param_value(ct_params_at(j.set, 0)));
    ck_assert(ct_capture_run(captured) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_capture_run", "history");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_freeze(j.set, "linear.bias", true);
    job_steps(&j, c, captured, 5, 6, -1, NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "frozen");
    job_steps(&j, c, captured, 6, 12, -1, NULL); /* captured anew, without it */
    ck_assert(ct_capture_is_ready(captured));
    ct_params_to(j.set, CT_CPU);
    ct_capture_run(captured);
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    ct_capture_free(captured);
    job_free(&j);
}
END_TEST

/* The CPU calls the function each time, whatever it does. */
START_TEST(on_the_cpu_a_captured_step_is_a_call)
{
    const captured_case *c = &captured_cases[2];
    job a = job_new(c, CT_CPU), b = job_new(c, CT_CPU);
    ct_capture *captured = ct_capture_new(CT_CPU, job_step, &b);

    choose_device(_i);
    b.misdeed = READ;
    b.at = 4;
    job_steps(&a, c, NULL, 0, STEPS, -1, NULL);
    job_steps(&b, c, captured, 0, STEPS, -1, NULL);
    ck_assert(b.calls == STEPS && !ct_capture_is_ready(captured));
    expect_same_jobs("on the CPU", &a, &b);
    ct_capture_free(captured);
    job_free(&a);
    job_free(&b);
}
END_TEST

/* ---- the program ---- */

/* Whether there is a device of this kind. Asked in a process of its own: a GPU that was opened
 * before a fork is of no use after it, nor are other seeds to an emulated one. */
static bool is_there(const char *kind)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(ct_device_count(kind) > 0);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 1;
}

/* How many devices are to be tested: the one given, or cuda-emu and cuda. */
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

/* Products on two devices in turn, each by its own stream. */
static void on_two_devices(void)
{
    const ct_device two[2] = { ct_device_from_name("cuda-emu"), ct_device_from_name("cuda-emu:1") };
    ct_tensor *sum[2];
    int k;

    ct_scope_begin(); /* until the program ends: not a test, which the harness would watch */
    for (k = 0; k < 2; k++) {
        ct_tensor *x = ct_ones(CT_SHAPE(8, 16), CT_F32, two[k]);

        sum[k] = ct_sum(ct_matmul(x, ct_transpose(x, 0, 1)));
    }
    printf("%g, %g on the other; ", ct_item(sum[0]), ct_item(sum[1]));
    /* a fault of the one is told, though the other worked since */
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
    tc = harness_case(suite, "captured");
    tcase_add_loop_test(tc, captured_steps_give_the_same_bits, 0, rounds);
    tcase_add_loop_test(tc, captured_protocols_give_the_same_bits, 0, rounds);
    tcase_add_loop_test(tc, captured_steps_keep_to_their_own, 0, rounds);
    tcase_add_loop_test(tc, a_fault_in_a_captured_step, 0, rounds);
    tcase_add_loop_test(tc, any_call_of_cuda_may_fail, 0, rounds);
    tcase_add_loop_test(tc, captured_steps_refuse, 0, rounds);
    tcase_add_loop_test(tc, captured_steps_need_what_they_use, 0, rounds);
    tcase_add_loop_test(tc, on_the_cpu_a_captured_step_is_a_call, 0, rounds);
    harness_pooled = true;
    return harness_run(suite);
}
