/* SPDX-License-Identifier: MIT */
/* world_fit.c - tests ct_fit and ct_evaluate on several ranks, which are threads here. */
#include "tests/test_world.h"
#include "tests/world_hub.h"

#include <cotangent.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a model with values of each shard: batch norm, dropout, metrics ---- */

typedef struct fitted {
    ct_params *params;
    ct_module *first, *norm, *drop, *last;
} fitted;

static ct_tensor *fitted_step(void *self, ct_step *s)
{
    const fitted *m = self;
    ct_tensor *x = ct_forward(m->first, s->batch->x);

    if (m->norm)
        x = ct_forward(m->norm, x);
    x = ct_forward(m->drop, ct_tanh(x));
    s->prediction = ct_forward(m->last, x);
    s->target = s->batch->y;
    return ct_mse_loss(s->prediction, s->target, CT_REDUCTION_MEAN);
}

/* Makes one optimiser for each Linear module. The second one updates on every second batch. */
static int fitted_several(void *self, ct_optimizer **o, int64_t *every)
{
    const fitted *m = self;

    o[0] = ct_adam_new(ct_params_sub(m->params, "last"), (ct_adam_options){ .lr = 0.01 });
    o[1] = ct_sgd_new(ct_params_sub(m->params, "first"), (ct_sgd_options){ .lr = 0.01 });
    every[1] = 2;
    return 2;
}

static ct_optimizer *fitted_optimizer(void *self)
{
    const fitted *m = self;

    return ct_adam_new(m->params, (ct_adam_options){ .lr = 0.01 });
}

static fitted fitted_new(bool norm, ct_dtype dtype)
{
    fitted m = { .params = ct_params_new((ct_params_options){ .seed = 3, .dtype = dtype }) };

    m.first = ct_nn_linear(m.params, "first", (ct_nn_linear_options){ .out_features = 6 });
    if (norm)
        m.norm = ct_nn_batch_norm(m.params, "norm", (ct_nn_batch_norm_options){ 0 });
    m.drop = ct_nn_dropout(m.params, 0.3);
    m.last = ct_nn_linear(m.params, "last", (ct_nn_linear_options){ .out_features = 1 });
    return m;
}

#define ROWS 46
#define VALUES 200

/* The options of a run, and its results on each rank. */
typedef struct outcome {
    int shards, epochs, batch;
    ct_dtype dtype;
    bool norm, several; /* several: the run has several optimisers */
    int accumulate;
    const char *checkpoint, *resume;
    /* A callback of rank stop_rank stops the run after step stop_at, if that is not 0. */
    int stop_at, stop_rank;
    double values[HUB_RANKS][VALUES];
    int count[HUB_RANKS];
    ct_fit_result result[HUB_RANKS];
} outcome;

typedef struct stopper {
    const outcome *o;
    int rank;
} stopper;

static bool stop_step(void *context, const ct_fit_step *step)
{
    const stopper *s = context;

    return !(s->rank == s->o->stop_rank && step->step == s->o->stop_at);
}

static ct_loader *rows_loader(int batch, ct_dtype dtype)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(5);
    ct_tensor *x = ct_randn(CT_SHAPE(ROWS, 3), dtype, CT_CPU, &g);
    ct_loader *l = ct_loader_tensors_new(x, ct_sum_axis(x, 1, true),
                                         (ct_loader_tensors_options){ .batch_size = batch });

    ck_assert(ct_scope_end(s) == CT_OK);
    return l;
}

/* Copies all values of the set, including buffers. */
static void take_values(outcome *o, int rank, ct_params *params)
{
    int n = 0;
    ct_scope s = ct_scope_begin_no_grad();

    for (int i = 0; i < ct_params_count(params); i++) {
        ct_tensor *t = ct_cast(ct_param_value(ct_params_at(params, i)), CT_F64);

        ck_assert(n + ct_numel(t) <= VALUES);
        ct_to_host(t, &o->values[rank][n], (size_t)ct_numel(t) * sizeof(double));
        n += (int)ct_numel(t);
    }
    o->count[rank] = n;
    ck_assert(ct_scope_end(s) == CT_OK);
}

