/* SPDX-License-Identifier: MIT */
/* checkpoint_loop.c - ct_checkpoint_save and ct_checkpoint_load: loops by hand that are interrupted at
 * any step and end with the bits of one that was not; files and arguments that are refused. */
#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_checkpoint.h"

/* ---- a loop with two optimisers, a carried state, dropout, noise and a second loader ---- */

typedef struct loop {
    ct_corpus *corpus;
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    ct_optimizer *optimizer[2];
    ct_loader *loader[2];
    ct_state *state;
    ct_generator own, *generators[1];
    int64_t epoch, step;
    double best;
    ct_saved_number numbers[4];
    ct_checkpoint c;
} loop;

/* An optimiser of the test: w -= lr m, m = momentum m + grad. */
typedef struct simple_options {
    double lr, momentum;
} simple_options;

static const ct_optimizer_option simple_fields[] = {
    CT_OPTIMIZER_OPTION(simple_options, lr, 0.1, 0, INFINITY),
    CT_OPTIMIZER_OPTION(simple_options, momentum, 0.9, 0, 1),
    { .name = NULL },
};

static ct_tensor *simple_update(ct_optimizer_update *u)
{
    const simple_options *o = u->options;

    u->state[0] = ct_add(ct_mul_scalar(u->state[0], o->momentum), u->grad);
    return ct_sub(u->value, ct_mul(u->state[0], ct_optimizer_rate(u, 0)));
}

static const ct_optimizer_table simple = {
    .name = "Simple",
    .options_size = sizeof(simple_options),
    .options = simple_fields,
    .states = { { .name = "mean" } },
    .update = simple_update,
};

/* ---- a dataset of the test: sample i is i and its square ---- */

static ct_status square_get(void *self, int64_t i, void *const *field)
{
    (void)self;
    *(float *)field[0] = (float)i;
    *(float *)field[1] = (float)(i * i);
    return CT_OK;
}

static ct_status square_digest(void *self, char hex[65])
{
    (void)self;
    memset(hex, 'a', 64);
    hex[64] = '\0';
    return CT_OK;
}

static ct_dataset *squares_new(void)
{
    static const ct_dataset_table squares = { .name = "squares",
                                              .get = square_get,
                                              .digest = square_digest };
    static const ct_field fields[] = { { "x", CT_F32, { 0 }, 0 }, { "y", CT_F32, { 0 }, 0 } };

    return ct_dataset_new(&squares, NULL, 30, 2, fields);
}

/* How a loop is made; zeros are a loop, too. */
typedef struct how {
    double lr;
    int64_t batch;
    const ct_metadata *hyperparameters;
    const char *model_json;
    bool one_optimizer, one_loader, no_number, no_state, no_generator, other_number;
} how;

static void loop_begin(loop *l, how h)
{
    ct_dataset *squares = squares_new();

    memset(l, 0, sizeof *l);
    l->corpus = checkpoint_corpus(false);
    l->params = ct_params_new((ct_params_options){ .seed = 3, .device = DEVICE });
    l->rnn =
        ct_nn_lstm(ct_params_sub(l->params, "rnn"), "0",
                   (ct_nn_recurrent_options){ .hidden_size = 4, .num_layers = 2, .dropout = 0.3 });
    l->linear = ct_nn_linear(
        l->params, "linear",
        (ct_nn_linear_options){ .out_features = ct_vocab_size(ct_corpus_vocab(l->corpus)) });
    l->optimizer[0] = ct_adam_new(ct_params_sub(l->params, "rnn"),
                                  (ct_adam_options){ .lr = h.lr != 0 ? h.lr : 0.01 });
    l->optimizer[1] = ct_optimizer_new(ct_params_sub(l->params, "linear"), &simple,
                                       &(simple_options){ 0.1, 0.5 });
    ct_schedule_step_lr(ct_optimizer_schedule(l->optimizer[0]), 3, 0.7);
    l->loader[0] = ct_loader_sequences_new(
        l->corpus,
        (ct_loader_sequences_options){ .batch_size = h.batch ? h.batch : 4, .steps = 9 });
    l->loader[1] =
        ct_loader_new(squares, (ct_loader_options){ .batch_size = 4, .shuffle = true, .seed = 7 });
    ct_dataset_free(squares);
    l->own = ct_generator_from_seed(11);
    l->generators[0] = &l->own;
    l->best = INFINITY;
    l->numbers[0] = (ct_saved_number){ .name = "epoch", .i64 = &l->epoch };
    l->numbers[1] = (ct_saved_number){ .name = "step", .i64 = &l->step };
    l->numbers[2] = (ct_saved_number){ .name = h.other_number ? "worst" : "best", .f64 = &l->best };
    l->c = (ct_checkpoint){ .params = l->params,
                            .optimizers = l->optimizer,
                            .optimizer_count = 2 - h.one_optimizer,
                            .loaders = l->loader,
                            .loader_count = 2 - h.one_loader,
                            .states = &l->state,
                            .state_count = !h.no_state,
                            .generators = l->generators,
                            .generator_count = !h.no_generator,
                            .numbers = h.no_number ? NULL : l->numbers,
                            .hyperparameters = h.hyperparameters,
                            .model_json = h.model_json };
    expect_ok();
}

