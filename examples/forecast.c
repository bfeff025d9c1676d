/* SPDX-License-Identifier: MIT */
/* forecast.c - a forecast from a CSV file: a GRU reads a day of hourly temperatures and loads, and
 * predicts the load of the next hour. Training stops when the mean absolute error of the validation
 * hours has not improved for some epochs. An interrupted run resumes where it stopped.
 *
 *     forecast [FILE.csv [CHECKPOINT]]
 *
 * The file has columns temperature and load. Without FILE.csv, the example writes forecast.csv:
 * half a year of values with daily and weekly patterns and noise. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include <cotangent.h>

enum { HOURS = 24, HIDDEN = 32 };

/* ---- the data ---- */

static ct_status write_series(const char *path)
{
    ct_generator g = ct_generator_from_seed(1);
    FILE *f = fopen(path, "w");
    double load = 50;

    if (!f)
        return ct_raise(CT_ERR_IO, "write_series", "%s: cannot be written", path);
    fprintf(f, "hour,temperature,load\r\n");
    for (int hour = 0; hour < 26 * 7 * 24; hour++) {
        double noise = ct_random_uniform(&g) - 0.5, day = sin(hour * 2 * M_PI / 24);
        double temperature = 12 + 8 * sin(hour * 2 * M_PI / (365 * 24)) + 5 * day + 2 * noise;
        double work = hour / 24 % 7 < 5 ? 10 : 0;

        load = 0.6 * load + 0.4 * (50 + work * day - temperature) + 2 * noise;
        fprintf(f, "%d,%.2f,%.2f\r\n", hour, temperature, load);
    }
    return fclose(f) == 0 ? CT_OK : ct_raise(CT_ERR_IO, "write_series", "%s: write error", path);
}

/* ---- the model: (B, 24, 2) -> (B, 1), in units of the standard deviation ---- */

typedef struct forecast {
    ct_params *params;
    ct_recurrent *gru;
    ct_module *linear;
    ct_tensor *shift, *scale; /* mean and deviation over the training part, (2) */
    double mean, deviation;   /* the same, of the load */
} forecast;

/* The metric compares in the units of the file. */
static ct_tensor *training_step(void *self, ct_step *s)
{
    const forecast *m = self;
    ct_tensor *x = ct_div(ct_sub(s->batch->x, m->shift), m->scale);
    ct_tensor *h = ct_recurrent_forward(m->gru, ct_transpose(x, 0, 1), NULL, NULL);
    ct_tensor *y = ct_forward(m->linear, ct_select(h, 0, -1));

    s->prediction = ct_add_scalar(ct_mul_scalar(y, m->deviation), m->mean);
    s->target = s->batch->y;
    return ct_mse_loss(y, ct_div_scalar(ct_sub_scalar(s->target, m->mean), m->deviation),
                       CT_REDUCTION_MEAN);
}

static ct_optimizer *configure_optimizers(void *self)
{
    return ct_adam_new(((forecast *)self)->params, (ct_adam_options){ .lr = 0.005 });
}

static void forecast_init(forecast *m, ct_dataset *train)
{
    ct_scope s = ct_scope_begin();
    ct_batch all;

    m->params = ct_params_new((ct_params_options){ .seed = 1 });
    m->gru =
        ct_nn_gru(m->params, "gru", (ct_nn_gru_options){ .input_size = 2, .hidden_size = HIDDEN });
    m->linear = ct_nn_linear(m->params, "linear", (ct_nn_linear_options){ .out_features = 1 });
    ct_dataset_read(train, 0, 0, &all);
    m->shift = ct_keep(ct_mean_axes(all.x, 1, (int[]){ 0 }, false));
    m->scale = ct_keep(ct_std_axes(all.x, 1, (int[]){ 0 }, 0, false));
    m->mean = ct_item(ct_select(m->shift, 0, 1));
    m->deviation = ct_item(ct_select(m->scale, 0, 1));
    (void)!ct_scope_end(s); /* an error has ended the program */
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "forecast.csv", *run = argc > 2 ? argv[2] : NULL;
    const ct_csv_field fields[] = { { "x", "temperature,load", CT_F32, false },
                                    { "y", "load", CT_F32, false },
                                    { 0 } };
    forecast m = { 0 };
    ct_fit_result fit;

    ct_exit_on_error();
    if (argc < 2)
        write_series(path);
    ct_dataset *rows = ct_dataset_csv_new(path, (ct_dataset_csv_options){ .fields = fields });
    int64_t cut = ct_dataset_count(rows) * 8 / 10; /* the parts have no hour in common */
    ct_dataset *part[2] = { ct_dataset_range_new(rows, 0, cut), NULL };
    ct_loader *loader[2];

    part[1] = ct_dataset_range_new(rows, cut, 0);
    for (int k = 0; k < 2; k++) {
        const ct_dataset_windows_options o = { .steps = HOURS, .x = "x", .y = "y" };
        ct_dataset *windows = ct_dataset_windows_new(part[k], o);

        loader[k] = ct_loader_new(
            windows, (ct_loader_options){ .batch_size = 64, .shuffle = k == 0, .seed = 1 });
        ct_dataset_free(windows); /* the loader keeps it */
    }
    forecast_init(&m, part[0]);
    ct_model model = { .self = &m,
                       .params = m.params,
                       .training_step = training_step,
                       .configure_optimizers = configure_optimizers };
    ct_trainer trainer = { .max_epochs = 30,
                           .metrics = (const ct_metric *[]){ ct_metric_mae(), NULL },
                           .monitor = "val_mae",
                           .patience = 4,
                           .out = stdout,
                           .checkpoint = run,
                           .resume = run && access(run, F_OK) == 0 ? run : NULL };

    ct_trainer_stop_on_signals();
    ct_fit(&trainer, &model, loader[0], loader[1], &fit);
    printf("mean absolute error %.2f after epoch %lld\n", fit.best_value,
           (long long)fit.best_epoch);
    for (int k = 0; k < 2; k++) {
        ct_loader_free(loader[k]);
        ct_dataset_free(part[k]);
    }
    ct_dataset_free(rows);
    ct_free(m.shift), ct_free(m.scale), ct_params_free(m.params);
}