static void fit_program(hub_rank *r)
{
    const ct_metric *const metrics[] = { ct_metric_mse(), NULL };
    outcome *o = r->context;
    fitted m = fitted_new(o->norm, o->dtype);
    ct_loader *train = rows_loader(o->batch, o->dtype), *val = rows_loader(o->batch, o->dtype);
    ct_model model = { .self = &m,
                       .params = m.params,
                       .training_step = fitted_step,
                       .configure_optimizers = fitted_optimizer };
    stopper s = { o, r->rank };
    const ct_callback callback = { .context = &s, .step = stop_step };
    ct_world *w = cti_world_new_on("ct_world_new", r->ranks > 1 ? r->link : NULL,
                                   (ct_world_options){ .shards = o->shards });
    const ct_trainer trainer = { .max_epochs = o->epochs,
                                 .gradient_clip_val = 0.5,
                                 .world = w,
                                 .accumulate = o->accumulate,
                                 .ema_decay = o->accumulate ? 0.5 : 0,
                                 .metrics = metrics,
                                 .callbacks = &callback,
                                 .callback_count = 1,
                                 .checkpoint = o->checkpoint,
                                 .resume = o->resume };

    if (o->several)
        model.configure_several = fitted_several;
    if (ct_fit(&trainer, &model, train, val, &o->result[r->rank]) == CT_OK)
        take_values(o, r->rank, m.params);
    ct_world_free(w);
    ct_loader_free(train);
    ct_loader_free(val);
    ct_params_free(m.params);
}

/* Fails unless all ranks have the results of rank 0 in want. */
static void expect_outcome(const outcome *got, int ranks, const outcome *want)
{
    for (int r = 0; r < ranks; r++) {
        const ct_fit_result *a = &got->result[r], *b = &want->result[0];

        ck_assert_int_eq(got->count[r], want->count[0]);
        ck_assert_msg(
            memcmp(got->values[r], want->values[0], (size_t)got->count[r] * sizeof(double)) == 0,
            "parameters of rank %d of %d", r, ranks);
        ck_assert(a->steps == b->steps && a->tokens == b->tokens && a->loss == b->loss &&
                  a->validation_loss == b->validation_loss &&
                  a->gradient_norm == b->gradient_norm && a->clipped == b->clipped &&
                  a->metrics[0] == b->metrics[0] && a->metric_count == b->metric_count &&
                  (a->metric_count == 1 || a->metrics[1] == b->metrics[1]) &&
                  a->validation_metrics[0] == b->validation_metrics[0]);
    }
}

START_TEST(test_a_run_has_the_same_bits_for_any_number_of_ranks)
{
    static outcome one, many;

    for (int shards = 2; shards <= 6; shards++)
        for (int kind = 0; kind < 3; kind++)
            for (int ranks = 1; ranks <= 4 && ranks <= shards; ranks++) {
                hub_rank rank[HUB_RANKS];
                const bool norm = kind == 1;

                /* without batch norm the last batch has 1 row, and all shards except one are
                 * empty */
                many = (outcome){ .shards = shards,
                                  .epochs = 3,
                                  .dtype = kind == 2 ? CT_F64 : CT_F32,
                                  .norm = norm,
                                  .batch = norm ? 17 : 15 };
                hub_run(ranks, fit_program, &many, rank);
                hub_expect_ok(rank, ranks);
                if (ranks == 1)
                    one = many;
                ck_assert_int_eq(many.result[0].steps, norm ? 9 : 12);
                ck_assert_int_eq(many.result[0].tokens, 3 * ROWS);
                expect_outcome(&many, ranks, &one);
            }
}
END_TEST

/* The first update of an epoch has two batches of 17 rows. The second one has the last batch, of
 * 12 rows. */
START_TEST(test_batches_of_one_update_are_added_up)
{
    static outcome one, many;

    for (int several = 0; several < 2; several++)
        for (int ranks = 1; ranks <= 4; ranks++) {
            hub_rank rank[HUB_RANKS];

            many = (outcome){ .shards = 5,
                              .epochs = 3,
                              .norm = true,
                              .batch = 17,
                              .accumulate = 2,
                              .several = several };
            hub_run(ranks, fit_program, &many, rank);
            hub_expect_ok(rank, ranks);
            if (ranks == 1)
                one = many;
            ck_assert_int_eq(many.result[0].steps, 6);
            expect_outcome(&many, ranks, &one);
        }
}
END_TEST

/* Compares four shards with one. The sums have another order, and dropout and batch norm use
 * other numbers, but both runs must learn the same model. */
