# SPDX-License-Identifier: MIT
# Test programs that use Check and may call internal functions (cti_...). `make check
# TESTS=tests/test_nn` runs one.
check_programs = \
	tests/test_tensor \
	tests/test_kernels \
	tests/test_scope \
	tests/test_threads \
	tests/test_storage \
	tests/test_blob \
	tests/test_streams \
	tests/test_bind \
	tests/test_handles \
	tests/test_arguments \
	tests/test_safetensors \
	tests/test_npy \
	tests/test_file \
	tests/test_state_dict \
	tests/test_params \
	tests/test_nn \
	tests/test_loss \
	tests/test_init \
	tests/test_recurrent \
	tests/test_export \
	tests/test_plan \
	tests/test_optim \
	tests/test_data \
	tests/test_tensor_loader \
	tests/test_dataset \
	tests/test_plot \
	tests/test_train \
	tests/test_world \
	tests/test_checkpoint \
	tests/test_progress \
	tests/test_generate \
	tests/test_language_model \
	tests/test_main_job \
	tests/test_autograd \
	tests/test_engine \
	tests/test_misuse \
	tests/test_ops \
	tests/test_convert \
	tests/test_plugin \
	tests/test_cuda_kernels \
	tests/test_devices \
	tests/test_edges
shell_tests = \
	tests/format.sh \
	tests/layers.sh \
	tests/house.sh \
	tests/words.sh \
	tests/sites.sh \
	tests/cplusplus.sh \
	tests/reference.sh \
	tests/configure.sh \
	tests/versions.sh \
	tests/abi.sh \
	tests/parity.sh \
	tests/symbols.sh \
	tests/purity.sh \
	tests/install.sh \
	tests/links.sh \
	tests/site.sh \
	tests/man.sh \
	tests/round_trip.sh \
	tests/json_texts.sh \
	tests/examples.sh \
	tests/exercises.sh \
	tests/server.sh \
	tests/tool.sh \
	tests/completion.sh \
	tests/tool_files.sh \
	tests/readme.sh \
	tests/pages.sh \
	tests/commands.sh \
	tests/tutorial.sh \
	tests/errors_page.sh \
	tests/portable.sh \
	tests/layer_bits.sh \
	tests/export.sh \
	tests/compress.sh \
	tests/optional.sh \
	tests/custom_op.sh \
	tests/trace.sh \
	tests/tensorboard.sh \
	tests/cuda_static.sh \
	tests/emulated.sh \
	tests/on_emulator.sh \
	tests/plugins.sh \
	tests/unload.sh \
	tests/messages.sh \
	tests/limits.sh \
	tests/dlpack.sh \
	tests/allocator.sh \
	tests/mpi.sh \
	tests/nccl.sh

# The tests of a library for inference only. The other tests train.
inference_check_programs = \
	tests/test_tensor \
	tests/test_safetensors \
	tests/test_npy \
	tests/test_file \
	tests/test_inference \
	tests/test_export \
	tests/test_plan \
	tests/test_generate \
	tests/test_language_model
inference_shell_tests = \
	tests/sites.sh \
	tests/symbols.sh \
	tests/install.sh \
	tests/links.sh \
	tests/inference_only.sh

TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
check_PROGRAMS =
if INFERENCE_ONLY
TESTS = $(inference_shell_tests)
if HAVE_CHECK
check_PROGRAMS += $(inference_check_programs)
check_LTLIBRARIES += tests/libharness.la tests/libcases.la
TESTS += $(inference_check_programs)
else
TESTS += tests/without-check.sh
endif
else
TESTS = $(shell_tests)
check_PROGRAMS += \
	tests/round_trip \
	tests/traced \
	tests/portable \
	tests/json_texts \
	tests/unload \
	tests/limited \
	tests/plugins \
	tests/ranks \
	tests/allocator
