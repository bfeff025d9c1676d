/* test_arguments.c - bad arguments, for every public function.
 *
 * tests/bad_arguments.awk writes the calls from the public headers (tests/bad_arguments.inc in the build
 * folder). Each call has one bad argument and otherwise valid ones:
 *   DEAD  a dead tensor or state: the function must raise CT_ERR_SCOPE, and the message says "dead".
 *   NONE  NULL: the function must raise CT_ERR_ARGUMENT, and the message says that the argument is NULL,
 *         unless its header allows NULL and legal_nulls has the argument.
 *   EDGE  a number at the edge of its type: the function returns a valid result or raises an error. It
 *         must return soon. UBSan shows what overflows. What it made is used once.
 *   RANK  a shape with too many axes, or fewer than 0: the function must raise CT_ERR_SHAPE, and the
 *         message names the limit.
 * The message must name the function that was called. Each call runs in a process of its own. */
#include <cotangent.h>

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/internal.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tests/harness.h"
#include "tests/test_arguments_data.h"

/* ---- the NULLs that are legal, each as its header says ---- */

typedef struct legal_null {
    const char *function, *arguments; /* "a b" */
} legal_null;

/* clang-format off */
static const legal_null legal_nulls[] = {
    { "ct_error_print", "message context" },
    { "ct_error_set_handler", "handler context" },
    { "ct_log_set_handler", "handler context" },
    { "ct_log_print", "line context" },
    { "ct_free", "t" },
    { "ct_rank", "t" },
    { "ct_size", "t" },
    { "ct_tensor_shape", "t" },
    { "ct_numel", "t" },
    { "ct_tensor_dtype", "t" },
    { "ct_tensor_device", "t" },
    { "ct_is_contiguous", "t" },
    { "ct_stride", "t" },
    { "ct_tensor_requires_grad", "t" },
    { "ct_print", "t" },
    { "ct_device_count", "kind" },
    { "ct_capture_new", "context" },
    { "ct_capture_is_ready", "captured" },
    { "ct_capture_free", "captured" },
    { "ct_safetensors_close", "f" },
    { "ct_safetensors_write_to", "metadata" },
    { "ct_memory_writer", "buffer" },
    { "ct_memory_reader", "bytes" },
    { "ct_memory_buffer_clear", "buffer" },
    { "ct_safetensors_count", "f" },
    { "ct_safetensors_name", "f" },
    { "ct_safetensors_shape", "f" },
    { "ct_safetensors_dtype", "f" },
    { "ct_safetensors_find", "f name" },
    { "ct_safetensors_metadata", "f key" },
    { "ct_safetensors_write", "metadata" },
    { "ct_grad", "grad_outputs" },
    { "ct_register_hook", "context free_context" },
    { "ct_remove_hook", "context" },
    { "ct_node_add_grad", "g" },
    { "ct_gradcheck", "context" },
    { "ct_gradgradcheck", "context" },
    { "ct_activation_checkpoint", "context g" },
    { "ct_max_axis", "indices" },
    { "ct_min_axis", "indices" },
    { "ct_sort", "indices" },
    { "ct_topk", "indices" },
    { "ct_layer_norm", "weight bias" },
    { "ct_rms_norm", "weight" },
    { "ct_group_norm", "weight bias" },
    { "ct_linear", "bias" },
    { "ct_conv2d", "bias" },
    { "ct_conv1d", "bias" },
    { "ct_conv_transpose2d", "bias" },
    { "ct_conv_transpose1d", "bias" },
    { "ct_max_pool2d", "indices" },
    { "ct_max_pool1d", "indices" },
    { "ct_linear_cross_entropy", "bias" },
    { "ct_split", "sizes" },
    { "ct_params_free", "set" },
    { "ct_params_own", "object" },
    { "ct_params_count", "set" },
    { "ct_params_at", "set" },
    { "ct_params_get", "set name" },
    { "ct_params_numel", "set" },
    { "ct_params_dtype", "set" },
    { "ct_params_device", "set" },
    { "ct_params_seed", "set" },
    { "ct_params_is_training", "set" },
    { "ct_params_generator", "set" },
    { "ct_param_name", "p" },
    { "ct_param_shape", "p" },
    { "ct_param_is_lazy", "p" },
    { "ct_param_is_trained", "p" },
    { "ct_load_report_clear", "report" },
    { "ct_dialect_from_name", "name" },
    { "ct_nn_module", "self" },
    { "ct_state_count", "s" },
    { "ct_state_free", "s" },
    { "ct_recurrent_forward", "state next" },
    { "ct_recurrent_forward_with", "state next" },
    { "ct_recurrent_step", "state next" },
    { "ct_recurrent_layers", "r" },
    { "ct_vjp", "v output" },
    { "ct_hvp", "output" },
    { "ct_unique", "inverse counts" },
    { "ct_bincount", "weights" },
    { "ct_cummax", "indices" },
    { "ct_cummin", "indices" },
    { "ct_recurrent_directions", "r" },
    { "ct_recurrent_hidden_size", "r" },
    { "ct_transformer_forward", "memory" },
    { "ct_optimizer_new", "options" },
    { "ct_optimizer_new_from_name", "values" },
    { "ct_optimizer_table_from_name", "algorithm" },
    { "ct_optimizer_free", "o" },
    { "ct_optimizer_lr", "o" },
    { "ct_optimizer_param_lr", "o name" },
    { "ct_optimizer_state_count", "o" },
    { "ct_optimizer_state_name", "o" },
    { "ct_schedule_lambda_lr", "context" },
    { "ct_clip_grad_norm", "norm" },
    { "ct_text_new_from_bytes", "name" },
    { "ct_text_new_timemachine", "path" },
    { "ct_text_free", "t" },
    { "ct_text_bytes", "t" },
    { "ct_text_size", "t" },
    { "ct_text_source", "t" },
    { "ct_text_is_sample", "t" },
    { "ct_clean_from_name", "name" },
    { "ct_clean_apply", "cleaned_size" },
    { "ct_token_kind_from_name", "name" },
    { "ct_vocab_free", "v" },
    { "ct_vocab_size", "v" },
    { "ct_vocab_unknown", "v" },
    { "ct_vocab_kind", "v" },
    { "ct_vocab_id", "v token" },
    { "ct_vocab_token", "v" },
    { "ct_vocab_count", "v" },
    { "ct_vocab_encode", "unknown" },
    { "ct_corpus_free", "c" },
    { "ct_corpus_vocab", "c" },
    { "ct_corpus_size", "c" },
    { "ct_corpus_ids", "c" },
    { "ct_corpus_clean", "c" },
    { "ct_corpus_characters", "c" },
    { "ct_corpus_bytes", "c" },
    { "ct_corpus_unknown", "c" },
    { "ct_corpus_sha256", "c" },
    { "ct_corpus_invalid_bytes", "c" },
    { "ct_pad_sequence", "lengths" },
    { "ct_dataset_new", "self" },
    { "ct_loader_stream_new", "self" },
    { "ct_dataset_free", "d" },
    { "ct_dataset_count", "d" },
    { "ct_dataset_field", "d name" },
    { "ct_dataset_csv_category", "d field" },
    { "ct_dataset_idx_new", "labels" },
    { "ct_loader_free", "l" },
    { "ct_loader_batches", "l" },
    { "ct_loader_tokens", "l" },
    { "ct_loader_continues", "l" },
    { "ct_loader_tell", "l" },
    { "ct_evaluate", "metrics loss values" },
    { "ct_fit", "val result" },
    { "ct_fit_value", "result name" },
    { "ct_world_free", "w" },
    { "ct_world_rank", "w" },
    { "ct_world_size", "w" },
    { "ct_world_shards", "w" },
    { "ct_world_shard", "w" },
    { "ct_world_current_shard", "w" },
    { "ct_world_backward", "w" },
    { "ct_world_add", "w" },
    { "ct_world_reduce", "w loss" },
    { "ct_world_sum", "w" },
    { "ct_world_broadcast", "w" },
    { "ct_world_barrier", "w" },
    { "ct_world_fail", "w" },
    { "ct_lm_cell_from_name", "name" },
    { "ct_lm_free", "m" },
    { "ct_lm_params", "m" },
    { "ct_lm_recurrent", "m" },
    { "ct_lm_vocab", "m" },
    { "ct_lm_clean", "m" },
    { "ct_lm_get_options", "m" },
    { "ct_lm_corpus_sha256", "m" },
    { "ct_lm_forward", "state next" },
    { "ct_lm_loss", "state next" },
    { "ct_lm_step", "state next" },
    { "ct_lm_encode", "unknown" },
};
/* clang-format on */

