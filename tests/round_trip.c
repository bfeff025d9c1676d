/* SPDX-License-Identifier: MIT */
/* round_trip.c - this library's half of tests/round_trip.sh: reads files that PyTorch and NumPy
 * wrote, and writes files for them.
 *
 *     round_trip save KIND FILE SEED X       a model of rnn, lstm or gru, of normal values times X
 *     round_trip predict KIND FILE ID N      load it; ID, N ids more, and the last step's logits
 *     round_trip copy FROM TO                all tensors of a safetensors file
 *     round_trip npy FROM TO                 a NPY file
 *     round_trip module-save|module-run ...  round_trip_modules.c */
#include "tests/round_trip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#define VOCAB 28
#define HIDDEN 16
#define STEPS 200
#define TENSORS 64

typedef struct rnnlm {
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
} rnnlm;

/* If sized is false, the input sizes come from the file. */
static rnnlm rnnlm_new(const char *kind, uint64_t seed, bool sized)
{
    rnnlm m = { .params = ct_params_new((ct_params_options){ .seed = seed }) };
    const ct_nn_recurrent_options o = { .input_size = sized ? VOCAB : 0,
                                        .hidden_size = HIDDEN,
                                        .num_layers = 2 };

    m.rnn = strcmp(kind, "lstm") == 0  ? ct_nn_lstm(m.params, "rnn", o)
            : strcmp(kind, "gru") == 0 ? ct_nn_gru(m.params, "rnn", o)
                                       : ct_nn_rnn(m.params, "rnn", o);
    m.linear = ct_nn_linear(
        m.params, "linear",
        (ct_nn_linear_options){ .in_features = sized ? HIDDEN : 0, .out_features = VOCAB });
    return m;
}

/* Computes the logits (VOCAB) after the last of T ids. */
static void last_logits(const rnnlm *m, const int32_t *ids, int t, float *logits)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_one_hot(ct_from_data(ids, CT_SHAPE(t, 1), CT_I32, CT_CPU), VOCAB);
    ct_tensor *y = ct_forward(m->linear, ct_recurrent_forward(m->rnn, x, NULL, NULL));

    ct_to_host(ct_select(y, 0, t - 1), logits, VOCAB * sizeof *logits);
    if (ct_scope_end(s) != CT_OK)
        exit(1);
}

static int predict(const char *kind, const char *path, int id, int n)
{
    static const ct_prefix d2l[] = { { "rnn.rnn.", "rnn." }, { NULL, NULL } };
    rnnlm m = rnnlm_new(kind, 0, false);
    int32_t ids[STEPS + 1] = { id };
    float logits[VOCAB];
    int t, i;

    if (n < 0 || n > STEPS ||
        ct_params_load(m.params, path, (ct_load_options){ .rename = d2l }) != CT_OK)
        return 1;
    for (t = 1; t <= n + 1; t++) {
        last_logits(&m, ids, t, logits);
        for (i = 1; t <= n && i < VOCAB; i++)
            ids[t] = logits[i] > logits[ids[t]] ? i : ids[t];
        printf("%d ", (int)ids[t - 1]);
    }
    for (i = 0; i < VOCAB; i++)
        printf("%.9g ", logits[i]);
    printf("\n");
    ct_params_free(m.params);
    return 0;
}

static int save(const char *kind, const char *path, uint64_t seed, double spread)
{
    rnnlm m = rnnlm_new(kind, seed, true);
    int failed = ct_params_init(m.params, ct_init_normal(0, spread), seed) != CT_OK ||
                 ct_params_save(m.params, path) != CT_OK;

    ct_params_free(m.params);
    return failed;
}

static int copy(const char *from, const char *to)
{
    ct_scope s = ct_scope_begin();
    ct_safetensors *f = ct_safetensors_open(from);
    const char *names[TENSORS];
    ct_tensor *tensors[TENSORS];
    int i, n = ct_safetensors_count(f), failed;

    for (i = 0; i < n && i < TENSORS; i++) {
        names[i] = ct_safetensors_name(f, i);
        tensors[i] = ct_safetensors_load(f, i, CT_CPU);
    }
    failed = ct_safetensors_write(to, i, names, tensors, NULL) != CT_OK;
    ct_safetensors_close(f);
    return ct_scope_end(s) != CT_OK || failed;
}

static int npy(const char *from, const char *to)
{
    ct_scope s = ct_scope_begin();
    int failed = ct_npy_write(to, ct_npy_read(from, CT_CPU)) != CT_OK;

    return ct_scope_end(s) != CT_OK || failed;
}

int main(int argc, char **argv)
{
    ct_exit_on_error();
    if (argc == 6 && strcmp(argv[1], "save") == 0)
        return save(argv[2], argv[3], strtoull(argv[4], NULL, 10), atof(argv[5]));
    if (argc == 6 && strcmp(argv[1], "predict") == 0)
        return predict(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]));
    if (argc == 4 && strcmp(argv[1], "copy") == 0)
        return copy(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "npy") == 0)
        return npy(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "module-save") == 0)
        return round_trip_module_save(argv[2], argv[3], argv[4]);
    if (argc == 7 && strcmp(argv[1], "module-run") == 0)
        return round_trip_module_run(argv[2], argv + 3);
    fprintf(stderr, "usage: round_trip save|predict|copy|npy|module-save|module-run ...\n");
    return 2;
}
