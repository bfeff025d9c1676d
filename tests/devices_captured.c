/* SPDX-License-Identifier: MIT */
/* devices_captured.c - captured steps on a GPU, and a failure of every CUDA call. */
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

#include "tests/test_devices.h"

/* ---- captured steps ---- */

typedef struct job {
    ct_params *set;
    ct_recurrent *rnn;
    ct_module *linear;
    ct_optimizer *o;
    ct_tensor *x, *y, *loss; /* the tensors that a step reads and writes */
    ct_state *state;         /* NULL: no state is carried */
    int64_t classes;
    int calls;
    bool scheduled, draws;
    ct_generator g;
    ct_tensor *drawn;
    /* an operation that a captured step must not do; the step does it at this call */
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

/* Changes x with every op that draws random numbers, with a checkpointed function, and with a
 * sample. */
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
    bool carries, scheduled, adapts; /* adapts: the learning rate is set between steps */
    ct_dtype dtype;
    const protocol *protocol; /* the protocol whose model and sizes are used; NULL: a small model of
                               * two layers */
    bool draws;
} captured_case;

/* Makes a job; if something fails, its members are NULL and an error is recorded. */
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

/* Sets the ids of step i; one id is out of range at step bad_at. */
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

/* Runs the steps first .. last - 1, each directly or as a captured step; returns the losses. */
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
    { "nadam, composed from ops", nadam, true, true, false, CT_F32, NULL, false },
    { "radam, which begins to adapt", radam, false, false, true, CT_F64, NULL, false },
    { "lion, a schedule", lion, true, true, false, CT_F32, NULL, false },
    { "draws", adam, true, false, false, CT_F32, NULL, true },
    { "draws", plain_sgd, false, false, false, CT_F64, NULL, true },
};

#define STEPS 14

/* The third run is recorded; later runs replay it. Each replay is one launch, and its results have
 * the same bits as steps that are not captured. */
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
    job_steps(&a, c, NULL, steps, steps + 2, -1, NULL); /* then both continue without the captured
                                                         * step */
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

/* Uploads batches ahead, then runs captured steps. Returns the last loss. */
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

/* Runs in a child process, where call number k fails (0: none). The failure is reported, or the
 * work succeeds all the same. Afterwards the same work gives the same results and leaves as many
 * CUDA objects as without the failure (call 0 counts them). Returns 2 if there are fewer calls; 0
 * if all is well. */
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
    survived = ct_ok(); /* an allocation that failed was tried again */
    if (k && !told && !survived) {
        printf("call %d fails: %s\n", (int)k, ct_error_message());
        return 1;
    }
    ct_error_clear();
    second = work(corpus);
    begun = ct_ok(); /* a device that could not be started stays unusable */
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
    /* a real GPU cannot be made to fail; with the checker the same work would be slow */
    if (!e.count || e.checking())
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

/* Two captured steps run alternately. Each has its own buffers and does not change the buffers of
 * the other. */
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

/* After a fault in a replayed step nothing changes, and the message has the place of the op. */
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
    ck_assert_msg(strstr(message, "devices_captured.c:") && strstr(message, "0..6"), "%s", message);
    ct_error_clear();
    job_steps(&b, c, captured, 0, 9, 6, NULL);
    for (i = 0; i < 3000; i++) { /* more calls than the ring has tickets */
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

/* An operation that a captured step cannot do is refused in the second or third run. Without the
 * operation, the next three runs capture the step. */
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

/* A captured step is refused if its parameters were moved or frozen, or if it reads values. */
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
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "captured is NULL");
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
    job_steps(&j, c, captured, 6, 12, -1, NULL); /* captured again, without the operation */
    ck_assert(ct_capture_is_ready(captured));
    ct_params_to(j.set, CT_CPU);
    ct_capture_run(captured);
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    ct_capture_free(captured);
    job_free(&j);
}
END_TEST

/* On the CPU each run calls the function, which may do anything. */
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

void devices_captured_cases(Suite *suite, int rounds)
{
    TCase *tc = harness_case(suite, "captured");

    tcase_add_loop_test(tc, captured_steps_give_the_same_bits, 0, rounds);
    tcase_add_loop_test(tc, captured_protocols_give_the_same_bits, 0, rounds);
    tcase_add_loop_test(tc, captured_steps_keep_to_their_own, 0, rounds);
    tcase_add_loop_test(tc, a_fault_in_a_captured_step, 0, rounds);
    tcase_add_loop_test(tc, any_call_of_cuda_may_fail, 0, rounds);
    tcase_add_loop_test(tc, captured_steps_refuse, 0, rounds);
    tcase_add_loop_test(tc, captured_steps_need_what_they_use, 0, rounds);
    tcase_add_loop_test(tc, on_the_cpu_a_captured_step_is_a_call, 0, rounds);
}