check_LTLIBRARIES += tests/unload_plugin.la tests/unload_room.la tests/unload_static.la
if HAVE_CHECK
check_PROGRAMS += $(check_programs)
check_LTLIBRARIES += tests/libharness.la tests/libcases.la
TESTS += $(check_programs)
# messages.sh compares the texts that they have recorded.
tests/messages.log: $(check_programs:=.log)
else
TESTS += tests/without-check.sh
endif
endif

# The emulated GPU and its checker against wrong programs and right ones.
emulator_programs = tests/test_emulator tests/test_checker
emulator_tests = $(emulator_programs) tests/launches.sh tests/checked.sh
if CUDA_EMU
if HAVE_CHECK
check_PROGRAMS += $(emulator_programs)
TESTS += $(emulator_programs)
endif
TESTS += tests/launches.sh tests/checked.sh
endif
emulated_cases = $(emu_cases:cuda/%.cu=cuda/emulated/%.lo)
checked_cases = $(emu_cases:cuda/%.cu=cuda/checked/%.lo)
tests_test_emulator_SOURCES = cuda/emu/cases/main.c
tests_test_emulator_LDADD = $(emulated_cases) $(emu_objects) -lstdc++ $(CHECK_LIBS) $(LIBM)
tests_test_emulator_DEPENDENCIES = $(emulated_cases) $(emu_objects)
tests_test_emulator_LDFLAGS = $(tests_ldflags)
tests_test_checker_SOURCES = cuda/emu/cases/main.c
tests_test_checker_LDADD = $(checked_cases) $(emu_objects) -lstdc++ $(CHECK_LIBS) $(LIBM)
tests_test_checker_DEPENDENCIES = $(checked_cases) $(emu_objects)
tests_test_checker_LDFLAGS = $(tests_ldflags)

# Plug-ins with the shared and the static library; they are modules only where libtool makes shared
# libraries.
unload_ldflags = $(AM_LDFLAGS) -module -avoid-version -rpath $(abs_builddir)/tests
tests_unload_SOURCES = tests/unload.c
tests_unload_LDFLAGS = $(tests_ldflags)
tests_unload_LDADD =
tests_unload_plugin_la_SOURCES = tests/unload_plugin.c
tests_unload_plugin_la_LDFLAGS = $(unload_ldflags)
tests_unload_plugin_la_LIBADD = libcotangent.la
tests_unload_room_la_SOURCES = tests/unload_room.c
tests_unload_room_la_LDFLAGS = $(unload_ldflags)
tests_unload_room_la_LIBADD =
tests_unload_static_la_SOURCES = tests/unload_plugin.c
tests_unload_static_la_CPPFLAGS = $(AM_CPPFLAGS)
tests_unload_static_la_LDFLAGS = $(unload_ldflags)
tests_unload_static_la_LIBADD = libcore.la

tests_round_trip_SOURCES = tests/round_trip.c tests/round_trip.h tests/round_trip_modules.c
tests_round_trip_LDFLAGS = $(tests_ldflags)
tests_round_trip_LDADD = libcotangent.la
tests_json_texts_SOURCES = tests/json_texts.c tests/json_print.h
tests_json_texts_LDFLAGS = $(tests_ldflags)
tests_json_texts_LDADD = $(tests_libs)

tests_libharness_la_SOURCES = tests/harness.c tests/harness.h tests/helpers.c tests/helpers.h
tests_libcases_la_SOURCES = \
	tests/cases.c \
	tests/cases.h \
	tests/cases_attention.c \
	tests/cases_compare.c \
	tests/cases_conv.c \
	tests/cases_copy.c \
	tests/cases_create.c \
	tests/cases_elementwise.c \
	tests/cases_index.c \
	tests/cases_join.c \
	tests/cases_loss.c \
	tests/cases_matmul.c \
	tests/cases_normalise.c \
	tests/cases_rearrange.c \
	tests/cases_reduce.c \
	tests/cases_sort.c \
	tests/cases_views.c