static bool is_legal_null(const char *function, const char *argument)
{
    size_t n = strlen(argument);

    for (size_t i = 0; i < sizeof legal_nulls / sizeof *legal_nulls; i++) {
        const char *at = legal_nulls[i].arguments;

        if (strcmp(legal_nulls[i].function, function) != 0)
            continue;
        for (; *at; at += strcspn(at, " "), at += strspn(at, " "))
            if (strncmp(at, argument, n) == 0 && (at[n] == ' ' || !at[n]))
                return true;
    }
    return false;
}

static bool is_sink(const char *function)
{
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++)
        if (strcmp(sinks[i], function) == 0)
            return true;
    return false;
}

/* ---- the values of the calls ---- */

static ct_generator generator;
static ct_tensor *live, *dead, *tensors_out[8];
static ct_state *live_state, *dead_state, *state_out;
static ct_params *params;
static ct_optimizer *optimizer;
static ct_recurrent *recurrent;
static ct_attention *attention;
static ct_transformer *transformer;
static ct_module *module;
static ct_text *text;
static ct_corpus *corpus;
static ct_lm *lm;
static ct_dataset *dataset, *datasets_out[2];
static ct_loader *loader, *stream;
static ct_safetensors *tensors_file;
static ct_capture *capture;
static ct_world *world;
static ct_node *node; /* while backward runs */
static FILE *null_file;
static max_align_t memory[64];

