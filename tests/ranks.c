/* SPDX-License-Identifier: MIT */
/* ranks.c - a training loop on the ranks of mpirun, for tests/mpi.sh. It has gradients over 16
 * decades, sizes that are no multiple of the shards, and an empty shard. Rank 0 prints the digests
 * of all results, which must not depend on the number of ranks.
 *
 *     mpirun -np 3 tests/ranks SHARDS [fault]
 *
 * It also evaluates a module and a language model, and generates texts. If COTANGENT_TEST_DEVICE
 * names a device, the gradients are computed there, nothing else is done, and rank 0 prints on
 * stderr how many bytes it has read from the device. fault is "late" (rank 1 sleeps for a minute),
 * "dead" (rank 1 kills itself), "error" (rank 1 raises an error) or "device" (each rank prints the
 * name of its device on stderr). */
#include <cotangent.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ct_device device;

#define MOST_ROWS 24
#define MOST_COLUMNS 4099

/* Returns (rows, columns) values over 16 decades, of both signs, with some -0. */
static ct_tensor *numbers(int rows, int columns)
{
    static float x[MOST_ROWS * MOST_COLUMNS];
    ct_generator g = ct_generator_from_seed((uint64_t)(rows * columns));

    for (int i = 0; i < rows * columns; i++) {
        const double sign = ct_random_u32(&g) % 2 ? 1 : -1;
        const double size = pow(10, 16 * ct_random_uniform(&g) - 8);

        x[i] = (float)(sign * (ct_random_u32(&g) % 9 ? size : 0));
    }
    return ct_from_data(x, CT_SHAPE(rows, columns), CT_F32, device);
}

/* Runs one batch. Rank 0 prints the digests of the loss and of the gradient, and they are
 * compared with those of the other ranks. */
static void step(ct_world *w, int rows, int columns)
{
    static float gradient[MOST_COLUMNS];
    const size_t bytes = (size_t)columns * sizeof(float);
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1, .device = device });
    ct_param *weight = ct_params_add(params, "w", CT_SHAPE(columns), ct_init_constant(1));
    ct_scope s = ct_scope_begin();
    ct_batch batch = { .x = numbers(rows, columns), .rows = rows, .tokens = rows }, part;
    char own[65] = "", first[65];
    double loss;

    while (ct_world_shard(w, params, &batch, &part))
        ct_world_backward(w, ct_mean(ct_sum_axis(ct_mul(part.x, ct_param_value(weight)), 1, false)),
                          (double)part.rows);
    if (ct_world_reduce(w, &loss) == CT_OK &&
        ct_to_host(ct_tensor_grad(ct_param_value(weight)), gradient, bytes) == CT_OK)
        ct_sha256_hex(gradient, bytes, own);
    memcpy(first, own, sizeof first);
    if (ct_world_broadcast(w, first, sizeof first) == CT_OK && strcmp(first, own) != 0)
        ct_world_fail(w, "this rank has another gradient than rank 0");
    if (ct_scope_end(s) == CT_OK && ct_world_rank(w) == 0)
        printf("%d x %d: %a %s\n", rows, columns, loss, own);
    ct_params_free(params);
}

/* ---- evaluation and generation ---- */

static ct_tensor *square_step(void *self, ct_step *s)
{
    s->prediction = ct_forward(self, s->batch->x);
    s->target = s->batch->y;
    return ct_mse_loss(s->prediction, s->target, CT_REDUCTION_MEAN);
}

/* ct_evaluate makes a world of its own, with COTANGENT_SHARDS shards. The last batch has 3 rows. */
static void evaluate(int rank)
{
    const ct_metric *const metrics[] = { ct_metric_mse(), NULL };
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = numbers(23, 40);
    ct_loader *l =
        ct_loader_tensors_new(x, numbers(23, 1), (ct_loader_tensors_options){ .batch_size = 10 });
    ct_module *m = ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 1 });
    const ct_model model = { .self = m, .params = params, .validation_step = square_step };
    double loss, values[1];

    if (ct_evaluate(&model, l, metrics, &loss, values) == CT_OK && rank == 0)
        printf("evaluate: %a %a\n", loss, values[0]);
    ct_loader_free(l);
    if (ct_scope_end(s) != CT_OK)
        return;
    ct_params_free(params);
}

/* ---- a run ---- */

typedef struct normed {
    ct_params *params;
    ct_module *linear, *norm;
} normed;

static ct_tensor *normed_step(void *self, ct_step *s)
{
    const normed *m = self;

    return ct_mse_loss(ct_forward(m->norm, ct_forward(m->linear, s->batch->x)), s->batch->y,
                       CT_REDUCTION_MEAN);
}

static ct_optimizer *normed_optimizer(void *self)
{
    const normed *m = self;

    return ct_sgd_new(m->params, (ct_sgd_options){ .lr = 0.1 });
}

