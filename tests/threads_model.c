/* SPDX-License-Identifier: MIT */
/* threads_model.c - eight threads that use one model at the same time get the same results as one
 * thread.
 *
 * Built with -fsanitize=thread (docs/testing.md), these cases also show that reading writes nothing
 * that is shared. The threads run first, so that nothing has been computed before them. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/harness.h"
#include "tests/test_threads.h"

#define THREADS 8
#define ROUNDS 3

static const char words[] = "the time traveller for so it will be convenient to speak of him was "
                            "expounding a recondite matter to us. his grey eyes shone and twinkled";

/* The results of one thread. */
typedef struct outcome {
    char *greedy, *sampled;
    char *batch[3]; /* texts of prefixes of different lengths */
    double score, loss;
    double grad[2]; /* sums of squares for the first and last parameter */
} outcome;

typedef struct user {
    pthread_t thread;
    pthread_barrier_t *begin; /* NULL: the thread is alone */
    ct_lm *m;
    const ct_corpus *corpus;
    const ct_text *text;
    outcome got[ROUNDS];
} user;

/* Returns the mean loss of the model over a loader that this thread makes. */
static double loader_loss(const user *u)
{
    ct_loader *l = ct_loader_sequences_new(
        u->corpus, (ct_loader_sequences_options){ .batch_size = 4, .steps = 7, .seed = 3 });
    double sum = 0;
    int batches = 0;
    bool more = ct_loader_begin(l) == CT_OK;

    while (more) {
        ct_scope s = ct_scope_begin_inference();
        ct_batch batch;

        more = ct_loader_next(l, &batch);
        if (more) {
            ct_tensor *logits = ct_lm_forward(u->m, batch.x, NULL, NULL);

            sum += ct_item(ct_cross_entropy(logits, batch.y));
            batches++;
        }
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
    ct_loader_free(l);
    return sum / batches;
}

/* Computes the gradients of a recorded forward by ct_grad, which adds nothing to the parameters.
 * The model is in eval mode, because dropout draws masks from the set's generator. */
static void gradients(const user *u, double *squares)
{
    ct_params *set = ct_lm_params(u->m);
    int32_t ids[12];
    ct_tensor *inputs[2], *grads[2];
    ct_scope s = ct_scope_begin();
    ct_tensor *x, *loss;
    int i;

    for (i = 0; i < 12; i++)
        ids[i] = (i * 5) % (int32_t)ct_vocab_size(ct_lm_vocab(u->m));
    x = ct_from_data(ids, CT_SHAPE(3, 4), CT_I32, CT_CPU);
    inputs[0] = ct_param_value(ct_params_at(set, 0));
    inputs[1] = ct_param_value(ct_params_at(set, ct_params_count(set) - 1));
    loss = ct_mean(ct_square(ct_lm_forward(u->m, x, NULL, NULL)));
    if (ct_grad(1, &loss, 2, inputs, NULL, false, grads) == CT_OK)
        for (i = 0; i < 2; i++)
            squares[i] = ct_item(ct_sum(ct_square(grads[i])));
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
}

/* Three texts at once. */
static void batch_of_texts(const user *u, char **texts)
{
    ct_lm_request r[3] = { { .prefix = "t", .seed = 1 },
                           { .prefix = "his pale grey eyes", .seed = 2, .count = 9 },
                           { .prefix = "matter", .seed = 3 } };
    int i;

    ck_assert(ct_lm_generate_batch(u->m, 3, r,
                                   (ct_lm_generate_options){
                                       .count = 14, .temperature = 1, .top_p = 0.9 }) == CT_OK);
    for (i = 0; i < 3; i++)
        texts[i] = r[i].text;
}

static void *use_model(void *context)
{
    user *u = context;
    ct_lm_score score;
    int i;

    if (u->begin)
        pthread_barrier_wait(u->begin);
    for (i = 0; i < ROUNDS; i++) {
        outcome *o = &u->got[i];

        o->greedy =
            ct_lm_generate_text(u->m, (ct_lm_generate_options){ .prefix = "the t", .count = 12 });
        o->sampled = ct_lm_generate_text(
            u->m,
            (ct_lm_generate_options){
                .prefix = "his grey", .count = 20, .temperature = 0.9, .top_k = 5, .seed = 4 });
        batch_of_texts(u, o->batch);
        if (ct_lm_evaluate(u->m, u->text, NULL, &score) == CT_OK)
            o->score = score.loss;
        o->loss = loader_loss(u);
        gradients(u, o->grad);
        ck_assert_msg(ct_ok(), "%s", ct_error_message());
    }
    return NULL;
}

static void check_outcome(const char *what, const outcome *got, const outcome *want)
{
    ck_assert_msg(strcmp(got->greedy, want->greedy) == 0, "%s: greedy '%s', not '%s'", what,
                  got->greedy, want->greedy);
    ck_assert_msg(strcmp(got->sampled, want->sampled) == 0, "%s: sampled '%s', not '%s'", what,
                  got->sampled, want->sampled);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(strcmp(got->batch[i], want->batch[i]) == 0, "%s: '%s', not '%s'", what,
                      got->batch[i], want->batch[i]);
    expect_close("score", got->score, want->score, 0);
    expect_close("loss", got->loss, want->loss, 0);
    expect_close("first gradient", got->grad[0], want->grad[0], 0);
    expect_close("last gradient", got->grad[1], want->grad[1], 0);
}

/* Makes the model, lets all threads use it, then one. training is the mode of the set, which
 * inference ignores; without training, the recorded forwards draw no masks. */
static void share_model(ct_lm_options options, int pool)
{
    static user u[THREADS + 1];
    ct_text *text = ct_text_new_from_bytes(words, sizeof words - 1, "words");
    ct_corpus *corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    ct_lm *m = ct_lm_new(corpus, options);
    pthread_barrier_t begin;
    int i, k;

    ck_assert_msg(m != NULL, "%s", ct_error_message());
    ct_params_train(ct_lm_params(m), false);
    ct_set_num_threads(pool);
    ck_assert(pthread_barrier_init(&begin, NULL, THREADS) == 0);
    for (i = 0; i < THREADS; i++) {
        u[i] = (user){ .begin = &begin, .m = m, .corpus = corpus, .text = text };
        ck_assert(pthread_create(&u[i].thread, NULL, use_model, &u[i]) == 0);
    }
    for (i = 0; i < THREADS; i++)
        ck_assert(pthread_join(u[i].thread, NULL) == 0);
    ct_set_num_threads(1);
    u[THREADS] = (user){ .m = m, .corpus = corpus, .text = text };
    use_model(&u[THREADS]);
    for (i = 0; i <= THREADS; i++)
        for (k = 0; k < ROUNDS; k++)
            check_outcome(ct_lm_cell_name(options.cell), &u[i].got[k], &u[THREADS].got[0]);
    for (i = 0; i <= THREADS; i++)
        for (k = 0; k < ROUNDS; k++) {
            harness_free(u[i].got[k].greedy);
            harness_free(u[i].got[k].sampled);
            for (int n = 0; n < 3; n++)
                harness_free(u[i].got[k].batch[n]);
        }
    pthread_barrier_destroy(&begin);
    ct_lm_free(m);
    ct_corpus_free(corpus);
    ct_text_free(text);
}

START_TEST(one_model)
{
    static const ct_lm_options kinds[] = {
        { .cell = CT_LM_CELL_RNN },
        { .cell = CT_LM_CELL_GRU },
        { .cell = CT_LM_CELL_LSTM },
        { .cell = CT_LM_CELL_GRU, .embedding_size = 24, .tied = true, .layer_norm = true },
        { .cell = CT_LM_CELL_LSTM, .embedding_size = 10, .recurrent_dropout = 0.3 },
    };
    ct_lm_options o = kinds[_i % 5];

    o.hidden_size = 24;
    o.num_layers = 3;
    o.dropout = 0.5;
    ct_set_fused_rnn(_i < 5);
    share_model(o, _i % 2 ? 4 : 1);
    ct_set_fused_rnn(true);
}
END_TEST

/* ---- a model in training mode ---- */

/* Inference scopes on some threads change neither the other threads nor the set's mode. */
static void *infer(void *context)
{
    user *u = context;
    int i;

    pthread_barrier_wait(u->begin);
    for (i = 0; i < ROUNDS; i++)
        u->got[i].greedy =
            ct_lm_generate_text(u->m, (ct_lm_generate_options){ .prefix = "the t", .count = 12 });
    return NULL;
}

START_TEST(a_model_in_training)
{
    static user u[THREADS];
    ct_text *text = ct_text_new_from_bytes(words, sizeof words - 1, "words");
    ct_corpus *corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    ct_lm *m = ct_lm_new(
        corpus, (ct_lm_options){
                    .cell = CT_LM_CELL_GRU, .hidden_size = 24, .num_layers = 2, .dropout = 0.5 });
    const ct_generator before = *ct_params_generator(ct_lm_params(m));
    pthread_barrier_t begin;
    char *alone;
    int i, k;

    ck_assert(pthread_barrier_init(&begin, NULL, THREADS) == 0);
    for (i = 0; i < THREADS; i++) {
        u[i] = (user){ .begin = &begin, .m = m };
        ck_assert(pthread_create(&u[i].thread, NULL, infer, &u[i]) == 0);
    }
    for (i = 0; i < THREADS; i++)
        ck_assert(pthread_join(u[i].thread, NULL) == 0);
    ck_assert(ct_params_is_training(ct_lm_params(m)));
    ck_assert_uint_eq(ct_params_generator(ct_lm_params(m))->position, before.position);
    ct_params_train(ct_lm_params(m), false);
    alone = ct_lm_generate_text(m, (ct_lm_generate_options){ .prefix = "the t", .count = 12 });
    for (i = 0; i < THREADS; i++)
        for (k = 0; k < ROUNDS; k++) {
            ck_assert_str_eq(u[i].got[k].greedy, alone);
            harness_free(u[i].got[k].greedy);
        }
    harness_free(alone);
    pthread_barrier_destroy(&begin);
    ct_lm_free(m);
    ct_corpus_free(corpus);
    ct_text_free(text);
}
END_TEST

/* ---- shared tensors ---- */

typedef struct shared {
    pthread_barrier_t begin;
    ct_tensor *one_hot, *x, *view, *index;
} shared;

/* Reads tensors that other threads also read: one that its first reader computes, and views. */
static void *read_shared(void *context)
{
    shared *h = context;
    double *sum = malloc(sizeof *sum);
    ct_scope s;

    pthread_barrier_wait(&h->begin);
    s = ct_scope_begin();
    *sum = ct_item(ct_sum(ct_matmul(h->one_hot, h->x))) + ct_item(ct_sum(h->one_hot)) +
           ct_item(ct_sum(ct_tanh(h->view))) + ct_item(ct_sum(ct_embedding(h->x, h->index))) +
           ((const float *)ct_data(h->one_hot))[1];
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    return sum;
}

START_TEST(shared_tensors)
{
    static const int32_t ids[6] = { 1, 0, 4, 2, 2, 3 };
    ct_generator g = ct_generator_from_seed(5);
    pthread_t thread[THREADS];
    double *sum[THREADS];
    shared h = { 0 };
    ct_scope s = ct_scope_begin();
    int i;

    h.index = ct_from_data(ids, CT_SHAPE(6), CT_I32, CT_CPU);
    h.one_hot = ct_one_hot(h.index, 5);
    h.x = ct_randn(CT_SHAPE(5, 3), CT_F32, CT_CPU, &g);
    h.view = ct_transpose(h.x, 0, 1);
    ck_assert(pthread_barrier_init(&h.begin, NULL, THREADS) == 0);
    for (i = 0; i < THREADS; i++)
        ck_assert(pthread_create(&thread[i], NULL, read_shared, &h) == 0);
    for (i = 0; i < THREADS; i++) {
        ck_assert(pthread_join(thread[i], (void **)&sum[i]) == 0);
        ck_assert(isfinite(*sum[i]) && *sum[i] == *sum[0]);
    }
    for (i = 0; i < THREADS; i++)
        free(sum[i]);
    pthread_barrier_destroy(&h.begin);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void threads_model_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "one model");

    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, one_model, 0, 10);
    tcase_add_test(tc, a_model_in_training);
    tcase_add_loop_test(tc, shared_tensors, 0, 3);
}