static ct_tensor *first_input(int count, ct_tensor *const *inputs, void *context)
{
    (void)count, (void)context;
    return inputs[0];
}

static bool recompute(void *context, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                      ct_tensor **outputs)
{
    (void)context, (void)inputs_count;
    for (int i = 0; i < outputs_count; i++)
        outputs[i] = ct_neg(inputs[0]);
    return true;
}

static void do_nothing(void *context)
{
    (void)context;
}

static void ignore_error(ct_status status, const char *message, void *context)
{
    (void)status, (void)message, (void)context;
}

static ct_status write_nothing(void *self, const void *bytes, size_t size)
{
    (void)self, (void)bytes, (void)size;
    return CT_OK;
}

static ct_tensor *same_forward(void *self, ct_tensor *x)
{
    (void)self;
    return x;
}

static ct_tensor *same_gradient(ct_tensor *gradient, void *context)
{
    (void)context;
    return gradient;
}

static double constant_factor(int64_t t, void *context)
{
    (void)t, (void)context;
    return 1;
}

static ct_tensor *training_step(void *self, ct_step *s)
{
    ct_tensor *logits = ct_lm_forward(self, s->batch->x, s->state, s->next);

    return ct_cross_entropy(logits, s->batch->y);
}

static ct_optimizer *configure(void *self)
{
    return ct_sgd_new(ct_lm_params(self), (ct_sgd_options){ .lr = 1 });
}

static ct_tensor *cell_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                            const ct_cell_step *at)
{
    (void)self, (void)state, (void)at;
    return next[0] = x;
}

static const ct_cell cell = { .name = "cell", .states = 1, .step = cell_step };
static const ct_nn_recurrent_options cell_options = { .hidden_size = 3, .input_size = 3 };

static void identity_backward(ct_node *n, ct_tensor *const *dout);
static const ct_op identity = { "identity",        2,   1, CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                identity_backward, NULL };

