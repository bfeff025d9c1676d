# SPDX-License-Identifier: MIT
example_programs = \
	examples/rnn_concise \
	examples/rnn_scratch \
	examples/overfit \
	examples/deep \
	examples/clipping \
	examples/one_hot \
	examples/autoregressive \
	examples/linear_regression \
	examples/transformer \
	examples/mlp \
	examples/forecast \
	examples/generate \
	examples/pitch \
	examples/lenet \
	examples/seq2seq \
	examples/vae \
	examples/ctc_reader \
	examples/gan \
	examples/maml \
	examples/tagger \
	examples/server \
	examples/custom_op \
	examples/compress
if TOOL
noinst_PROGRAMS = $(example_programs)
endif

examples_common = \
	examples/common.c \
	examples/common.h \
	examples/mgu.c \
	examples/mgu.h \
	tool/cli.c \
	tool/cli.h
examples_lm = examples/lm.c examples/lm.h $(examples_common)
examples_libs = libcotangent.la $(LIBM)
examples_ldflags = $(AM_LDFLAGS) $(NO_INSTALL)

examples_rnn_concise_SOURCES = examples/rnn_concise.c $(examples_common)
examples_rnn_concise_LDFLAGS = $(examples_ldflags)
examples_rnn_concise_LDADD = $(examples_libs)

examples_compress_SOURCES = \
	examples/byte_model.c \
	examples/byte_model.h \
	examples/compress.c \
	examples/range_coder.c \
	examples/range_coder.h \
	tool/cli.c \
	tool/cli.h
examples_compress_LDFLAGS = $(examples_ldflags)
examples_compress_LDADD = $(examples_libs) $(NETTLE_LIBS)

examples_custom_op_SOURCES = examples/custom_op.c
examples_custom_op_LDFLAGS = $(examples_ldflags)
examples_custom_op_LDADD = $(examples_libs)

examples_pitch_SOURCES = examples/pitch.c
examples_pitch_LDFLAGS = $(examples_ldflags)
examples_pitch_LDADD = $(examples_libs)

examples_server_SOURCES = examples/server.c
examples_server_LDFLAGS = $(examples_ldflags)
examples_server_LDADD = $(examples_libs)

examples_generate_SOURCES = examples/generate.c
examples_generate_LDFLAGS = $(examples_ldflags)
examples_generate_LDADD = $(examples_libs)

examples_forecast_SOURCES = examples/forecast.c
examples_forecast_LDFLAGS = $(examples_ldflags)
examples_forecast_LDADD = $(examples_libs)

examples_rnn_scratch_SOURCES = examples/rnn_scratch.c $(examples_lm)
examples_rnn_scratch_LDFLAGS = $(examples_ldflags)
examples_rnn_scratch_LDADD = $(examples_libs)

examples_overfit_SOURCES = examples/overfit.c $(examples_lm)
examples_overfit_LDFLAGS = $(examples_ldflags)
examples_overfit_LDADD = $(examples_libs)

examples_transformer_SOURCES = examples/transformer.c $(examples_common)
examples_transformer_LDFLAGS = $(examples_ldflags)
examples_transformer_LDADD = $(examples_libs)

examples_deep_SOURCES = examples/deep.c $(examples_lm)
examples_deep_LDFLAGS = $(examples_ldflags)
examples_deep_LDADD = $(examples_libs)

examples_clipping_SOURCES = examples/clipping.c $(examples_lm)
examples_clipping_LDFLAGS = $(examples_ldflags)
examples_clipping_LDADD = $(examples_libs)

examples_one_hot_SOURCES = examples/one_hot.c $(examples_lm)
examples_one_hot_LDFLAGS = $(examples_ldflags)
examples_one_hot_LDADD = $(examples_libs)

examples_autoregressive_SOURCES = examples/autoregressive.c $(examples_common)
examples_autoregressive_LDFLAGS = $(examples_ldflags)
examples_autoregressive_LDADD = $(examples_libs)

examples_linear_regression_SOURCES = examples/linear_regression.c $(examples_common)
examples_linear_regression_LDFLAGS = $(examples_ldflags)
examples_linear_regression_LDADD = $(examples_libs)

examples_maml_SOURCES = examples/maml.c $(examples_common)
examples_maml_LDFLAGS = $(examples_ldflags)
examples_maml_LDADD = $(examples_libs)

examples_tagger_SOURCES = examples/tagger.c
examples_tagger_LDFLAGS = $(examples_ldflags)
examples_tagger_LDADD = $(examples_libs)

examples_gan_SOURCES = examples/gan.c $(examples_common)
examples_gan_LDFLAGS = $(examples_ldflags)
examples_gan_LDADD = $(examples_libs)

examples_mlp_SOURCES = examples/mlp.c $(examples_common)
examples_mlp_LDFLAGS = $(examples_ldflags)
examples_mlp_LDADD = $(examples_libs)

examples_lenet_SOURCES = examples/lenet.c $(examples_common)
examples_lenet_LDFLAGS = $(examples_ldflags)
examples_lenet_LDADD = $(examples_libs)

examples_vae_SOURCES = examples/vae.c $(examples_common)
examples_vae_LDFLAGS = $(examples_ldflags)
examples_vae_LDADD = $(examples_libs)

examples_ctc_reader_SOURCES = examples/ctc_reader.c $(examples_common)
examples_ctc_reader_LDFLAGS = $(examples_ldflags)
examples_ctc_reader_LDADD = $(examples_libs)

examples_seq2seq_SOURCES = examples/seq2seq.c $(examples_common)
examples_seq2seq_LDFLAGS = $(examples_ldflags)
examples_seq2seq_LDADD = $(examples_libs)

# Installed as sources, with the files that they share.
nobase_dist_doc_DATA += \
	examples/export/Makefile \
	examples/export/generate.c \
	examples/export/index.html \
	examples/export/pitch.c
nobase_doc_DATA = $(filter %.c %.h,$(sort \
	$(foreach program,$(example_programs),$($(subst /,_,$(program))_SOURCES))))