static void loop_end(loop *l)
{
    for (int i = 0; i < 2; i++) {
        ct_optimizer_free(l->optimizer[i]);
        ct_loader_free(l->loader[i]);
    }
    ct_state_free(l->state);
    ct_params_free(l->params);
    ct_corpus_free(l->corpus);
}

/* A step on a batch of the text; each also takes a batch of the squares, whose mean is noise. */
static void loop_step(loop *l, const ct_batch *batch)
{
    ct_tensor *x = ct_one_hot(ct_transpose(ct_to(batch->x, DEVICE), 0, 1),
                              ct_vocab_size(ct_corpus_vocab(l->corpus)));
    ct_tensor *noise, *y, *loss;
    ct_state *next = NULL;
    ct_batch other;

    if (!ct_loader_next(l->loader[1], &other)) {
        ct_loader_begin(l->loader[1]);
        ct_loader_next(l->loader[1], &other);
    }
    noise = ct_mul_scalar(ct_rand(ct_tensor_shape(x), CT_F32, DEVICE, &l->own),
                          1e-4 * ct_item(ct_mean(other.y)));
    y = ct_recurrent_forward(l->rnn, ct_add(x, noise), batch->continues ? l->state : NULL, &next);
    loss = ct_cross_entropy(ct_transpose(ct_forward(l->linear, y), 0, 1), ct_to(batch->y, DEVICE));
    ct_backward(loss);
    for (int i = 0; i < 2; i++)
        ct_optimizer_step(l->optimizer[i]);
    if (l->state && batch->continues) {
        ct_state_carry(l->state, next);
    } else {
        ct_state_free(l->state);
        l->state = ct_state_copy_new(next);
    }
    if (l->step == 4) /* the file keeps the rate */
        ct_optimizer_set_lr(l->optimizer[1], 0.05);
    l->best = fmin(l->best, ct_item(loss));
    l->step++;
}

/* Runs the loop; saves after step `until` and returns, unless that is 0. */
static void loop_run(loop *l, bool resumed, int64_t until, const char *path)
{
    ct_batch batch;

    for (; l->epoch < 3 && ct_ok(); l->epoch++) {
        if (!resumed)
            ct_loader_begin(l->loader[0]);
        if (!resumed && l->epoch == 0)
            ct_loader_begin(l->loader[1]);
        resumed = false;
        while (ct_loader_step(l->loader[0], &batch)) {
            loop_step(l, &batch);
            if (l->step == until) {
                ck_assert_msg(ct_checkpoint_save(&l->c, path) == CT_OK, "%s", ct_error_message());
                ct_loader_stop(l->loader[0]);
                return;
            }
        }
        ct_schedule_step(ct_optimizer_schedule(l->optimizer[0]));
    }
    ck_assert_msg(ct_ok(), "%s", ct_error_message());
    ck_assert(ct_checkpoint_save(&l->c, path) == CT_OK);
}

/* The whole state of a loop that has ended is in its last file. */
START_TEST(resumed_loops)
{
    loop whole, part, rest;
    int64_t steps;

    loop_begin(&whole, (how){ 0 });
    loop_run(&whole, false, 0, "whole");
    steps = whole.step;
    ck_assert_int_gt(steps, 20);
    for (int64_t until = 1; until < steps; until += harness_rounds(11, 5)) {
        loop_begin(&part, (how){ 0 });
        loop_run(&part, false, until, "part");
        loop_begin(&rest, (how){ 0 });
        ck_assert_msg(ct_checkpoint_load(&rest.c, "part") == CT_OK, "%s", ct_error_message());
        ck_assert(rest.step == until && rest.epoch == part.epoch && rest.best == part.best);
        ck_assert(ct_checkpoint_save(&rest.c, "again") == CT_OK); /* nothing is lost */
        ck_assert_str_eq(hash_of("again"), hash_of("part"));
        loop_run(&rest, true, 0, "rest");
        ck_assert_str_eq(hash_of("rest"), hash_of("whole"));
        ck_assert(rest.best == whole.best);
        loop_end(&part);
        loop_end(&rest);
    }
    loop_end(&whole);
}
END_TEST