/* clang-format off */
#define LIVE_TENSOR live
#define DEAD_TENSOR dead
#define LIVE_STATE live_state
#define DEAD_STATE dead_state
#define LIVE_TENSORS (ct_tensor *[]){ live, live }
#define TENSORS_OUT tensors_out
#define STATE_OUT &state_out
#define DATASETS_OUT datasets_out
#define MEMORY (void *)memory
#define TEXT "none/x"
#define NAMES (const char *const[]){ "x", "y" }
#define LOADERS (ct_loader *[]){ loader, loader }
#define METRICS (const ct_metric *[]){ NULL }
#define MODULES (ct_module *[]){ module, module }
#define A_ATTENTION attention
#define A_BATCH &(ct_batch){ 0 }
#define A_BATCH_WRITER stream->stream_writer
#define A_CAPTURE capture
#define A_CELL &cell
#define A_CELL_PLACE &(ct_cell_place){ .module = recurrent, .cell = &cell, .options = &cell_options }
#define A_CELL_STEP &(ct_cell_step){ 0 }
#define A_CHECKPOINT &(ct_checkpoint){ .params = params }
#define A_CORPUS corpus
#define A_DATASET dataset
#define A_DATASET_TABLE &table
#define A_FIELD (ct_field[]){ { .name = "x" }, { .name = "y" } }
#define A_FILE null_file
#define A_FIT_RESULT &(ct_fit_result){ 0 }
#define A_FUNCTION &(ct_function){ first_input, NULL }
#define A_GENERATOR &generator
#define A_IDS (ct_ids[]){ { NULL, 0 }, { NULL, 0 } }
#define A_LM lm
#define A_LM_SCORE &(ct_lm_score){ 0 }
#define A_LOADER loader
#define A_MEMORY_BUFFER &(ct_memory_buffer){ 0 }
#define A_METADATA (ct_metadata[]){ { NULL, NULL } }
#define A_MODEL \
    &(ct_model){ .self = lm, .params = ct_lm_params(lm), .training_step = training_step, \
                 .configure_optimizers = configure }
