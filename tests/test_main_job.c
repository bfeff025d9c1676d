/* SPDX-License-Identifier: MIT */
/* test_main_job.c - the main job's numbers.
 *
 * The first ten losses and gradient norms of both protocols are compared with PyTorch's, which are
 * in tests/torch/main_job.txt. The docstring of main_job.py says what both sides compute. Then the
 * derivatives of the job's ops and of its whole model are compared with finite differences. */
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#define STEPS 10
#define BLOCKS 8
#define VOCAB 28

/* ---- ten steps of training against PyTorch's ---- */

/* One block of main_job.txt. */
typedef struct block {
    char protocol[16], dtype[8];
    double clip, loss[STEPS], norm[STEPS];
} block;

static block read_block(int number)
{
    FILE *in = fopen(harness_source("tests/torch/main_job.txt"), "r");
    char line[256];
    int row = STEPS, blocks = 0;
    block b;

    ck_assert_msg(in != NULL, "tests/torch/main_job.txt cannot be opened");
    memset(&b, 0, sizeof b);
    while (fgets(line, sizeof line, in)) {
        if (line[0] == '#')
            continue;
        if (row == STEPS) {
            ck_assert_int_eq(sscanf(line, "run %15s %7s %lf", b.protocol, b.dtype, &b.clip), 3);
            row = 0;
            blocks++;
            continue;
        }
        ck_assert_int_eq(sscanf(line, "%lf %lf", &b.loss[row], &b.norm[row]), 2);
        if (++row == STEPS && blocks == number + 1)
            break;
    }
    ck_assert_msg(blocks == number + 1 && row == STEPS, "main_job.txt has no block %d", number);
    fclose(in);
    return b;
}

typedef struct rnnlm {
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    ct_optimizer *sgd;
    ct_state *state; /* carried from batch to batch; NULL in the book protocol */
    ct_dtype dtype;
} rnnlm;

/* Returns element i of parameter k, by the formula of main_job.py. */
static float initial_weight(uint32_t i, uint32_t k, int64_t hidden)
{
    uint32_t x = i * 2654435761u + k * 40503u + 12345u;

    x ^= x >> 16;
    x *= 2246822519u;
    x ^= x >> 13;
    return (float)((x / 4294967296.0 * 2.0 - 1.0) * (1.0 / sqrt((double)hidden)));
}