/* A loop resumes into a set that has been used, and drops a state that the file lacks. */
START_TEST(loaded_over)
{
    loop a, b;

    loop_begin(&a, (how){ 0 });
    ct_loader_begin(a.loader[0]);
    ct_loader_begin(a.loader[1]);
    loop_begin(&b, (how){ 0 });
    loop_run(&b, false, 7, "b"); /* materializes the lazy parameters */
    ck_assert(b.state != NULL);
    ck_assert(ct_checkpoint_save(&a.c, "a") != CT_OK);
    expect_error(CT_ERR_SHAPE, "ct_checkpoint_save", "rnn.0.weight_ih_l0 ... no values");
    ck_assert(ct_checkpoint_load(&a.c, "b") == CT_OK);
    ct_state_free(a.state);
    a.state = NULL;
    ck_assert(ct_checkpoint_save(&a.c, "a") == CT_OK);
    ck_assert(ct_checkpoint_load(&b.c, "a") == CT_OK && !b.state);
    loop_end(&a);
    loop_end(&b);
}
END_TEST

START_TEST(other_loops)
{
    static const ct_metadata pairs[] = { { "lr", "1" }, { NULL, NULL } };
    static const struct {
        how h;
        const char *word;
    } cases[] = {
        { { .lr = 0.02 }, "optimizer.lr is 0.01 in the checkpoint and 0.02 now" },
        { { .batch = 5 }, "loader.batch_size is 4 in the checkpoint and 5 now" },
        { { .hyperparameters = pairs }, "lr is absent in the checkpoint and 1 now" },
        { { .model_json = "{}" }, "model's description is absent" },
        { { .one_optimizer = true }, "optimizer_1 is given in the checkpoint and absent now" },
        { { .one_loader = true }, "loader_1 is given in the checkpoint and absent now" },
        { { .no_number = true }, "training.number" },
        { { .other_number = true }, "training.number.worst is missing" },
        { { .no_state = true }, "training.state" },
        { { .no_generator = true }, "training.generator_1" },
    };
    loop first;

    loop_begin(&first, (how){ 0 });
    loop_run(&first, false, 8, "first");
    loop_end(&first);
    for (int i = 0; i < LENGTH(cases); i++) {
        loop l;

        loop_begin(&l, cases[i].h);
        ck_assert(ct_checkpoint_load(&l.c, "first") == CT_ERR_FORMAT);
        expect_error(CT_ERR_FORMAT, "ct_checkpoint_load", cases[i].word);
        ck_assert(l.step == 0 && l.own.position == 0 && !l.state);
        ck_assert(ct_loader_tell(l.loader[0]).epoch == 0);
        for (int k = 0; k < ct_params_count(l.params); k++)
            ck_assert(ct_param_is_lazy(ct_params_at(l.params, k)) ||
                      strstr(ct_param_name(ct_params_at(l.params, k)), "weight_ih_l0") == NULL);
        loop_end(&l);
    }
}
END_TEST