#define A_MODULE module
#define A_NODE node
#define A_OP &identity
#define A_OPTIMIZER optimizer
#define A_OPTIMIZER_TABLE ct_optimizer_table_from_name("sgd")
#define A_OPTIMIZER_UPDATE &(ct_optimizer_update){ .value = live }
#define A_OPTIMIZER_VALUE (ct_optimizer_value[]){ { NULL, 0 } }
#define A_PARAM ct_params_at(params, 0)
#define A_PARAMS params
#define A_PLOT_SERIES (ct_plot_series[]){ { 0 }, { 0 } }
#define A_RECURRENT recurrent
#define A_SAFETENSORS tensors_file
#define A_SCHEDULE ct_optimizer_schedule(optimizer)
#define A_STREAM_TABLE &stream_table
#define A_TEXT text
#define A_TRAINER &(ct_trainer){ .max_epochs = 1 }
#define A_TRANSFORMER transformer
#define A_VOCAB ct_corpus_vocab(corpus)
#define A_WORLD world
#define GIVEN_ADADELTA_OPTIONS { 0 }
#define GIVEN_ADAGRAD_OPTIONS { 0 }
#define GIVEN_ADAMAX_OPTIONS { 0 }
#define GIVEN_ADAM_OPTIONS { 0 }
#define GIVEN_ATTENTION_OPTIONS { 0 }
#define GIVEN_BATCH_NORM_OPTIONS { .training = true }
#define GIVEN_BCE_OPTIONS { 0 }
#define GIVEN_BLOB_OPTIONS { 0 }
#define GIVEN_DLPACK_OPTIONS { 0 }
#define GIVEN_CELL_PLACE { .module = recurrent, .cell = &cell, .options = &cell_options }
#define GIVEN_CHECKPOINT { .params = params }
#define GIVEN_CONVERT_OPTIONS { 0 }
#define GIVEN_CONV_OPTIONS { .groups = 1 }
#define GIVEN_CORPUS_OPTIONS { 0 }
#define GIVEN_CROSS_ENTROPY_OPTIONS { .has_ignore_index = true }
#define GIVEN_FIT_RESULT { 0 }
#define GIVEN_IDS { NULL, 0 }
#define GIVEN_CTC_OPTIONS { 0 }
#define GIVEN_GAUSSIAN_NLL_OPTIONS { 0 }
#define GIVEN_BATCH { 0 }
#define GIVEN_DATASET_CSV_OPTIONS { .fields = csv_fields }
#define GIVEN_DATASET_PARALLEL_OPTIONS { .src = ct_corpus_vocab(corpus) }
#define GIVEN_DATASET_WINDOWS_OPTIONS { .steps = 1 }
#define GIVEN_FIELD { .name = "x" }
#define GIVEN_INIT ct_init_constant(1)
#define GIVEN_KL_DIV_OPTIONS { 0 }
#define GIVEN_LION_OPTIONS { 0 }
#define GIVEN_LM_GENERATE_OPTIONS { 0 }
#define GIVEN_LM_OPTIONS { .hidden_size = 3 }
#define GIVEN_LOADER_CURSOR { 0 }
#define GIVEN_LOADER_OPTIONS { .batch_size = 2 }
#define GIVEN_LOADER_SEQUENCES_OPTIONS { .batch_size = 2, .steps = 3 }
#define GIVEN_LOADER_SERIES_OPTIONS { .batch_size = 1, .steps = 1 }
#define GIVEN_LOADER_TENSORS_OPTIONS { .batch_size = 2 }
#define GIVEN_LOADER_WINDOWS_OPTIONS { 2, 3, .count = 4 }
#define GIVEN_NADAM_OPTIONS { 0 }
#define GIVEN_NN_BATCH_NORM_OPTIONS { 0 }
#define GIVEN_NN_EMBEDDING_OPTIONS { .rows = 2, .size = 3 }
#define GIVEN_NN_GROUP_NORM_OPTIONS { .groups = 1 }
#define GIVEN_NN_GRU_OPTIONS { .hidden_size = 3 }
#define GIVEN_NN_LAYER_NORM_OPTIONS { 0 }
#define GIVEN_NN_CONV_OPTIONS { .out_channels = 3, .kernel = { 1 } }
#define GIVEN_NN_LEARNED_ENCODING_OPTIONS { .max_length = 2, .size = 3 }
#define GIVEN_NN_LINEAR_OPTIONS { .out_features = 3 }
#define GIVEN_NN_LSTM_OPTIONS { .hidden_size = 3 }
#define GIVEN_NN_MULTIHEAD_ATTENTION_OPTIONS { .embed_dim = 3, .num_heads = 1 }
#define GIVEN_NN_RECURRENT_OPTIONS { .hidden_size = 3 }
#define GIVEN_NN_RMS_NORM_OPTIONS { 0 }
#define GIVEN_NN_RNN_OPTIONS { .hidden_size = 3 }
#define GIVEN_NN_TRANSFORMER_OPTIONS { .d_model = 3, .num_heads = 1, .num_layers = 1 }
#define GIVEN_OP { "identity", 2, 1, CT_SAVE_INPUTS, identity_backward, NULL }
#define GIVEN_OPTIMIZER_GROUP_OPTIONS { 0 }
#define GIVEN_OPTIMIZER_TABLE *ct_optimizer_table_from_name("sgd")
#define GIVEN_OPTIMIZER_UPDATE { .value = live }
#define GIVEN_OPTIMIZER_VALUE { "lr", 0 }
#define GIVEN_PARAMS_OPTIONS { 0 }
#define GIVEN_PLOT_OPTIONS { 0 }
#define GIVEN_PLOT_SERIES { 0 }
#define GIVEN_RADAM_OPTIONS { 0 }
#define GIVEN_RMSPROP_OPTIONS { 0 }
#define GIVEN_SCHEDULE_ONE_CYCLE_OPTIONS { .total_steps = 10 }
#define GIVEN_SCHEDULE_PLATEAU_OPTIONS { 0 }
#define GIVEN_SGD_OPTIONS { 0 }
#define GIVEN_TRAINER { .max_epochs = 1 }
#define GIVEN_TRIPLET_MARGIN_OPTIONS { 0 }
#define GIVEN_VOCAB_OPTIONS { 0 }
#define GIVEN_WORLD_OPTIONS { 0 }
#define FUNCTION_FACTOR constant_factor
#define FUNCTION_FORWARD same_forward
#define FUNCTION_FREE_CONTEXT do_nothing
#define FUNCTION_FREE_OBJECT do_nothing
#define FUNCTION_OP ct_neg
#define SOME_CAPTURE_FUNCTION do_nothing
#define SOME_FAN CT_FAN_IN
#define SOME_ALLOCATOR (ct_allocator){ NULL }
#define SOME_ERROR_HANDLER ignore_error
#define SOME_LOG_HANDLER ct_log_print
#define SOME_GENERATOR generator
#define SOME_GRADCHECK_FUNCTION first_input
#define SOME_GRAD_HOOK same_gradient
#define SOME_INIT ct_init_constant(1)
#define SOME_LOADER_CURSOR (ct_loader_cursor){ 0 }
#define SOME_READER ct_memory_reader(memory, 100)
#define SOME_RECOMPUTED_FUNCTION recompute
#define SOME_SCOPE ct_scope_begin()
#define SOME_STATUS CT_ERR_SHAPE
#define SOME_TOKEN_KIND CT_TOKEN_KIND_CHAR
#define SOME_WRITER (ct_writer){ .write = write_nothing }
/* clang-format on */

