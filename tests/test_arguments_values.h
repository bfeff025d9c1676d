/* SPDX-License-Identifier: MIT */
/* test_arguments_values.h - the valid value of each type of argument, for the calls that
 * bad_arguments.awk writes: A_TYPE is a pointer, GIVEN_TYPE a struct. test_arguments.c includes it after
 * the variables that they name. */
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
#define A_CELL_INNER cell_inner
#define A_CELL_PLACE &(ct_cell_place){ .module = recurrent, .cell = &cell, .options = &cell_options }
#define A_CELL_STEP &(ct_cell_step){ 0 }
#define A_CHECKPOINT &(ct_checkpoint){ .params = params }
#define A_CORPUS corpus
#define A_DATASET dataset
#define A_DATASET_TABLE &table
#define A_DECODER &decoder
#define A_FIELD (ct_field[]){ { .name = "x" }, { .name = "y" } }
#define A_FILE null_file
#define A_FIT_RESULT &(ct_fit_result){ 0 }
#define A_FUNCTION &(ct_function){ first_input, NULL }
#define A_GENERATION generation
#define A_GENERATION_ROW generation_rows
#define A_GENERATOR &generator
#define A_IDS (ct_ids[]){ { NULL, 0 }, { NULL, 0 } }
#define A_LM lm
#define A_LM_REQUEST (ct_lm_request[]){ { .prefix = "t" }, { .prefix = "h" } }
#define A_LM_SCORE &(ct_lm_score){ 0 }
#define A_LOADER loader
#define A_MEMORY_BUFFER &(ct_memory_buffer){ 0 }
#define A_METADATA (ct_metadata[]){ { NULL, NULL } }
#define A_MODEL \
    &(ct_model){ .self = lm, .params = ct_lm_params(lm), .training_step = training_step, \
                 .configure_optimizers = configure }
#define A_MODULE module
#define A_MODULE_LIST module_list
#define A_NODE node
#define A_OP &identity
#define A_OPTIMIZER optimizer
#define A_OPTIMIZER_TABLE ct_optimizer_table_from_name("sgd")
#define A_OPTIMIZER_UPDATE &(ct_optimizer_update){ .value = live }
#define A_OPTIMIZER_VALUE (ct_optimizer_value[]){ { NULL, 0 } }
#define A_PARAM ct_params_at(params, 0)
#define A_PARAMS params
#define A_PLAN plan
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
#define GIVEN_EXPORT_OPTIONS { .name = "m" }
#define GIVEN_FIT_RESULT { 0 }
#define GIVEN_IDS { NULL, 0 }
#define GIVEN_CTC_OPTIONS { 0 }
#define GIVEN_GAUSSIAN_NLL_OPTIONS { 0 }
#define GIVEN_BATCH { 0 }
#define GIVEN_DECODER decoder
#define GIVEN_GENERATION_OPTIONS { .max_tokens = 2 }
#define GIVEN_GENERATION_ROW generation_rows[0]
#define GIVEN_LM_REQUEST { .prefix = "t" }
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
#define GIVEN_NN_ADDITIVE_ATTENTION_OPTIONS { .query_size = 3, .key_size = 3, .hidden_size = 3 }
#define GIVEN_NN_ATTENTION_DECODER_OPTIONS { .attention = scored, .memory_size = 3 }
#define GIVEN_NN_LUONG_ATTENTION_OPTIONS { .query_size = 3, .key_size = 3 }
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
#define GIVEN_PLAN_OPTIONS { .dtype = { CT_F32 } }
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
#define SOME_PLAN_FUNCTION plan_nothing
#define SOME_READER ct_memory_reader(memory, 100)
#define SOME_RECOMPUTED_FUNCTION recompute
#define SOME_SCOPE ct_scope_begin()
#define SOME_STATUS CT_ERR_SHAPE
#define SOME_TOKEN_KIND CT_TOKEN_KIND_CHAR
#define SOME_WRITER (ct_writer){ .write = write_nothing }
/* clang-format on */
