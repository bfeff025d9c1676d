# SPDX-License-Identifier: MIT
EXTRA_PROGRAMS = bench/bench bench/handles
bench_handles_SOURCES = bench/handles.c
bench_handles_LDFLAGS = $(AM_LDFLAGS) $(NO_INSTALL)
bench_handles_LDADD = libcotangent.la
bench_bench_SOURCES = \
	bench/bench.c \
	bench/bench.h \
	bench/gpu.c \
	bench/kernels.c \
	bench/layers.c \
	bench/recurrent.c \
	bench/recurrent.h \
	bench/ops.c \
	bench/profile.c \
	bench/scaling.c
bench_bench_LDFLAGS = $(AM_LDFLAGS) $(NO_INSTALL)
bench_bench_LDADD = libcotangent.la $(BLAS_LIBS) -lm
# The sum over shards against MPI_Allreduce, where the MPI is there.
if OPENMPI_PLUGIN
EXTRA_PROGRAMS += bench/allreduce-openmpi
endif
if MPICH_PLUGIN
EXTRA_PROGRAMS += bench/allreduce-mpich
endif
EXTRA_DIST += bench/allreduce.c
bench_allreduce_openmpi_SOURCES = bench/allreduce.c
bench_allreduce_openmpi_CPPFLAGS = $(AM_CPPFLAGS) $(OPENMPI_CFLAGS)
bench_allreduce_openmpi_LDFLAGS = $(AM_LDFLAGS) $(NO_INSTALL)
bench_allreduce_openmpi_LDADD = libcore.la $(OPENMPI_LIBS)
bench_allreduce_mpich_SOURCES = bench/allreduce.c
bench_allreduce_mpich_CPPFLAGS = $(AM_CPPFLAGS) $(MPICH_CFLAGS)
bench_allreduce_mpich_LDFLAGS = $(AM_LDFLAGS) $(NO_INSTALL)
bench_allreduce_mpich_LDADD = libcore.la $(MPICH_LIBS)
CLEANFILES += $(EXTRA_PROGRAMS) bench/result.json

# So that these can be made before `make all`.
$(examples_rnn_concise_OBJECTS) $(examples_custom_op_OBJECTS) $(tool_cotangent_OBJECTS) \
$(bench_bench_OBJECTS) $(bench_handles_OBJECTS): \
	include/cotangent_sites.h

# Prints one table of this library and each peer whose environment exists, and writes
# bench/result.json. COTANGENT_PEERS: a folder of environments made before.
bench: bench/bench
	$(SHELL) $(srcdir)/bench/run.sh bench/bench "$${COTANGENT_PEERS-bench/peers}" bench/result.json

# Makes the Python environments of the peers (some GB) in the build folder.
bench-peers:
	for peer in "torch torch numpy" "jax jax flax optax" "tf tensorflow-cpu" \
	    "mxnet mxnet==1.9.1 numpy==1.23.5"; do \
	    set -- $$peer; name=$$1; shift; \
	    $${PYTHON-python3} -m venv bench/peers/$$name && \
	    bench/peers/$$name/bin/pip install -q "$$@" || exit 1; \
	done

# One recurrent layer beside oneDNN's. ONEDNN: the prefix of oneDNN 3 (include/, lib/).
bench/peers/onednn: $(srcdir)/bench/peers/onednn.cpp $(srcdir)/bench/recurrent.h
	$(MKDIR_P) bench/peers
	$${CXX-c++} -std=c++17 -O2 -I$(srcdir) -I$(ONEDNN)/include -o $@ \
	    $(srcdir)/bench/peers/onednn.cpp -L$(ONEDNN)/lib -ldnnl -Wl,-rpath,$(ONEDNN)/lib

bench-onednn: bench/bench bench/peers/onednn
	$(SHELL) $(srcdir)/bench/recurrent.sh bench/bench bench/peers/onednn

.PHONY: bench bench-onednn bench-peers
CLEANFILES += bench/peers/onednn

EXTRA_DIST += \
	bench/callgrind.sh \
	bench/recurrent.sh \
	bench/peers/jax_peer.py \
	bench/peers/least.py \
	bench/peers/mxnet_peer.py \
	bench/peers/onednn.cpp \
	bench/peers/serve.py \
	bench/peers/tf_peer.py \
	bench/peers/torch_layers.py \
	bench/peers/torch_ops.py \
	bench/peers/torch_peer.py \
	bench/run.sh \
	bench/table.awk
