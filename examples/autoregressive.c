/* SPDX-License-Identifier: MIT */
/* autoregressive.c - d2l.ai's chapter "Working with Sequences": 1,000 points of sin(0.01 t) + 0.2
 * N(0, 1). Models are trained on the first 600 points. They predict each point from the tau = 4
 * points before it. From their own predictions they then predict the next point, and so on, k steps
 * ahead.
 *
 *     root of the mean squared error of the points not trained on
 *                 1 step    4 steps   16 steps   64 steps ahead
 *     linear        0.226      0.232      0.264      0.433
 *     mlp           0.230      0.236      0.306      0.641
 *     rnn           0.227      0.244      0.371      0.704 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cotangent.h>

#include "common.h"
#include "tool/cli.h"

enum { N = 1000, TAU = 4, KINDS = 3, CURVES = 4 };

static const int ahead[CURVES] = { 1, 4, 16, 64 };

/* ---- the models: (B, tau) -> (B, 1) ---- */

typedef struct over_time {
    ct_recurrent *rnn;
    ct_module *linear;
} over_time;

/* A recurrent network reads the tau values one after another. */
static ct_tensor *over_time_forward(void *self, ct_tensor *x)
{
    const over_time *m = self;
    ct_tensor *steps = ct_unsqueeze(ct_transpose(x, 0, 1), -1);     /* (tau, B, 1) */
    ct_tensor *y = ct_recurrent_forward(m->rnn, steps, NULL, NULL); /* (tau, B, hidden) */

    return ct_forward(m->linear, ct_select(y, 0, -1));
}

static ct_module *linear(ct_params *params, const char *name, int64_t out)
{
    return ct_nn_linear(params, name, (ct_nn_linear_options){ .out_features = out });
}

/* Makes model number `kind` with o.hidden units. For the recurrent model, *rnn receives its
 * parts. */
static ct_module *model_of(int kind, ct_params *params, const options *o, over_time *rnn)
{
    if (kind == 0)
        return linear(params, "linear", 1);
    if (kind == 1)
        return ct_nn_sequential(params, 3,
                                (ct_module *[]){ linear(params, "hidden", o->hidden),
                                                 ct_nn_op(params, ct_relu),
                                                 linear(params, "output", 1) });
    rnn->rnn = ct_nn_rnn(params, "rnn", (ct_nn_rnn_options){ .hidden_size = o->hidden });
    rnn->linear = ct_nn_linear(params, "output", (ct_nn_linear_options){ .out_features = 1 });
    return ct_nn_module(params, rnn, over_time_forward);
}

/* ---- training ---- */

typedef struct regression {
    ct_params *params;
    ct_module *net;
    double lr;
} regression;

static ct_tensor *training_step(void *self, ct_step *s)
{
    const regression *m = self;

    return ct_mse_loss(ct_forward(m->net, s->batch->x), s->batch->y, CT_REDUCTION_MEAN);
}

static ct_optimizer *configure_optimizers(void *self)
{
    const regression *m = self;

    return ct_sgd_new(m->params, (ct_sgd_options){ .lr = m->lr });
}

/* ---- prediction ---- */

/* Predicts, k steps ahead, each point of series (N) that has a window of tau points that far before
 * it, and writes the predictions to y. Points without such a window get NaN. */
static void predict(const regression *m, ct_tensor *series, int k, double *y)
{
    ct_scope s = ct_scope_begin_no_grad();
    const int64_t count = N - TAU - k + 1;
    ct_tensor *column[TAU]; /* values of the windows: (count) each */

    for (int i = 0; i < TAU; i++)
        column[i] = ct_narrow(series, 0, i, count);
    for (int step = 0; step < k; step++) {
        ct_tensor *next = ct_forward(m->net, ct_stack(TAU, column, 1)); /* (count, 1) */

        memmove(column, column + 1, (TAU - 1) * sizeof *column);
        column[TAU - 1] = ct_select(next, 1, 0);
    }
    for (int64_t i = 0; i < N - count; i++)
        y[i] = NAN;
    ct_to_host(ct_cast(column[TAU - 1], CT_F64), y + N - count, (size_t)count * sizeof *y);
    if (ct_scope_end(s) != CT_OK)
        y[N - 1] = NAN;
}