static void set_weights(ct_params *params, int64_t hidden)
{
    static const char *const names[] = { "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0",
                                         "rnn.bias_hh_l0",   "linear.weight",    "linear.bias" };
    ct_scope s = ct_scope_begin_no_grad();
    uint32_t k, i;

    ck_assert_int_eq(ct_params_count(params), 6);
    for (k = 0; k < 6; k++) {
        ct_tensor *w = ct_param_value(ct_params_get(params, names[k]));
        uint32_t n = (uint32_t)ct_numel(w);
        float *values = malloc(n * sizeof *values);

        for (i = 0; i < n; i++)
            values[i] = initial_weight(i, k, hidden);
        ct_copy_into(w, ct_cast(ct_from_data(values, ct_tensor_shape(w), CT_F32, DEVICE),
                                ct_tensor_dtype(w)));
        free(values);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}

static rnnlm new_model(const block *b)
{
    bool classic = strcmp(b->protocol, "classic") == 0;
    int64_t hidden = classic ? 256 : 32;
    rnnlm m = { .dtype = strcmp(b->dtype, "f64") == 0 ? CT_F64 : CT_F32 };

    m.params = ct_params_new((ct_params_options){ .device = DEVICE, .dtype = m.dtype });
    m.rnn = ct_nn_rnn(m.params, "rnn",
                      (ct_nn_rnn_options){ .input_size = VOCAB, .hidden_size = hidden });
    m.linear = ct_nn_linear(m.params, "linear",
                            (ct_nn_linear_options){ .in_features = hidden, .out_features = VOCAB });
    m.sgd = ct_sgd_new(m.params, (ct_sgd_options){ .lr = 1 });
    m.state = classic ? ct_recurrent_begin_state(m.rnn, 32) : NULL;
    expect_ok();
    set_weights(m.params, hidden);
    return m;
}

static void free_model(rnnlm *m)
{
    ct_state_free(m->state);
    ct_optimizer_free(m->sgd);
    ct_params_free(m->params);
}

/* ids (B, T) -> logits (B, T, VOCAB) */
static ct_tensor *rnnlm_forward(const rnnlm *m, ct_tensor *ids, const ct_state *state,
                                ct_state **next)
{
    ct_tensor *x = ct_one_hot_as(ct_transpose(ids, 0, 1), VOCAB, m->dtype);
    ct_tensor *y = ct_recurrent_forward(m->rnn, x, state, next);

    return ct_transpose(ct_forward(m->linear, y), 0, 1);
}

static ct_corpus *read_corpus(const char *path, const block *b)
{
    bool classic = strcmp(b->protocol, "classic") == 0;
    const ct_corpus_options how = {
        .clean = classic ? CT_CLEAN_LINES : CT_CLEAN_TEXT,
        .vocab = { .order = classic ? CT_VOCAB_ORDER_FREQUENCY : CT_VOCAB_ORDER_SORTED },
        .max_tokens = classic ? 10000 : 0,
    };
    ct_text *text = ct_text_read(path);
    ct_corpus *corpus = ct_corpus_new(text, how);

    ct_text_free(text);
    expect_ok();
    return corpus;
}

static ct_loader *new_loader(const ct_corpus *corpus, const block *b)
{
    if (strcmp(b->protocol, "classic") == 0)
        return ct_loader_sequences_new(
            corpus,
            (ct_loader_sequences_options){ .batch_size = 32, .steps = 35, .device = DEVICE });
    return ct_loader_windows_new(
        corpus, (ct_loader_windows_options){
                    .batch_size = 1024, .steps = 32, .count = 10000, .device = DEVICE });
}

/* Begins the epoch of step 0 with offset 3 or, in the classic protocol, that of step 8 with offset
 * 17. */
static void begin_epoch(ct_loader *loader, const rnnlm *m, int epoch)
{
    if (m->state) {
        ck_assert(ct_loader_set_offset(loader, epoch == 0 ? 3 : 17) == CT_OK);
        ck_assert(ct_state_zero(m->state) == CT_OK);
    }
    ck_assert(ct_loader_begin(loader) == CT_OK);
}

START_TEST(first_ten_steps_are_pytorchs)
{
    const char *path = harness_data("timemachine.txt");
    block b = read_block(_i);
    double tolerance = strcmp(b.dtype, "f64") == 0 ? 1e-8 : 1e-5;
    ct_corpus *corpus;
    ct_loader *loader;
    int step, epoch = 0;
    rnnlm m;

    if (!path)
        return;
    m = new_model(&b);
    corpus = read_corpus(path, &b);
    loader = new_loader(corpus, &b);
    begin_epoch(loader, &m, epoch);
    for (step = 0; step < STEPS; step++) {
        ct_scope s = ct_scope_begin();
        ct_state *next;
        ct_tensor *loss;
        ct_batch batch;
        double norm;
        char what[64];

        if (!ct_loader_next(loader, &batch)) {
            begin_epoch(loader, &m, ++epoch);
            ck_assert(ct_loader_next(loader, &batch));
        }
        ck_assert(batch.continues == (m.state != NULL && step != 0 && step != 8));
        loss = ct_cross_entropy(rnnlm_forward(&m, batch.x, m.state, &next), batch.y);
        ct_backward(loss);
        ct_clip_grad_norm(m.params, b.clip, &norm);
        ct_optimizer_step(m.sgd);
        if (m.state)
            ct_state_carry(m.state, next);
        snprintf(what, sizeof what, "%s %s clip %g, step %d", b.protocol, b.dtype, b.clip, step);
        expect_close(what, ct_item(loss), b.loss[step], tolerance);
        expect_close(what, norm, b.norm[step], tolerance);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
    ck_assert_int_eq(epoch, m.state ? 1 : 0);
    ct_loader_free(loader);
    ct_corpus_free(corpus);
    free_model(&m);
}
END_TEST

/* ---- the job's ops against finite differences ---- */

static ct_tensor *f_add(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_add(in[0], in[1]);
}

static ct_tensor *f_tanh(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_tanh(in[0]);
}

static ct_tensor *f_relu(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_relu(in[0]);
}

static ct_tensor *f_linear(int count, ct_tensor *const *in, void *context)
{
    (void)context;
    return ct_linear(in[0], in[1], count > 2 ? in[2] : NULL);
}

/* in: weight (out, 5), bias (out). The input is one-hot, so rows are gathered. */
static ct_tensor *f_linear_one_hot(int count, ct_tensor *const *in, void *context)
{
    const int32_t ids[6] = { 4, 0, 2, 2, 1, 4 };
    ct_tensor *x = ct_one_hot_as(ct_from_data(ids, CT_SHAPE(2, 3), CT_I32, DEVICE), 5, CT_F64);

    (void)context;
    return ct_linear(x, in[0], count > 1 ? in[1] : NULL);
}

static ct_tensor *f_transpose(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_transpose(in[0], 0, 1);
}

static ct_tensor *f_select(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_mul(ct_select(in[0], 0, 2), ct_select(in[0], 0, 0));
}

static ct_tensor *f_stack(int count, ct_tensor *const *in, void *context)
{
    (void)context;
    return ct_stack(count, in, 0);
}

static ct_tensor *f_cat(int count, ct_tensor *const *in, void *context)
{
    (void)context;
    return ct_cat(count, in, 1);
}

static ct_tensor *f_reshape(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_reshape(ct_transpose(in[0], 0, 1), CT_SHAPE(-1));
}

/* in: logits (2, 3, 4). The loss gets a view of them, as in the model. */
static ct_tensor *f_cross_entropy(int count, ct_tensor *const *in, void *context)
{
    const int32_t ids[6] = { 3, 0, 1, 1, 2, 3 };
    ct_tensor *targets = ct_from_data(ids, CT_SHAPE(3, 2), CT_I32, DEVICE);

    (void)count;
    return ct_cross_entropy_with(ct_transpose(in[0], 0, 1), targets,
                                 *(const ct_cross_entropy_options *)context);
}

static ct_cross_entropy_options ce_mean, ce_sum = { .reduction = CT_REDUCTION_SUM },
                                         ce_none = { .reduction = CT_REDUCTION_NONE },
                                         ce_all = { .reduction = CT_REDUCTION_MEAN,
                                                    .label_smoothing = 0.1,
                                                    .has_ignore_index = true,
                                                    .ignore_index = 1 };

static const struct op_case {
    const char *name;
    ct_gradcheck_function f;
    int count;
    ct_shape shape[3];
    void *context;
} op_cases[] = {
    { "add", f_add, 2, { { 2, { 3, 4 } }, { 2, { 3, 4 } } }, NULL },
    { "add, broadcast", f_add, 2, { { 2, { 3, 4 } }, { 1, { 4 } } }, NULL },
    { "tanh", f_tanh, 1, { { 2, { 3, 4 } } }, NULL },
    { "relu", f_relu, 1, { { 2, { 3, 4 } } }, NULL },
    { "linear", f_linear, 3, { { 3, { 2, 3, 4 } }, { 2, { 5, 4 } }, { 1, { 5 } } }, NULL },
    { "linear, no bias", f_linear, 2, { { 2, { 3, 4 } }, { 2, { 5, 4 } } }, NULL },
    { "linear, one-hot", f_linear_one_hot, 2, { { 2, { 4, 5 } }, { 1, { 4 } } }, NULL },
    { "linear, one-hot, no bias", f_linear_one_hot, 1, { { 2, { 4, 5 } } }, NULL },
    { "transpose", f_transpose, 1, { { 3, { 2, 3, 4 } } }, NULL },
    { "select", f_select, 1, { { 3, { 4, 2, 3 } } }, NULL },
    { "stack", f_stack, 3, { { 2, { 2, 3 } }, { 2, { 2, 3 } }, { 2, { 2, 3 } } }, NULL },
    { "cat", f_cat, 2, { { 2, { 2, 3 } }, { 2, { 2, 1 } } }, NULL },
    { "reshape", f_reshape, 1, { { 2, { 3, 4 } } }, NULL },
    { "cross_entropy", f_cross_entropy, 1, { { 3, { 2, 3, 4 } } }, &ce_mean },
    { "cross_entropy, sum", f_cross_entropy, 1, { { 3, { 2, 3, 4 } } }, &ce_sum },
    { "cross_entropy, none", f_cross_entropy, 1, { { 3, { 2, 3, 4 } } }, &ce_none },
    { "cross_entropy, smoothed, ignoring", f_cross_entropy, 1, { { 3, { 2, 3, 4 } } }, &ce_all },
};

#define OP_CASES (LENGTH(op_cases))

START_TEST(ops_of_the_job)
{
    const struct op_case *c = &op_cases[_i];
    ct_generator g = ct_generator_stream(ct_generator_from_seed(11), c->name);
    ct_scope s = ct_scope_begin();
    ct_tensor *in[3];
    int i;

    for (i = 0; i < c->count; i++)
        in[i] = ct_set_requires_grad(ct_randn(c->shape[i], CT_F64, DEVICE, &g), true);
    ck_assert_msg(ct_gradcheck(c->f, c->count, in, c->context, &g, 0, 0), "%s: %s", c->name,
                  ct_error_message());
    ck_assert_msg(ct_gradgradcheck(c->f, c->count, in, c->context, &g, 0, 0), "%s: %s", c->name,
                  ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- the whole model ---- */

#define T 4
#define B 3
#define CLASSES 5

typedef struct whole {
    ct_recurrent *rnn;
    ct_module *linear;
    bool dense; /* in[0] is x (T, B, CLASSES) and in[1] the first state; else x is one-hot */
    bool loss;  /* true: the mean loss, as in the job; false: each token's loss, and the last
                 * state */
} whole;

static const int32_t x_ids[B * T] = { 1, 4, 0, 2, 2, 3, 1, 1, 0, 0, 4, 3 };
static const int32_t y_ids[B * T] = { 4, 0, 2, 2, 3, 1, 1, 0, 0, 4, 3, 1 };

/* The parameters are also in in; the modules take them from their set. */
static ct_tensor *f_model(int count, ct_tensor *const *in, void *context)
{
    const whole *w = context;
    ct_tensor *ids = ct_from_data(x_ids, CT_SHAPE(B, T), CT_I32, DEVICE);
    ct_tensor *targets = ct_from_data(y_ids, CT_SHAPE(B, T), CT_I32, DEVICE), *x, *y, *logits;
    ct_state *next, *state = NULL;

    (void)count;
    if (w->dense)
        state = ct_state_from_tensors(1, &in[1]);
    x = w->dense ? in[0] : ct_one_hot_as(ct_transpose(ids, 0, 1), CLASSES, CT_F64);
    y = ct_recurrent_forward(w->rnn, x, state, &next);
    logits = ct_transpose(ct_forward(w->linear, y), 0, 1);
    if (w->loss)
        return ct_cross_entropy(logits, targets);
    x = ct_cross_entropy_with(logits, targets,
                              (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE });
    y = ct_state_get(next, 0);
    return ct_cat(2, (ct_tensor *[]){ ct_reshape(x, CT_SHAPE(-1)), ct_reshape(y, CT_SHAPE(-1)) },
                  0);
}

static const struct model_case {
    const char *name;
    ct_nn_rnn_options rnn;
    bool dense, loss;
} model_cases[] = {
    { "tanh, the job's loss", { .hidden_size = 3 }, false, true },
    { "tanh", { .hidden_size = 3 }, false, false },
    { "relu", { .hidden_size = 3, .nonlinearity = CT_NONLINEARITY_RELU }, false, false },
    { "tanh, two layers", { .hidden_size = 3, .num_layers = 2 }, false, false },
    { "relu, two layers",
      { .hidden_size = 3, .num_layers = 2, .nonlinearity = CT_NONLINEARITY_RELU },
      false,
      false },
    { "tanh, bidirectional", { .hidden_size = 3, .bidirectional = true }, false, false },
    { "two layers, bidirectional, no bias",
      { .hidden_size = 2, .num_layers = 2, .bidirectional = true, .no_bias = true },
      false,
      false },
    { "dense input, a first state, two layers",
      { .hidden_size = 3, .num_layers = 2 },
      true,
      false },
    { "dense input, a first state, relu, bidirectional",
      { .hidden_size = 3, .nonlinearity = CT_NONLINEARITY_RELU, .bidirectional = true },
      true,
      false },
};

#define MODEL_CASES (LENGTH(model_cases))

START_TEST(whole_model)
{
    const struct model_case *c = &model_cases[_i];
    ct_generator g = ct_generator_stream(ct_generator_from_seed(12), c->name);
    ct_params *params =
        ct_params_new((ct_params_options){ .dtype = CT_F64, .device = DEVICE, .seed = 3 });
    whole w = { .dense = c->dense, .loss = c->loss };
    ct_nn_rnn_options options = c->rnn;
    ct_scope s = ct_scope_begin();
    ct_tensor *in[16];
    int count = 0, i,
        states = (c->rnn.num_layers ? c->rnn.num_layers : 1) * (c->rnn.bidirectional ? 2 : 1);

    options.input_size = CLASSES;
    w.rnn = ct_nn_rnn(params, "rnn", options);
    w.linear = ct_nn_linear(
        params, "linear",
        (ct_nn_linear_options){ .in_features = c->rnn.hidden_size * (c->rnn.bidirectional ? 2 : 1),
                                .out_features = CLASSES });
    if (c->dense) {
        in[count++] =
            ct_set_requires_grad(ct_randn(CT_SHAPE(T, B, CLASSES), CT_F64, DEVICE, &g), true);
        in[count++] = ct_set_requires_grad(
            ct_randn(CT_SHAPE(states, B, c->rnn.hidden_size), CT_F64, DEVICE, &g), true);
    }
    for (i = 0; i < ct_params_count(params); i++)
        in[count++] = ct_param_value(ct_params_at(params, i));
    ck_assert_msg(ct_gradcheck(f_model, count, in, &w, &g, 0, 0), "%s: %s", c->name,
                  ct_error_message());
    ck_assert_msg(ct_gradgradcheck(f_model, count, in, &w, &g, 0, 0), "%s: %s", c->name,
                  ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("main_job");
    TCase *tc = harness_case(suite, "against PyTorch");

    tcase_add_loop_test(tc, first_ten_steps_are_pytorchs, 0, BLOCKS);
    tc = harness_case(suite, "derivatives");
    tcase_add_loop_test(tc, ops_of_the_job, 0, OP_CASES);
    tcase_add_loop_test(tc, whole_model, 0, MODEL_CASES);
    harness_pooled = true;
    return harness_run(suite);
}