# The harness counts what the library allocates and opens, and sees the ends of scopes and of locks.
tests_libs = tests/libharness.la libcore.la $(CHECK_LIBS) $(LIBM)
tests_ldflags = $(AM_LDFLAGS) $(NO_INSTALL)
harness_ldflags = $(tests_ldflags) \
	-Wl,--wrap=ct_scope_end,--wrap=pthread_mutex_unlock,--wrap=pthread_cond_wait,--wrap=pthread_join \
	-Wl,--wrap=cti_out_of_memory

tests_test_data_SOURCES = \
	tests/data_loaders.c \
	tests/fetch.c \
	tests/fetch.h \
	tests/files.c \
	tests/files.h \
	tests/test_data.c \
	tests/test_data.h \
	tests/tokens.c
tests_test_data_LDADD = $(tests_libs)
tests_test_data_LDFLAGS = $(harness_ldflags)

tests_test_tensor_loader_SOURCES = tests/test_tensor_loader.c tests/files.c tests/files.h
tests_test_tensor_loader_LDADD = $(tests_libs)
tests_test_tensor_loader_LDFLAGS = $(harness_ldflags)

tests_test_dataset_SOURCES = \
	tests/dataset_files.c \
	tests/dataset_formats.c \
	tests/dataset_loader.c \
	tests/dataset_resume.c \
	tests/dataset_sequences.c \
	tests/dataset_zip.c \
	tests/files.c \
	tests/files.h \
	tests/test_dataset.c \
	tests/test_dataset.h
tests_test_dataset_LDADD = $(tests_libs)
tests_test_dataset_LDFLAGS = $(harness_ldflags)

tests_test_export_SOURCES = \
	tests/export_models.c \
	tests/export_models.h \
	tests/plan_models.c \
	tests/plan_models.h \
	tests/test_export.c
tests_test_export_LDADD = $(tests_libs)
tests_test_export_LDFLAGS = $(harness_ldflags)

tests_test_plan_SOURCES = \
	tests/plan_models.c \
	tests/plan_models.h \
	tests/plan_promise.c \
	tests/test_plan.c \
	tests/test_plan.h
tests_test_plan_LDADD = $(tests_libs)
tests_test_plan_LDFLAGS = $(harness_ldflags) \
	-Wl,--wrap=pthread_mutex_lock,--wrap=pthread_mutex_trylock

tests_test_optim_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/optim_checkpoint.c \
	tests/optim_step.c \
	tests/optim_table.c \
	tests/test_optim.c \
	tests/test_optim.h
tests_test_optim_LDFLAGS = $(harness_ldflags)
tests_test_optim_LDADD = $(tests_libs)

tests_test_safetensors_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/flips.c \
	tests/flips.h \
	tests/json_print.h \
	tests/safetensors_json.c \
	tests/safetensors_malformed.c \
	tests/safetensors_write.c \
	tests/test_safetensors.c \
	tests/test_safetensors.h
tests_test_safetensors_LDFLAGS = $(harness_ldflags)
tests_test_safetensors_LDADD = $(tests_libs)

tests_test_file_SOURCES = \
	tests/comma_locale.c \
	tests/comma_locale.h \
	tests/files.c \
	tests/files.h \
	tests/test_file.c
tests_test_file_LDFLAGS = $(harness_ldflags)
tests_test_file_LDADD = $(tests_libs)

tests_test_npy_SOURCES = tests/test_npy.c tests/files.c tests/files.h
tests_test_npy_LDFLAGS = $(harness_ldflags)
tests_test_npy_LDADD = $(tests_libs)

tests_test_state_dict_SOURCES = tests/test_state_dict.c tests/files.c tests/files.h
tests_test_state_dict_LDFLAGS = $(harness_ldflags)
tests_test_state_dict_LDADD = $(tests_libs)

tests_test_tensor_SOURCES = \
	tests/comma_locale.c \
	tests/comma_locale.h \
	tests/tensor_casts.c \
	tests/tensor_random.c \
	tests/test_tensor.c \
	tests/test_tensor.h
tests_test_tensor_LDADD = $(tests_libs)
tests_test_tensor_LDFLAGS = $(harness_ldflags)