/* Prints a digest of the values, with the running statistics. */
static void print_values(ct_params *params)
{
    char digest[65] = "";
    float values[100];

    for (int i = 0; i < ct_params_count(params); i++) {
        ct_scope s = ct_scope_begin_no_grad();
        ct_tensor *t = ct_cast(ct_param_value(ct_params_at(params, i)), CT_F32);
        const size_t bytes = (size_t)ct_numel(t) * sizeof(float);

        if (bytes <= sizeof values && ct_to_host(t, values, bytes) == CT_OK)
            ct_sha256_hex(values, bytes, digest);
        printf("fit: %s %s\n", ct_param_name(ct_params_at(params, i)), digest);
        if (ct_scope_end(s) != CT_OK)
            return;
    }
}

/* An update has two batches of 24 rows, or the last batch, of 16 rows. */
static void fit(ct_world *w)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1, .device = device });
    normed m = { params, NULL, NULL };
    ct_generator g = ct_generator_from_seed(7);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_randn(CT_SHAPE(64, 9), CT_F32, device, &g);
    ct_loader *l = ct_loader_tensors_new(x, ct_narrow(x, 1, 0, 5),
                                         (ct_loader_tensors_options){ .batch_size = 24 });
    const ct_model model = { .self = &m,
                             .params = params,
                             .training_step = normed_step,
                             .configure_optimizers = normed_optimizer };
    const ct_trainer trainer = { .max_epochs = 3, .accumulate = 2, .world = w };

    m.linear = ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 5 });
    m.norm = ct_nn_batch_norm(params, "norm", (ct_nn_batch_norm_options){ 0 });
    if (ct_fit(&trainer, &model, l, NULL, NULL) == CT_OK && ct_world_rank(w) == 0)
        print_values(params);
    ct_loader_free(l);
    if (ct_scope_end(s) != CT_OK)
        return;
    ct_params_free(params);
}

static void language_model(ct_world *w)
{
    static const char *const prefixes[] = { "the ", "time", "a", "x", "tra", "he", "so" };
    static char prose[3000];
    ct_text *text;
    ct_lm_request ask[7] = { { .prefix = NULL } };
    ct_lm_score score;
    ct_corpus *c;
    ct_lm *m;

    for (size_t i = 0; i < sizeof prose; i++)
        prose[i] = (char)('a' + i * i % 26);
    text = ct_text_new_from_bytes(prose, sizeof prose, "prose");
    c = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_LETTERS });
    m = ct_lm_new(c, (ct_lm_options){ .hidden_size = 8 });
    if (ct_lm_evaluate(m, text, w, &score) == CT_OK && ct_world_rank(w) == 0)
        printf("loss: %a\n", score.loss);
    for (int i = 0; i < 7; i++)
        ask[i] = (ct_lm_request){ .prefix = prefixes[i], .seed = (uint64_t)i };
    ct_lm_generate_batch(m, 7, ask,
                         (ct_lm_generate_options){ .count = 20, .temperature = 1, .world = w });
    for (int i = 0; i < 7; i++) {
        if (ct_world_rank(w) == 0)
            printf("%s\n", ask[i].text ? ask[i].text : ask[i].message);
        free(ask[i].text);
    }
    ct_lm_free(m);
    ct_corpus_free(c);
    ct_text_free(text);
}

static void fault(ct_world *w, const char *kind)
{
    const int rank = ct_world_rank(w);

    if (strcmp(kind, "device") == 0)
        fprintf(stderr, "rank %d %s\n", rank, ct_device_name(device));
    if (strcmp(kind, "late") == 0 && rank == 1)
        sleep(60);
    if (strcmp(kind, "dead") == 0 && rank == 1)
        raise(SIGKILL);
    if (strcmp(kind, "error") == 0 && rank == 1)
        ct_raise(CT_ERR_IO, "ranks", "the disk is full");
}

int main(int argc, char **argv)
{
    static const int sizes[][2] = { { 24, 4099 }, { 13, 1000 }, { 3, 77 }, { 8, 1 }, { 1, 5 } };
    ct_world *w = ct_world_new((ct_world_options){ .shards = argc > 1 ? atoi(argv[1]) : 0 });
    const char *name = getenv("COTANGENT_TEST_DEVICE");
    int status;

    device = ct_device_from_name(name ? name : "cpu");
    ct_trainer_stop_on_signals();
    if (w && argc > 2)
        fault(w, argv[2]);
    for (size_t i = 0; w && i < sizeof sizes / sizeof *sizes; i++)
        step(w, sizes[i][0], sizes[i][1]);
    if (w && name && ct_world_rank(w) == 0)
        fprintf(stderr, "read %llu bytes\n",
                (unsigned long long)ct_device_get_stats(device).download_bytes);
    if (w && argc == 2)
        fit(w);
    if (w && argc == 2 && !name) {
        evaluate(ct_world_rank(w));
        language_model(w);
    }
    status = !ct_ok();
    ct_world_free(w);
    return status;
}
