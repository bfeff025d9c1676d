/* SPDX-License-Identifier: MIT */
/* portable.c - trains small recurrent models and prints a digest of all bits of their losses and
 * weights: It uses portable mode if PORTABLE is set, and THREADS threads. portable.sh runs it on
 * several code paths. */
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

typedef ct_recurrent *maker(ct_params *params, const char *name, ct_nn_recurrent_options options);

static uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */

static void add_bits(ct_tensor *t)
{
    static uint32_t words[1 << 16];
    size_t size = (size_t)ct_numel(t) * sizeof *words, i;

    if (size > sizeof words || ct_to_host(t, words, size) != CT_OK)
        exit(1);
    for (i = 0; i < 4 * (size / sizeof *words); i++)
        digest = (digest ^ (words[i / 4] >> i % 4 * 8 & 0xff)) * 0x100000001b3u;
}

static void step(ct_recurrent *rnn, ct_module *linear, ct_params *params, ct_optimizer *optimizer,
                 ct_generator *g)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_rand(CT_SHAPE(13, 9, 21), CT_F32, CT_CPU, g);
    ct_tensor *draws = ct_rand(CT_SHAPE(13, 9), CT_F32, CT_CPU, g);
    ct_tensor *ids = ct_cast(ct_mul_scalar(draws, 17), CT_I32);
    ct_tensor *y = ct_recurrent_forward(rnn, x, NULL, NULL);
    ct_tensor *loss = ct_cross_entropy(ct_forward(linear, y), ids);

    ct_backward(loss);
    ct_clip_grad_norm(params, 0.1, NULL);
    ct_optimizer_step(optimizer);
    add_bits(loss);
    if (ct_scope_end(s) != CT_OK)
        exit(1);
}

static void train(maker *make, bool adam)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 5 });
    ct_recurrent *rnn =
        make(params, "rnn",
             (ct_nn_recurrent_options){
                 .input_size = 21, .hidden_size = 37, .num_layers = 2, .bidirectional = adam });
    ct_module *linear =
        ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 17 });
    ct_optimizer *optimizer =
        adam ? ct_adam_new(params, (ct_adam_options){ .lr = 0.01 })
             : ct_sgd_new(params, (ct_sgd_options){ .lr = 1, .momentum = 0.9 });
    ct_generator g = ct_generator_from_seed(6);
    int i;

    for (i = 0; i < 5; i++)
        step(rnn, linear, params, optimizer, &g);
    for (i = 0; i < ct_params_count(params); i++) {
        ct_scope s = ct_scope_begin_no_grad();

        add_bits(ct_param_value(ct_params_at(params, i)));
        if (ct_scope_end(s) != CT_OK)
            exit(1);
    }
    ct_optimizer_free(optimizer);
    ct_params_free(params);
}

int main(void)
{
    int adam;

    ct_exit_on_error();
    ct_set_portable(getenv("PORTABLE") != NULL);
    if (getenv("THREADS"))
        ct_set_num_threads(atoi(getenv("THREADS")));
    for (adam = 0; adam < 2; adam++) {
        train(ct_nn_rnn, adam);
        train(ct_nn_lstm, adam);
        train(ct_nn_gru, adam);
    }
    printf("%016llx\n", (unsigned long long)digest);
    return 0;
}