tests_test_plugin_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/plugin_capture.c \
	tests/plugin_moves.c \
	tests/test_plugin.c \
	tests/test_plugin.h
tests_test_plugin_LDADD = tests/libcases.la $(tests_libs)
tests_test_plugin_LDFLAGS = $(harness_ldflags) -Wl,--wrap=dlopen,--wrap=dlsym,--wrap=dlerror

tests_test_cuda_kernels_SOURCES = \
	tests/cuda_kernels_costs.c \
	tests/cuda_kernels_elementwise.c \
	tests/cuda_kernels_gemm.c \
	tests/cuda_kernels_index.c \
	tests/cuda_kernels_optim.c \
	tests/cuda_kernels_random.c \
	tests/cuda_kernels_reduce.c \
	tests/cuda_kernels_scan.c \
	tests/test_cuda_kernels.c \
	tests/test_cuda_kernels.h
tests_test_cuda_kernels_LDADD = $(tests_libs)
tests_test_cuda_kernels_LDFLAGS = $(harness_ldflags)

tests_test_kernels_SOURCES = \
	tests/kernels_elementwise.c \
	tests/kernels_gemm.c \
	tests/kernels_layer.c \
	tests/kernels_layer_bf16.c \
	tests/kernels_packed.c \
	tests/kernels_rows.c \
	tests/kernels_stack.c \
	tests/test_kernels.c \
	tests/test_kernels.h
tests_test_kernels_LDADD = $(tests_libs) $(BLAS_LIBS)
tests_test_kernels_LDFLAGS = $(harness_ldflags) -Wl,--wrap=cti_bf16_path_get

tests_test_scope_SOURCES = tests/test_scope.c tests/counted.c tests/counted.h
tests_test_scope_LDADD = $(tests_libs)
tests_test_scope_LDFLAGS = $(harness_ldflags)

tests_test_threads_SOURCES = \
	tests/counted.c \
	tests/counted.h \
	tests/test_threads.c \
	tests/test_threads.h \
	tests/threads_model.c \
	tests/threads_steps.c
tests_test_threads_LDADD = $(tests_libs)
tests_test_threads_LDFLAGS = $(harness_ldflags)

tests_test_bind_SOURCES = tests/test_bind.c tests/files.c tests/files.h
tests_test_bind_LDFLAGS = $(harness_ldflags)
tests_test_bind_LDADD = $(tests_libs)

tests_test_streams_SOURCES = tests/test_streams.c tests/files.c tests/files.h
tests_test_streams_LDFLAGS = $(harness_ldflags)
tests_test_streams_LDADD = $(tests_libs)

tests_allocator_SOURCES = tests/allocator.c
tests_allocator_LDADD = libcore.la $(LIBM)
tests_allocator_LDFLAGS = $(AM_LDFLAGS) $(NO_INSTALL)

tests_test_blob_SOURCES = tests/test_blob.c tests/counted.c tests/counted.h
tests_test_blob_LDADD = $(tests_libs)
tests_test_blob_LDFLAGS = $(harness_ldflags)

tests_test_storage_SOURCES = tests/test_storage.c tests/counted.c tests/counted.h
tests_test_storage_LDADD = $(tests_libs)
tests_test_storage_LDFLAGS = $(harness_ldflags)

tests_test_arguments_SOURCES = \
	tests/test_arguments.c \
	tests/test_arguments_cells.h \
	tests/test_arguments_data.h \
	tests/test_arguments_values.h
tests_test_arguments_LDADD = $(tests_libs)
tests_test_arguments_LDFLAGS = $(harness_ldflags)
tests/test_arguments.$(OBJEXT): tests/bad_arguments.inc
tests/bad_arguments.inc: $(public_headers) m4/sites.awk tests/bad_arguments.awk
	$(AM_V_GEN)$(MKDIR_P) tests && \
	(cd $(srcdir) && LC_ALL=C $(AWK) -v prototypes=1 -f m4/sites.awk $(public_headers) | \
	 LC_ALL=C $(AWK) -f tests/bad_arguments.awk - $(public_headers)) > $@.tmp && mv $@.tmp $@

