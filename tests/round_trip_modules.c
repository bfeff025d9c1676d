/* SPDX-License-Identifier: MIT */
/* round_trip_modules.c - single modules for tests/round_trip.sh: writes weights for PyTorch, and
 * computes outputs from PyTorch's weights and inputs.
 *
 *     round_trip module-save KIND DTYPE FILE         normal values
 *     round_trip module-run KIND FILE IN OUT AFTER   loads FILE, runs the tensors of IN ("x", and
 *                                                    "memory", "key", "value", "lengths" as the kind
 *                                                    needs), writes "y" and all entries of the set */
#include "tests/round_trip.h"

#include <stdio.h>
#include <string.h>

#include <cotangent.h>

enum { X, MEMORY, KEY, VALUE, LENGTHS, INPUTS };

typedef struct module_kind {
    const char *name;
    void *(*make)(ct_params *set, const struct module_kind *kind);
    ct_tensor *(*run)(void *module, ct_tensor *const *in, const struct module_kind *kind);
    bool training, causal;
    ct_nn_transformer_options o;
    ct_nn_multihead_attention_options attention;
    ct_transformer *(*transformer)(ct_params *set, const char *name, ct_nn_transformer_options o);
} module_kind;

static void *module_make_norms(ct_params *set, const module_kind *kind)
{
    ct_module *each[] = {
        ct_nn_layer_norm(set, "ln", (ct_nn_layer_norm_options){ .size = 6 }),
        ct_nn_rms_norm(set, "rms", (ct_nn_rms_norm_options){ .size = 6 }),
        ct_nn_group_norm(set, "gn", (ct_nn_group_norm_options){ .groups = 2, .channels = 4 }),
        ct_nn_batch_norm(set, "bn", (ct_nn_batch_norm_options){ .channels = 4 }),
    };

    (void)kind;
    return ct_nn_sequential(set, 4, each);
}

static ct_tensor *module_run_norms(void *module, ct_tensor *const *in, const module_kind *kind)
{
    if (kind->training)
        ct_forward(module, in[X]);
    return ct_forward(module, in[X]);
}

static void *module_make_attention(ct_params *set, const module_kind *kind)
{
    return ct_nn_multihead_attention(set, "attn", kind->attention);
}

static ct_tensor *module_run_attention(void *module, ct_tensor *const *in, const module_kind *kind)
{
    ct_attention_call call = { .key_lengths = in[LENGTHS], .causal = kind->causal };

    return ct_attention_forward(module, in[X], in[KEY] ? in[KEY] : in[X],
                                in[VALUE] ? in[VALUE] : in[X], call);
}

static void *module_make_transformer(ct_params *set, const module_kind *kind)
{
    return kind->transformer(set, "t", kind->o);
}

static ct_tensor *module_run_transformer(void *module, ct_tensor *const *in,
                                         const module_kind *kind)
{
    ct_transformer_call call = { .causal = kind->causal };

    if (in[MEMORY])
        call.memory_lengths = in[LENGTHS];
    else
        call.lengths = in[LENGTHS];
    return ct_transformer_forward(module, in[X], in[MEMORY], call);
}

#define ATTENTION(...)                                                                             \
    .make = module_make_attention, .run = module_run_attention,                                    \
    .attention = { .embed_dim = 8, .num_heads = 4, __VA_ARGS__ }
#define TRANSFORMER(constructor, ...)                                                              \
    .make = module_make_transformer, .run = module_run_transformer, .transformer = constructor,    \
    .o = { .d_model = 8, .num_heads = 2, .dim_feedforward = 12, .num_layers = 2, __VA_ARGS__ }

static const module_kind kinds[] = {
    { .name = "norms", .make = module_make_norms, .run = module_run_norms },
    { .name = "norms_training",
      .make = module_make_norms,
      .run = module_run_norms,
      .training = true },
    { .name = "attention", ATTENTION(.kdim = 8) },
    { .name = "attention_causal", .causal = true, ATTENTION(.no_bias = true) },
    { .name = "attention_sizes", ATTENTION(.kdim = 5, .vdim = 7) },
    { .name = "encoder", TRANSFORMER(ct_nn_transformer_encoder, .dropout = 0) },
    { .name = "encoder_first",
      .causal = true,
      TRANSFORMER(ct_nn_transformer_encoder, .norm_first = true, .final_norm = true,
                  .activation = CT_ACTIVATION_GELU) },
    { .name = "encoder_layer", TRANSFORMER(ct_nn_transformer_encoder_layer, .no_bias = true) },
    { .name = "decoder",
      .causal = true,
      TRANSFORMER(ct_nn_transformer_decoder, .final_norm = true) },
    { .name = "decoder_layer",
      TRANSFORMER(ct_nn_transformer_decoder_layer, .norm_first = true, .layer_norm_eps = 1e-3) },
};

static const module_kind *module_find(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

int round_trip_module_save(const char *name, const char *dtype, const char *path)
{
    const module_kind *kind = module_find(name);
    ct_params *set =
        ct_params_new((ct_params_options){ .dtype = strcmp(dtype, "f64") == 0 ? CT_F64 : CT_F32 });
    int failed = !kind || !kind->make(set, kind) ||
                 ct_params_init(set, ct_init_normal(0, 0.5), 3) != CT_OK ||
                 ct_params_save(set, path) != CT_OK;

    ct_params_free(set);
    return failed;
}

/* Reads the tensors of the file into `in`; NULL for a tensor that the file does not have. */
static void module_read(const char *path, ct_tensor **in)
{
    static const char *const names[INPUTS] = { "x", "memory", "key", "value", "lengths" };
    ct_safetensors *f = ct_safetensors_open(path);
    int i;

    for (i = 0; i < INPUTS; i++) {
        int at = ct_safetensors_find(f, names[i]);

        in[i] = at >= 0 ? ct_safetensors_load(f, at, CT_CPU) : NULL;
    }
    ct_safetensors_close(f);
}

int round_trip_module_run(const char *name, char *const *path)
{
    const module_kind *kind = module_find(name);
    static const char *const names[] = { "y" };
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *in[INPUTS], *y;
    ct_params *set;
    void *module;
    int failed;

    module_read(path[1], in);
    set = ct_params_new((ct_params_options){ .dtype = ct_tensor_dtype(in[X]) });
    module = kind ? kind->make(set, kind) : NULL;
    if (!module || ct_params_load(set, path[0], (ct_load_options){ 0 }) != CT_OK)
        return 1;
    ct_params_train(set, kind->training);
    y = kind->run(module, in, kind);
    failed = ct_safetensors_write(path[2], 1, names, &y, NULL) != CT_OK ||
             ct_params_save(set, path[3]) != CT_OK || ct_scope_end(s) != CT_OK;
    ct_params_free(set);
    return failed;
}