static void make_data(void)
{
    int64_t i;

    text = ct_text_new_from_bytes("the time traveller for so it will be convenient", 47, "text");
    corpus = ct_corpus_new(text, (ct_corpus_options){ 0 });
    lm = ct_lm_new(corpus, (ct_lm_options){ .hidden_size = 3 });
    stream = ct_loader_stream_new(&stream_table, NULL, CT_CPU);
    dataset = ct_dataset_tensors_new(2, NAMES, LIVE_TENSORS);
    loader = ct_loader_windows_new(corpus, (ct_loader_windows_options){ 2, 3, .count = 4 });
    world = ct_world_new((ct_world_options){ .shards = 2 });
    for (i = 0; i < 2; i++)
        ck_assert(ct_loader_begin(loader) == CT_OK);
}

static void make_file(void)
{
    char folder[] = "/tmp/test_arguments_XXXXXX", path[64];

    ck_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/x", folder);
    ck_assert(ct_safetensors_write(path, 2, (const char *const[]){ "x", "y" },
                                   (ct_tensor *[]){ live, live }, NULL) == CT_OK);
    tensors_file = ct_safetensors_open(path);
    ck_assert(remove(path) == 0 && remove(folder) == 0);
    null_file = fopen("/dev/null", "w");
    ck_assert(tensors_file && null_file);
}

/* Makes the values in the innermost scope. */
static void make_values(void)
{
    ct_scope s = ct_scope_begin();

    dead = ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU);
    dead_state = ct_state_from_tensors(1, &dead);
    ck_assert(ct_scope_end(s) == CT_OK);
    generator = ct_generator_from_seed(1);
    live = ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU);
    params = ct_params_new((ct_params_options){ .seed = 1 });
    module = ct_nn_linear(params, "linear",
                          (ct_nn_linear_options){ .in_features = 3, .out_features = 3 });
    attention = ct_nn_multihead_attention(
        params, "attn", (ct_nn_multihead_attention_options){ .embed_dim = 3, .num_heads = 1 });
    transformer = ct_nn_transformer_encoder_layer(
        params, "layer", (ct_nn_transformer_options){ .d_model = 3, .num_heads = 1 });
    recurrent = ct_nn_gru(params, "gru", (ct_nn_gru_options){ .input_size = 3, .hidden_size = 3 });
    live_state = ct_state_from_tensors(1, (ct_tensor *[]){ ct_reshape(live, CT_SHAPE(1, 2, 3)) });
    optimizer = ct_sgd_new(params, (ct_sgd_options){ 0 });
    capture = ct_capture_new(CT_CPU, do_nothing, NULL);
    make_data();
    make_file();
    setenv("COTANGENT_TIMEMACHINE_URL", "http://127.0.0.1:1/timemachine.txt", 1);
    expect_ok();
}