START_TEST(test_shards_learn_the_same)
{
    static outcome one = { .shards = 1, .epochs = 30, .norm = true, .batch = 17 },
                   four = { .shards = 4, .epochs = 30, .norm = true, .batch = 17 };
    hub_rank rank[HUB_RANKS];

    hub_run(1, fit_program, &one, rank);
    hub_expect_ok(rank, 1);
    hub_run(2, fit_program, &four, rank);
    hub_expect_ok(rank, 2);
    ck_assert(one.result[0].loss < 2 && four.result[0].loss < 2);
    ck_assert(one.values[0][0] != four.values[0][0]);
    ck_assert(fabs(one.values[0][0] - four.values[0][0]) < 0.5);
}
END_TEST

/* If a callback of one rank asks for a stop, all ranks end after the same step. A run that
 * continues with another number of ranks has the bits of a run that was not stopped. */
START_TEST(test_a_run_continues_with_another_number_of_ranks)
{
    static outcome whole, first, second;
    const char *path = "tests/world_fit.safetensors";

    whole = (outcome){ .shards = 4, .epochs = 3, .norm = true, .batch = 17 };
    for (int ranks = 1; ranks <= 3; ranks++) {
        hub_rank rank[HUB_RANKS];

        unlink(path);
        hub_run(1, fit_program, &whole, rank);
        hub_expect_ok(rank, 1);
        first = (outcome){ .shards = 4,
                           .epochs = 3,
                           .norm = true,
                           .batch = 17,
                           .checkpoint = path,
                           .stop_at = 4,
                           .stop_rank = ranks - 1 };
        hub_run(ranks, fit_program, &first, rank);
        hub_expect_ok(rank, ranks);
        for (int r = 0; r < ranks; r++) {
            ck_assert_int_eq(first.result[r].end, CT_FIT_END_STOPPED);
            /* Step 4 asked for the stop, and the ranks agreed in step 5. */
            ck_assert_int_eq(first.result[r].steps, 5);
        }
        second = (outcome){
            .shards = 4, .epochs = 3, .norm = true, .batch = 17, .checkpoint = path, .resume = path
        };
        hub_run(4 - ranks, fit_program, &second, rank);
        hub_expect_ok(rank, 4 - ranks);
        expect_outcome(&second, 4 - ranks, &whole);
    }
    first = (outcome){ .shards = 5, .epochs = 3, .norm = true, .batch = 17, .resume = path };
    {
        hub_rank rank[HUB_RANKS];

        hub_run(1, fit_program, &first, rank);
        ck_assert_int_eq(rank[0].status, CT_ERR_FORMAT);
        ck_assert(strstr(rank[0].message, "trainer.shards is 4 in the checkpoint and 5 now"));
    }
    unlink(path);
}
END_TEST

static void other_seed(hub_rank *r)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = r->rank == 1 ? 4 : 3 });
    fitted m = { .params = params };
    ct_loader *train = rows_loader(10, CT_F32);
    ct_model model = { .self = &m,
                       .params = params,
                       .training_step = fitted_step,
                       .configure_optimizers = fitted_optimizer };
    ct_world *w = cti_world_new_on("ct_world_new", r->link, (ct_world_options){ .shards = 2 });
    const ct_trainer trainer = { .max_epochs = 1, .world = w };

    m.first = ct_nn_linear(params, "first", (ct_nn_linear_options){ .out_features = 6 });
    ct_fit(&trainer, &model, train, NULL, NULL);
    ct_world_free(w);
    ct_loader_free(train);
    ct_params_free(params);
}

START_TEST(test_ranks_that_do_another_run_are_refused)
{
    hub_rank rank[HUB_RANKS];
    static outcome many = { .shards = 12, .epochs = 1, .batch = 10 };

    hub_run(2, other_seed, NULL, rank);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(rank[r].status, CT_ERR_WORLD);
        ck_assert_msg(strstr(rank[r].message, "the run of rank 1 has") &&
                          strstr(rank[r].message, "generator 4"),
                      "%s", rank[r].message);
    }
    hub_run(1, fit_program, &many, rank);
    ck_assert_int_eq(rank[0].status, CT_ERR_ARGUMENT);
    ck_assert(
        strstr(rank[0].message, "the batches have 10 rows, which cannot be cut into 12 shards"));
}
END_TEST

void world_fit_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "fit");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_a_run_has_the_same_bits_for_any_number_of_ranks);
    tcase_add_test(tc, test_batches_of_one_update_are_added_up);
    tcase_add_test(tc, test_shards_learn_the_same);
    tcase_add_test(tc, test_a_run_continues_with_another_number_of_ranks);
    tcase_add_test(tc, test_ranks_that_do_another_run_are_refused);
}