tests_test_handles_SOURCES = \
	tests/handles_threads.c \
	tests/test_handles.c \
	tests/test_handles.h
tests_test_handles_LDADD = $(tests_libs)
tests_test_handles_LDFLAGS = $(harness_ldflags)

tests_test_recurrent_SOURCES = \
	examples/mgu.c \
	examples/mgu.h \
	tests/files.c \
	tests/files.h \
	tests/recurrent_dropout.c \
	tests/recurrent_errors.c \
	tests/recurrent_file.c \
	tests/recurrent_file.h \
	tests/recurrent_layer.c \
	tests/recurrent_no_steps.c \
	tests/recurrent_training.c \
	tests/recurrent_wrapped.c \
	tests/test_recurrent.c \
	tests/test_recurrent.h
tests_test_recurrent_LDADD = $(tests_libs)
tests_test_recurrent_LDFLAGS = $(harness_ldflags)
tests_test_convert_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/recurrent_file.c \
	tests/recurrent_file.h \
	tests/test_convert.c
tests_test_convert_LDADD = $(tests_libs)
tests_test_convert_LDFLAGS = $(harness_ldflags)
tests_test_init_SOURCES = tests/test_init.c
tests_test_init_LDADD = $(tests_libs)
tests_test_init_LDFLAGS = $(harness_ldflags)

tests_test_nn_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/nn_attention.c \
	tests/nn_cells.c \
	tests/nn_conv.c \
	tests/nn_decoder.c \
	tests/nn_modules.c \
	tests/nn_norms.c \
	tests/nn_rnn.c \
	tests/test_nn.c \
	tests/test_nn.h
tests_test_nn_LDADD = $(tests_libs)
tests_test_nn_LDFLAGS = $(harness_ldflags)

tests_test_loss_SOURCES = tests/test_loss.c tests/test_loss.h tests/loss_linear.c
tests_test_loss_LDADD = $(tests_libs)
tests_test_loss_LDFLAGS = $(harness_ldflags)

tests_test_params_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/params_memory.c \
	tests/test_params.c \
	tests/test_params.h
tests_test_params_LDADD = $(tests_libs)
tests_test_params_LDFLAGS = $(harness_ldflags)

tests_test_plot_SOURCES = \
	tests/comma_locale.c \
	tests/comma_locale.h \
	tests/files.c \
	tests/files.h \
	tests/test_plot.c
tests_test_plot_LDADD = $(tests_libs)
tests_test_plot_LDFLAGS = $(harness_ldflags)

tests_test_generate_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/generate_errors.c \
	tests/generate_search.c \
	tests/generate_torch.c \
	tests/test_generate.c \
	tests/test_generate.h
tests_test_generate_LDADD = $(tests_libs)
tests_test_generate_LDFLAGS = $(harness_ldflags)

tests_test_language_model_SOURCES = \
	tests/comma_locale.c \
	tests/comma_locale.h \
	tests/files.c \
	tests/files.h \
	tests/flips.c \
	tests/flips.h \
	tests/language_model_files.c \
	tests/test_language_model.c \
	tests/test_language_model.h
tests_test_language_model_LDADD = $(tests_libs)
tests_test_language_model_LDFLAGS = $(harness_ldflags)

tests_test_checkpoint_SOURCES = \
	tests/checkpoint_faults.c \
	tests/checkpoint_loop.c \
	tests/checkpoint_sections.c \
	tests/files.c \
	tests/files.h \
	tests/flips.c \
	tests/flips.h \
	tests/test_checkpoint.c \
	tests/test_checkpoint.h
tests_test_checkpoint_LDADD = $(tests_libs)
tests_test_checkpoint_LDFLAGS = $(harness_ldflags)