/* Files of ct_fit and of others. */
START_TEST(other_files)
{
    loop l;

    trains((run){ RUN, .checkpoint = "fit" });
    loop_begin(&l, (how){ 0 });
    ck_assert(ct_checkpoint_load(&l.c, "fit") == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_checkpoint_load", "fit is a checkpoint of another run");
    ck_assert(ct_checkpoint_load(&l.c, "none") == CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_checkpoint_load", "none");
    write_bytes("text", "text", 4);
    ck_assert(ct_checkpoint_load(&l.c, "text") == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_checkpoint_load", "text");
    loop_run(&l, false, 3, "loop");
    ck_assert(ct_params_save(l.params, "model") == CT_OK);
    ck_assert(ct_checkpoint_load(&l.c, "model") == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_checkpoint_load", "model is not a checkpoint");
    ck_assert(ct_checkpoint_save(&l.c, "folder/that/is/missing") == CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_checkpoint_save", "folder");
    fail_file_call(3);
    ck_assert(ct_checkpoint_save(&l.c, "loop") != CT_OK);
    ct_error_clear();
    fail_nothing();
    ck_assert(ct_checkpoint_load(&l.c, "loop") == CT_OK); /* as it was */
    loop_end(&l);
}
END_TEST

START_TEST(bad_arguments)
{
    int64_t n = 0;
    double x = 0;
    const ct_saved_number both[] = { { "n", &n, &x }, { NULL, NULL, NULL } };
    const ct_saved_number neither[] = { { "n", NULL, NULL }, { NULL, NULL, NULL } };
    const ct_saved_number twice[] = { { "n", &n, NULL }, { "n", NULL, &x }, { NULL, NULL, NULL } };
    const ct_saved_number nameless[] = { { "", &n, NULL }, { NULL, NULL, NULL } };
    const ct_saved_number slash[] = { { "a/b", &n, NULL }, { NULL, NULL, NULL } };
    const ct_metadata bytes[] = { { "k", "\xff" }, { NULL, NULL } };
    ct_params *p = ct_params_new((ct_params_options){ .device = DEVICE });
    ct_optimizer *no_optimizer = NULL;
    ct_loader *no_loader = NULL;
    ct_generator g = ct_generator_from_seed(1), *no_generator = NULL, *const same[] = { &g, &g };
    const struct {
        ct_checkpoint c;
        const char *word;
    } cases[] = {
        { { .params = NULL }, "c->params is NULL" },
        { { .params = p, .optimizer_count = 1 }, "optimizers is NULL" },
        { { .params = p, .optimizer_count = 1, .optimizers = &no_optimizer }, "optimizers[0]" },
        { { .params = p, .loader_count = 1, .loaders = &no_loader }, "loaders[0] is NULL" },
        { { .params = p, .loader_count = 9, .loaders = &no_loader }, "9 loaders" },
        { { .params = p, .generator_count = 2, .generators = same },
          "generators[0] ... generators[1]" },
        { { .params = p, .state_count = -1 }, "-1 states" },
        { { .params = p, .state_count = 1 }, "states is NULL" },
        { { .params = p, .generator_count = 1, .generators = &no_generator }, "generators[0]" },
        { { .params = p, .numbers = both }, "both given" },
        { { .params = p, .numbers = neither }, "i64 and f64 are NULL" },
        { { .params = p, .numbers = twice }, "n appears twice" },
        { { .params = p, .numbers = nameless }, "its name" },
        { { .params = p, .numbers = slash }, "a/b" },
        { { .params = p, .hyperparameters = bytes }, "hyperparameter ... UTF-8" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        ck_assert(ct_checkpoint_save(&cases[i].c, "a") == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_checkpoint_save", cases[i].word);
        ck_assert(ct_checkpoint_load(&cases[i].c, "a") == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_checkpoint_load", cases[i].word);
    }
    ck_assert(ct_checkpoint_save(NULL, "a") == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_checkpoint_save", "c is NULL");
    ck_assert(ct_checkpoint_load(&(ct_checkpoint){ .params = p }, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_checkpoint_load", "path is NULL");
    ck_assert_int_eq(count_files(), 0);
    ct_params_free(p);
}
END_TEST

/* A number that the file has as another type, and a state that it cannot have. */
START_TEST(bad_sections)
{
    int64_t n = 5;
    double x = 6;
    const ct_saved_number integer[] = { { "n", &n, NULL }, { NULL, NULL, NULL } };
    const ct_saved_number real[] = { { "n", NULL, &x }, { NULL, NULL, NULL } };
    ct_params *p = ct_params_new((ct_params_options){ .device = DEVICE });
    const ct_checkpoint a = { .params = p, .numbers = integer };
    const ct_checkpoint b = { .params = p, .numbers = real };

    ct_params_add(p, "w", CT_SHAPE(2), ct_init_constant(1));
    ck_assert(ct_checkpoint_save(&a, "a") == CT_OK);
    ck_assert(ct_checkpoint_load(&b, "a") == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_checkpoint_load",
                 "training.number.n is I64 [] ... must be F64");
    ck_assert(x == 6);
    n = 1;
    ck_assert(ct_checkpoint_load(&a, "a") == CT_OK && n == 5);
    ct_params_free(p);
}
END_TEST

void checkpoint_loop_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "loop");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, resumed_loops);
    tcase_add_test(tc, loaded_over);
    tcase_add_test(tc, other_loops);
    tcase_add_test(tc, other_files);
    tcase_add_test(tc, bad_arguments);
    tcase_add_test(tc, bad_sections);
}
