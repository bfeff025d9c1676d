/* SPDX-License-Identifier: MIT */
/* test_arguments_data.h - the tables of datasets, streams, decoders, plans and cells that test_arguments hands over, and
 * its list of functions with side effects. */
#ifndef TESTS_TEST_ARGUMENTS_DATA_H
#define TESTS_TEST_ARGUMENTS_DATA_H

#include <cotangent.h>

static ct_status get_sample(void *self, int64_t i, void *const *field)
{
    (void)self, (void)i, (void)field;
    return CT_OK;
}

static const ct_csv_field csv_fields[] = { { .name = "x" }, { 0 } };
static ct_status stream_begin(void *self, int64_t epoch)
{
    (void)self, (void)epoch;
    return CT_OK;
}

static bool stream_next(void *self, ct_batch_writer *w)
{
    (void)self;
    return ct_batch_field(w, "x", CT_BOOL, CT_SHAPE(2)) != NULL;
}

static int64_t stream_batches(void *self)
{
    (void)self;
    return 2;
}

static const ct_stream_table stream_table = {
    .name = "stream", .begin = stream_begin, .next = stream_next, .batches = stream_batches
};
static const ct_dataset_table table = { .name = "table", .get = get_sample };

static ct_status plan_nothing(void *context, ct_plan_call *call)
{
    (void)context;
    call->output[0] = ct_neg(call->input[0]);
    return ct_error();
}

static ct_tensor *decoder_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    (void)self, (void)state, (void)next;
    return ct_ones(CT_SHAPE(ct_numel(ids), 3), CT_F32, CT_CPU);
}

static const ct_decoder decoder = { .vocab = 3, .max_tokens = 4, .step = decoder_step };
static const int32_t decoder_prefix[] = { 1, 2 };
static const ct_generation_row generation_rows[] = { { decoder_prefix, 2, .seed = 1 },
                                                     { decoder_prefix, 1, .seed = 2 } };

/* Arguments that are amounts of work; a call with a large amount may take long. */
static const char *const long_calls[] = {
    "ct_fit trainer.max_epochs",
    "ct_lm_generate_batch options.count",
};

/* Functions with side effects: while an error is recorded they do nothing, and a scope counts the
 * refusal as an error. */
static const char *const sinks[] = {
    "ct_scope_return",
    "ct_capture_run",
    "ct_safetensors_write",
    "ct_npy_write",
    "ct_export_c",
    "ct_lm_export_c",
    "ct_file_write",
    "ct_file_try",
    "ct_backward",
    "ct_backward_with",
    "ct_grad",
    "ct_params_init",
    "ct_params_to",
    "ct_params_save",
    "ct_params_load",
    "ct_params_save_to",
    "ct_params_load_from",
    "ct_safetensors_write_to",
    "ct_state_carry",
    "ct_convert",
    "ct_optimizer_step",
    "ct_optimizer_state_load",
    "ct_schedule_step",
    "ct_schedule_observe",
    "ct_clip_grad_norm",
    "ct_clip_grad_value",
    "ct_loader_begin",
    "ct_loader_next",
    "ct_loader_step",
    "ct_loader_seek",
    "ct_plot_save",
    "ct_lm_save",
    "ct_checkpoint_save",
    "ct_checkpoint_load",
    "ct_world_new",
    "ct_world_shard",
    "ct_world_backward",
    "ct_world_add",
    "ct_world_reduce",
    "ct_world_broadcast",
    "ct_world_barrier",
};

#endif