tests_test_progress_SOURCES = tests/test_progress.c
tests_test_progress_LDADD = $(tests_libs)
tests_test_progress_LDFLAGS = $(harness_ldflags) -Wl,--wrap=cti_nanoseconds

tests_test_train_SOURCES = \
	tests/files.c \
	tests/files.h \
	tests/test_train.c \
	tests/test_train.h \
	tests/train_metrics.c \
	tests/train_numbers.c \
	tests/train_optimizers.c \
	tests/train_torch.c \
	tests/train_updates.c
tests_test_train_LDADD = $(tests_libs)
tests_test_train_LDFLAGS = $(harness_ldflags)

tests_test_world_SOURCES = \
	tests/test_world.c \
	tests/test_world.h \
	tests/world_fit.c \
	tests/world_hub.c \
	tests/world_hub.h \
	tests/world_lm.c
tests_test_world_LDFLAGS = $(harness_ldflags)
tests_test_world_LDADD = $(tests_libs)

tests_test_main_job_SOURCES = tests/test_main_job.c
tests_test_main_job_LDADD = $(tests_libs)
tests_test_main_job_LDFLAGS = $(harness_ldflags)

tests_ranks_SOURCES = tests/ranks.c
tests_ranks_LDADD = libcotangent.la $(LIBM)
tests_ranks_LDFLAGS = $(tests_ldflags)

tests_portable_SOURCES = tests/portable.c
tests_portable_LDADD = libcotangent.la $(LIBM)
tests_portable_LDFLAGS = $(tests_ldflags)
tests_limited_SOURCES = tests/limited.c
tests_limited_LDADD = libcotangent.la $(LIBM)
tests_limited_LDFLAGS = $(tests_ldflags)
tests_plugins_SOURCES = tests/plugins.c
tests_plugins_LDADD = libcore.la $(LIBM)
tests_plugins_LDFLAGS = $(tests_ldflags)
tests_traced_SOURCES = tests/traced.c
tests_traced_LDADD = libcotangent.la $(LIBM)
tests_traced_LDFLAGS = $(tests_ldflags)
tests_test_engine_SOURCES = \
	tests/engine_activation_checkpoint.c \
	tests/engine_functional.c \
	tests/engine_history.c \
	tests/engine_hooks.c \
	tests/engine_tools.c \
	tests/files.c \
	tests/files.h \
	tests/test_engine.c \
	tests/test_engine.h
tests_test_engine_LDADD = $(tests_libs)
tests_test_engine_LDFLAGS = $(harness_ldflags)
tests_test_misuse_SOURCES = tests/test_misuse.c
tests_test_misuse_LDADD = $(tests_libs)
tests_test_misuse_LDFLAGS = $(harness_ldflags)
tests_test_autograd_SOURCES = tests/test_autograd.c
tests_test_autograd_LDADD = tests/libcases.la $(tests_libs)
tests_test_autograd_LDFLAGS = $(harness_ldflags)

tests_test_devices_SOURCES = \
	tests/devices_captured.c \
	tests/devices_threads.c \
	tests/test_devices.c \
	tests/test_devices.h
tests_test_devices_LDADD = tests/libcases.la $(tests_libs)
tests_test_devices_LDFLAGS = $(harness_ldflags)

tests_test_edges_SOURCES = tests/test_edges.c
tests_test_edges_LDADD = tests/libcases.la $(tests_libs)
tests_test_edges_LDFLAGS = $(harness_ldflags)

tests_test_ops_SOURCES = \
	tests/ops_arrangements.c \
	tests/ops_misuse.c \
	tests/ops_numbers.c \
	tests/ops_parity.c \
	tests/ops_random.c \
	tests/ops_search.c \
	tests/ops_values.c \
	tests/ops_zero_sizes.c \
	tests/test_ops.c \
	tests/test_ops.h
tests_test_ops_LDADD = tests/libcases.la $(tests_libs)
tests_test_ops_LDFLAGS = $(harness_ldflags)