static void free_values(void)
{
    fclose(null_file);
    ct_safetensors_close(tensors_file);
    ct_capture_free(capture);
    ct_loader_free(loader);
    ct_world_free(world);
    ct_dataset_free(dataset);
    ct_loader_free(stream);
    ct_lm_free(lm);
    ct_corpus_free(corpus);
    ct_text_free(text);
    ct_optimizer_free(optimizer);
    ct_params_free(params);
}

/* ---- the calls ---- */

enum bad { DEAD, NONE, EDGE, RANK };

static enum bad bad;
static bool edges; /* make the calls of EDGE and RANK, not the others */
static const char *function, *argument;
static bool after_error; /* run the calls while an error is recorded */
static unsigned serial;  /* of that error */
static int calls, failures, functions;

/* Waits for the process of a call. */
static void call_wait(pid_t child)
{
    int status = 0;

    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: bad %s: signal %d\n", function, argument, WTERMSIG(status));
    failures += status != 0;
}

static bool is_long_call(const char *name, const char *what)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < sizeof long_calls / sizeof *long_calls; i++)
        if (strncmp(long_calls[i], name, n) == 0 && long_calls[i][n] == ' ' &&
            strncmp(what, long_calls[i] + n + 1, strlen(long_calls[i] + n + 1)) == 0)
            return true;
    return false;
}

#define MOST_BYTES ((size_t)64 << 20) /* that one allocation of a call may ask for */

static void *(*allocate)(size_t alignment, size_t bytes);

static void *allocate_within_reason(size_t alignment, size_t bytes)
{
    return bytes > MOST_BYTES ? NULL : allocate(alignment, bytes);
}

/* True in a new process, which makes the call and then call_ends. Functions for backward functions
 * are called while backward runs, the others outside of it. */