/* The root mean squared error of the points from number `seen` on. */
static double error_of(const double *y, const double *truth, int64_t seen)
{
    double sum = 0;

    for (int64_t i = seen; i < N; i++)
        sum += (y[i] - truth[i]) * (y[i] - truth[i]);
    return sqrt(sum / (double)(N - seen));
}

static ct_status draw(const char *path, const double *time, const double *truth, double (*y)[N])
{
    static const char *const names[CURVES] = { "1 step", "4 steps", "16 steps", "64 steps" };
    const ct_plot_options plot = {
        .title = "Predictions of the linear model", .x_label = "time", .y_label = "x", .width = 800
    };
    ct_plot_series lines[1 + CURVES] = { { .name = "data", .count = N, .x = time, .y = truth } };

    for (int i = 0; i < CURVES; i++)
        lines[1 + i] = (ct_plot_series){ .name = names[i], .count = N, .x = time, .y = y[i] };
    return ct_plot_save(path, plot, 1 + CURVES, lines);
}

int main(int argc, char **argv)
{
    static const char *const kinds[KINDS] = { "linear", "mlp", "rnn" };
    static double time[N], truth[N], y[KINDS][CURVES][N];
    options o = options_parse_for(
        argc, argv, "Predicts a noisy sine wave.",
        "hidden epochs lr batch num-train svg seed threads device",
        (options){ .hidden = 16, .epochs = 20, .lr = 0.05, .batch = 16, .num_train = 600 });
    const int64_t seen = o.num_train + TAU; /* the target of the last window is point `seen` - 1 */
    ct_scope scope = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(o.seed);
    ct_tensor *t = ct_arange(1, N + 1, 1, CT_F32, CT_CPU);
    ct_tensor *noise = ct_mul_scalar(ct_randn(CT_SHAPE(N), CT_F32, CT_CPU, &g), 0.2);
    ct_tensor *series = ct_add(ct_sin(ct_mul_scalar(t, 0.01)), noise);

    ct_to_host(ct_cast(t, CT_F64), time, sizeof time);
    ct_to_host(ct_cast(series, CT_F64), truth, sizeof truth);
    series = ct_to(series, o.device);
    if (seen + ahead[CURVES - 1] > N)
        cli_refuse("--num-train: %lld of %d points leave too few to predict",
                   (long long)o.num_train, N);
    printf("root of the mean squared error of the points not trained on\n"
           "            1 step    4 steps   16 steps   64 steps ahead\n");
    for (int kind = 0; kind < KINDS; kind++) {
        ct_params *params =
            ct_params_new((ct_params_options){ .seed = o.seed, .device = o.device });
        over_time rnn;
        regression m = { .params = params, .net = model_of(kind, params, &o, &rnn), .lr = o.lr };
        ct_model model = { .self = &m,
                           .params = params,
                           .training_step = training_step,
                           .configure_optimizers = configure_optimizers };
        ct_trainer trainer = { .max_epochs = o.epochs };
        ct_loader *train =
            ct_loader_series_new(series, (ct_loader_series_options){ .batch_size = o.batch,
                                                                     .steps = TAU,
                                                                     .count = o.num_train,
                                                                     .shuffle = true,
                                                                     .seed = o.seed,
                                                                     .device = o.device });

        ct_fit(&trainer, &model, train, NULL, NULL);
        printf("%-8s", kinds[kind]);
        for (int i = 0; i < CURVES; i++) {
            predict(&m, series, ahead[i], y[kind][i]);
            printf(" %10.3f", error_of(y[kind][i], truth, seen));
        }
        printf("\n");
        ct_loader_free(train);
        ct_params_free(params);
    }
    if (o.svg && draw(o.svg, time, truth, y[0]) == CT_OK)
        printf("the curves of the linear model are in %s\n", o.svg);
    return ct_scope_end(scope);
}