tests_test_inference_SOURCES = tests/ops_parity.c tests/test_inference.c tests/test_ops.h
tests_test_inference_LDADD = tests/libcases.la $(tests_libs)
tests_test_inference_LDFLAGS = $(harness_ldflags)

# COTANGENT_DATA_DIR and COTANGENT_TEST_FULL go through from the caller's environment, or from
# make's command line. Check kills a test after 4 s by default: too soon under valgrind.
AM_TESTS_ENVIRONMENT = \
	MAKE='$(MAKE)'; CC='$(CC)'; CFLAGS='$(CT_SANITIZE_FLAGS) $(CFLAGS)'; NM='$(CT_NM)'; \
	OBJDUMP='$(CT_OBJDUMP)'; PKG_CONFIG='$(PKG_CONFIG)'; VALGRIND='$(VALGRIND)'; \
	AWK='$(AWK)'; HOST_CPU='$(host_cpu)'; public_headers='$(public_headers)'; \
	pkgconfigdir='$(pkgconfigdir)'; libdir='$(libdir)'; includedir='$(includedir)'; \
	tool='$(bin_PROGRAMS)'; export tool; \
	bindir='$(bindir)'; mandir='$(mandir)'; docdir='$(docdir)'; \
	datadir='$(datadir)'; export docdir datadir; \
	LIBRARY_CFLAGS='$(CT_CFLAGS) $(NETTLE_CFLAGS)'; export LIBRARY_CFLAGS; \
	CK_DEFAULT_TIMEOUT=$${CK_DEFAULT_TIMEOUT-300}; \
	CUDA_COMPILE='$(CT_CXX) $(cuda_includes) $(CUDA_CPPFLAGS)'; export CUDA_COMPILE; \
	COTANGENT_PLUGIN_DIR='$(abs_top_builddir)/cuda/.libs'; export COTANGENT_PLUGIN_DIR; \
	COTANGENT_TEST_MESSAGES='$(messages_folder)'; export COTANGENT_TEST_MESSAGES; \
	check_programs='$(check_programs)'; export check_programs; mkdir -p '$(messages_folder)'; \
	export MAKE CC CFLAGS NM OBJDUMP PKG_CONFIG VALGRIND AWK HOST_CPU public_headers \
	    pkgconfigdir libdir includedir bindir mandir CK_DEFAULT_TIMEOUT; \
	COTANGENT_DATA_DIR='$(COTANGENT_DATA_DIR)'; COTANGENT_TEST_FULL='$(COTANGENT_TEST_FULL)'; \
	test -z "$$COTANGENT_DATA_DIR" || export COTANGENT_DATA_DIR; \
	PYTHON='$(PYTHON)'; test -z "$$PYTHON" || export PYTHON; \
	test -z "$$COTANGENT_TEST_FULL" || export COTANGENT_TEST_FULL;

messages_folder = $(abs_top_builddir)/tests/messages

# Rewrites the file of the messages that the tests provoke (tests/messages.sh).
update-messages: $(check_programs) $(check_programs:=.log)
	@$(AM_TESTS_ENVIRONMENT) srcdir='$(srcdir)' $(SHELL) $(srcdir)/tests/messages.sh update
clean-local:
	rm -rf tests/messages docs/html docs/man3

# Prints a line for each test that `make check` leaves out.
check-local:
if !HAVE_CHECK
	@echo 'Check is not installed (Debian: apt-get install check): skipped $(check_programs)'
endif
if !CUDA_EMU
	@echo 'cuda-emu: $(subst ','\'',$(ct_summary_emu)): skipped $(emulator_tests)'
endif
if INFERENCE_ONLY
	@echo 'inference only: skipped $(filter-out $(inference_check_programs) $(inference_shell_tests),$(check_programs) $(shell_tests))'
endif

# An installation, after `make install`: programs that use it.
installcheck-local:
	@$(AM_TESTS_ENVIRONMENT) $(SHELL) $(srcdir)/tests/installed.sh '$(DESTDIR)'

