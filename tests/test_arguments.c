/* SPDX-License-Identifier: MIT */
/* test_arguments.c - bad arguments, for every public function.
 *
 * tests/bad_arguments.awk writes the calls from the public headers (tests/bad_arguments.inc in the build
 * folder). Each call has one bad argument and otherwise valid ones:
 *   DEAD  a dead tensor or state: the function must raise CT_ERR_SCOPE, and the message says "dead".
 *   NONE  NULL: the function must raise CT_ERR_ARGUMENT, and the message says that the argument is NULL,
 *         unless its header allows NULL and legal_nulls has the argument.
 *   EDGE  a number at the edge of its type: the function returns a valid result or raises an error. It
 *         must return soon. UBSan reports overflows. Its result is used once.
 *   RANK  a shape with too many axes, or fewer than 0: the function must raise CT_ERR_SHAPE, and the
 *         message names the limit.
 * The message must name the function that was called. Each call runs in a separate process. */
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
#include "tests/test_arguments_cells.h"
#include "tests/test_arguments_data.h"

/* ---- arguments that may be NULL according to their headers ---- */

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
    { "ct_plan_new_function", "params context" },
    { "ct_plan_free", "p" },
    { "ct_plan_bytes", "p" },
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
    { "ct_cell_inner_state_size", "c" },
    { "ct_module_list_count", "l" },
    { "ct_cell_inner_output_size", "c" },
    { "ct_vjp", "v output" },
    { "ct_hvp", "output" },
    { "ct_unique", "inverse counts" },
    { "ct_bincount", "weights" },
    { "ct_cummax", "indices" },
    { "ct_cummin", "indices" },
    { "ct_recurrent_directions", "r" },
    { "ct_recurrent_hidden_size", "r" },
    { "ct_transformer_forward", "memory" },
    { "ct_lm_evaluate", "world" },
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
    { "ct_lm_decoder", "m" },
    { "ct_generation_new", "state" },
    { "ct_generation_free", "g" },
    { "ct_generation_count", "g" },
    { "ct_generation_message", "g" },
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
static ct_generation *generation;
static ct_safetensors *tensors_file;
static ct_capture *capture;
static ct_plan *plan;
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

static void identity_backward(ct_node *n, ct_tensor *const *dout);
static const ct_op identity = { "identity",        2,   1, CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                identity_backward, NULL };

#include "test_arguments_values.h"

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

/* Makes the arguments in the innermost scope. */
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
    ct_nn_recurrent(params, "wrapper", &wrapper, cell_options);
    module_list = ct_nn_module_list(params, "list");
    ct_module_list_append(module_list, module);
    scored =
        ct_nn_luong_attention(params, "scored", (ct_nn_luong_attention_options){ 0, 3, 3, 0, 0 });
    live_state = ct_state_from_tensors(1, (ct_tensor *[]){ ct_reshape(live, CT_SHAPE(1, 2, 3)) });
    optimizer = ct_sgd_new(params, (ct_sgd_options){ 0 });
    capture = ct_capture_new(CT_CPU, do_nothing, NULL);
    generation = ct_generation_new(&decoder, 2, generation_rows, NULL,
                                   (ct_generation_options){ .max_tokens = 1 });
    plan = ct_plan_new_step(params, recurrent, 1);
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
    ct_plan_free(plan);
    ct_loader_free(loader);
    ct_world_free(world);
    ct_dataset_free(dataset);
    ct_loader_free(stream);
    ct_generation_free(generation);
    ct_lm_free(lm);
    ct_corpus_free(corpus);
    ct_text_free(text);
    ct_optimizer_free(optimizer);
    ct_params_free(params);
}

/* ---- the calls ---- */

enum bad { DEAD, NONE, EDGE, RANK };

static enum bad bad;
static bool edges; /* true: make the calls of EDGE and RANK; false: the others */
static const char *function, *argument;
static bool after_error; /* run the calls while an error is recorded */
static unsigned serial;  /* the serial number of that error */
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

#define MOST_BYTES ((size_t)64 << 20) /* the largest allocation that succeeds in a call */

static void *(*allocate)(size_t alignment, size_t bytes);

static void *allocate_within_reason(size_t alignment, size_t bytes)
{
    return bytes > MOST_BYTES ? NULL : allocate(alignment, bytes);
}

/* Starts a process for a call. Returns true in the new process, which makes the call and then calls
 * call_ends. Functions for backward functions are called while backward runs. */
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

/* ---- the result of a call is used once ---- */

static bool used; /* the call returned a result; errors raised by using it name another function */

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

/* Ends the process of a call, with status 0 if the call raised the expected error. */
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

/* Makes all calls; those for backward functions are made in one backward pass. */
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

/* While an error is recorded, a NULL raises no second error. */
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