static bool call_begins(enum bad kind, const char *name, const char *what)
{
    pid_t child;

    if ((strncmp(name, "ct_node_", 8) == 0) != (node != NULL) || edges != (kind >= EDGE) ||
        is_long_call(name, what))
        return false;
    functions += !function || strcmp(function, name) != 0;
    bad = kind;
    function = name;
    argument = what;
    calls++;
    fflush(NULL);
    child = fork();
    if (child) {
        call_wait(child);
        return false;
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    signal(SIGSEGV, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    alarm(20);
    if (after_error)
        ct_raise(CT_ERR_NUMERIC, "harness", "an earlier error");
    serial = cti_thread()->error_serial;
    if (edges) {
        allocate = cti_memory_calls.allocate;
        cti_memory_calls.allocate = allocate_within_reason;
    }
    return true;
}

/* ---- what a call has made is used once ---- */

static bool used; /* the call returned a result, and what the use of it raises has another name */

static void use_tensor(ct_tensor *t)
{
    ct_shape shape = ct_tensor_shape(t);
    int64_t elements = 1;

    if (!t)
        return;
    for (int i = 0; i < shape.rank; i++) {
        bool valid =
            shape.dim[i] >= 0 && !__builtin_mul_overflow(elements, shape.dim[i], &elements);

        ck_assert_msg(valid, "%s %s: a result of the size %lld", function, argument,
                      (long long)shape.dim[i]);
    }
    ck_assert_int_eq(elements, ct_numel(t));
}

static void use_module(ct_module *m)
{
    used = m;
    if (m)
        use_tensor(ct_forward(m, live));
}

static void use_recurrent(ct_recurrent *r)
{
    used = r;
    if (r)
        use_tensor(ct_recurrent_forward(r, ct_reshape(live, CT_SHAPE(2, 1, 3)), NULL, NULL));
}

static void use_loader(ct_loader *l)
{
    ct_batch batch;

    used = l;
    if (l && ct_loader_begin(l) == CT_OK && ct_loader_next(l, &batch))
        use_tensor(batch.x);
    ct_loader_free(l);
}

static void use_param(ct_param *p)
{
    if (p && !ct_param_is_lazy(p))
        use_tensor(ct_param_value(p));
}

static void use_nothing(const void *result)
{
    (void)result;
}

/* clang-format off */
#define USE(result)                                                                            \
    _Generic((result), ct_tensor *: use_tensor, ct_module *: use_module, ct_param *: use_param, \
             ct_recurrent *: use_recurrent, ct_loader *: use_loader,                           \
             default: use_nothing)(_Generic((result), ct_tensor *: (result), ct_module *: (result), \
             ct_recurrent *: (result), ct_loader *: (result), ct_param *: (result), default: NULL))
/* clang-format on */

/* True if the recorded message names the function and describes the error of the argument. */
static bool is_as_expected(void)
{
    const char *message = ct_error_message();
    char head[100], fault[100];

    snprintf(head, sizeof head, "%s: ", function);
    snprintf(fault, sizeof fault, "%s is NULL", argument);
    if (bad == EDGE)
        return ct_ok() || used || strstr(message, head) || node;
    if (bad == RANK)
        return ct_error() == CT_ERR_SHAPE && strstr(message, head) && strstr(message, "rank") &&
               strstr(message, "8");
    if (bad == DEAD)
        return ct_error() == CT_ERR_SCOPE && strstr(message, head) && strstr(message, " dead ");
    if (is_legal_null(function, argument))
        return !strstr(message, fault);
    return ct_error() == CT_ERR_ARGUMENT && strstr(message, head) && strstr(message, fault);
}

/* The process of a call ends: with status 0 if the call has raised what it should. */
static void call_ends(void)
{
    bool good = after_error
                    ? bad == DEAD || is_sink(function) || cti_thread()->error_serial == serial ||
                          is_legal_null(function, argument)
                    : is_as_expected();

    if (!good)
        fprintf(stderr, "%s: %s %s%s: %s \"%s\"\n", function,
                (const char *[]){ "dead", "NULL", "number", "shape" }[bad], argument,
                after_error ? " after an error" : "", ct_status_name(ct_error()),
                ct_error_message());
    _exit(!good);
}

static void make_calls(void)
{
#include "tests/bad_arguments.inc"
}

static void identity_backward(ct_node *n, ct_tensor *const *dout)
{
    (void)dout;
    node = n;
    make_calls();
    node = NULL;
}

/* All calls, those of backward functions in one. */
static void make_all_calls(void)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU), true);
    ct_tensor *y = ct_zeros(CT_SCALAR, CT_F32, CT_CPU);

    make_values();
    make_calls();
    ck_assert(ct_record(&identity, 2, (ct_tensor *[]){ x, x }, 1, &y, NULL, 0));
    ck_assert(ct_backward(y) == CT_OK);
    free_values();
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(bad_arguments)
{
    make_all_calls();
    printf("%d calls of %d functions, %d of them wrong\n", calls, functions, failures);
    ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(extreme_numbers)
{
    edges = true;
    make_all_calls();
    printf("%d calls of %d functions, %d of them wrong\n", calls, functions, failures);
    ck_assert_int_gt(calls, 2000);
    ck_assert_int_eq(failures, 0);
}
END_TEST

/* A NULL adds no error to one that stands. */
START_TEST(no_second_error)
{
    after_error = true;
    make_all_calls();
    ck_assert_int_eq(failures, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arguments");
    TCase *tc = harness_case(suite, "arguments");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, bad_arguments);
    tcase_add_test(tc, no_second_error);
    tc = harness_case(suite, "numbers");
    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, extreme_numbers);
    return harness_run(suite);
}