# The slow cases too.
check-full:
	COTANGENT_TEST_FULL=1; CK_DEFAULT_TIMEOUT=$${CK_DEFAULT_TIMEOUT-3600}; \
	export COTANGENT_TEST_FULL CK_DEFAULT_TIMEOUT; $(MAKE) check
if !INFERENCE_ONLY
	$(MAKE) check-inference-only
endif

# Runs the tests of threads with ThreadSanitizer, in a separate build.
check-tsan:
	$(MKDIR_P) tsan
	cd tsan && { test -f Makefile || $(abs_srcdir)/configure --without-cuda --disable-shared \
	    CC='$(CC)' CFLAGS='-g -O1 -fsanitize=thread' LDFLAGS=-fsanitize=thread; }
	cd tsan && $(MAKE) all && \
	    TSAN_OPTIONS="suppressions=$(abs_srcdir)/tests/tsan.supp $$TSAN_OPTIONS" \
	    $(MAKE) check TESTS='tests/test_threads tests/test_handles tests/test_world'

# Runs both protocols at full length with three seeds each, and compares perplexities with the
# chapter's.
protocols: examples/rnn_concise
	@COTANGENT_DATA_DIR="$${COTANGENT_DATA_DIR-$(COTANGENT_DATA_DIR)}" \
	$(SHELL) $(srcdir)/tests/protocols.sh

.PHONY: check-full check-tsan update-messages protocols

EXTRA_DIST += $(shell_tests) tests/inference_only.sh
EXTRA_DIST += \
	tests/bad_arguments.awk \
	tests/checked.sh \
	tests/contracts.py \
	tests/dlpack.py \
	tests/emulated_cpu.sh \
	tests/gpu_counts.sh \
	tests/hops.c \
	tests/hops.py \
	tests/house.py \
	tests/install/cmake/CMakeLists.txt \
	tests/install/hello.c \
	tests/installed.sh \
	tests/json_texts.py \
	tests/launches.sh \
	tests/layer_bits.c \
	tests/lib.sh \
	tests/messages.txt \
	tests/mpi.supp \
	tests/mpi_lib.sh \
	tests/mutants.py \
	tests/mutants.txt \
	tests/opt_outs.txt \
	tests/commands.awk \
	tests/pages.awk \
	tests/pages.py \
	tests/peers/README.md \
	tests/peers/book.py \
	tests/peers/book_flax.py \
	tests/peers/book_gluon.py \
	tests/peers/book_keras.py \
	tests/peers/book_torch.py \
	tests/peers/flax.txt \
	tests/peers/flax_numbers.py \
	tests/peers/formula.py \
	tests/peers/gluon.txt \
	tests/peers/gluon_numbers.py \
	tests/peers/jax_step.py \
	tests/peers/keras.txt \
	tests/peers/keras_numbers.py \
	tests/protocols.sh \
	tests/stand_in.sh \
	tests/torch/README.md \
	tests/torch/edges.py \
	tests/torch/edges.txt \
	tests/torch/generate.py \
	tests/torch/generate.txt \
	tests/torch/main_job.py \
	tests/torch/main_job.txt \
	tests/torch/maml.py \
	tests/torch/maml.txt \
	tests/torch/min_rnn.py \
	tests/torch/min_rnn.txt \
	tests/torch/modules.py \
	tests/torch/modules.txt \
	tests/torch/no_parity.txt \
	tests/torch/ops_parity.py \
	tests/torch/ops_parity.txt \
	tests/torch/optim.py \
	tests/torch/optim.txt \
	tests/torch/peer.safetensors \
	tests/torch/peer_file.py \
	tests/torch/recurrent.py \
	tests/torch/recurrent.txt \
	tests/torch/seq2seq.py \
	tests/torch/seq2seq.txt \
	tests/torch/round_trip.py \
	tests/torch/training.py \
	tests/torch/training.txt \
	tests/tsan.supp \
	tests/two_hosts.sh \
	tests/undocumented.txt \
	tests/without-check.sh \
	tests/words.awk \
	tests/words.txt
