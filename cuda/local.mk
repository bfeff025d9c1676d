# SPDX-License-Identifier: MIT
# Plug-ins, opened when first named: the same .cu files compiled by nvcc, and by $(CXX) for the
# emulated GPU of cuda/emu. No C++ compiler is needed without them, so automake knows nothing of
# these objects: pattern rules make them. libtool gives -Xcompiler to nobody, and -fPIC is spelt
# otherwise for nvcc: hence -prefer-non-pic.
cuda_sources = \
	cuda/attention.cu \
	cuda/backend.cu \
	cuda/conv.cu \
	cuda/copy.cu \
	cuda/ctc.cu \
	cuda/elementwise.cu \
	cuda/gemm.cu \
	cuda/index.cu \
	cuda/normalise.cu \
	cuda/optim.cu \
	cuda/random.cu \
	cuda/reduce.cu \
	cuda/rnn.cu \
	cuda/scan.cu \
	cuda/softmax.cu \
	cuda/sort.cu
cuda_headers = cuda/cuda.h cuda/launch.h cuda/device.h cuda/strided.h
emu_sources = \
	cuda/emu/blas.cc \
	cuda/emu/check.cc \
	cuda/emu/fiber.cc \
	cuda/emu/kernel.cc \
	cuda/emu/memory.cc \
	cuda/emu/nccl.cc \
	cuda/emu/report.cc \
	cuda/emu/runtime.cc \
	cuda/emu/stream.cc
emu_headers = \
	cuda/emu/emu.h \
	cuda/emu/checked.h \
	cuda/emu/internal.h \
	cuda/emu/nccl/nccl.h \
	cuda/emu/report.h \
	cuda/emu/cases/fixture.h \
	cuda/emu/cases/cases.h
# Small wrong and right programs for the emulated GPU.
emu_cases = \
	cuda/emu/cases/barriers.cu \
	cuda/emu/cases/races.cu \
	cuda/emu/cases/memory.cu \
	cuda/emu/cases/streams.cu \
	cuda/emu/cases/calls.cu \
	cuda/emu/cases/right.cu

cuda_includes = -std=c++17 -I$(top_builddir)/include -I$(top_srcdir)
cuda_depends = $(cuda_headers) $(emu_headers) tensor/backend.h tensor/kernel_arguments.h tensor/dtypes.h tensor/strided.h \
	tensor/formulas.h tensor/convert.h tensor/division.h \
	tensor/philox.h tensor/tensor.h tensor/status.h
NVCC_COMPILE = $(LIBTOOL) $(AM_V_lt) --tag=CC --mode=compile $(CT_NVCC) -prefer-non-pic -shared \
	$(cuda_includes) $(CT_NVCC_FLAGS) $(NVCCFLAGS) $(CT_CUDA_WERROR) \
	--compiler-options=-fPIC,-fvisibility=hidden,-Wall,-Wextra -c
CUDA_CXXCOMPILE = $(LIBTOOL) $(AM_V_lt) --tag=CC --mode=compile $(CT_CXX) -shared $(cuda_includes) \
	$(CUDA_CPPFLAGS) $(CUDA_CXXFLAGS) -fPIC -fvisibility=hidden -ffp-contract=off -Wall -Wextra \
	$(CT_CXX_PREFIX_MAP) $(CT_CXX_WERROR) -c

# For the checker (cuda/emu/check.cc), which has the __tsan_ functions itself: never linked with
# -fsanitize=thread. Inlining, since gcc leaves out the store of a struct that a call returns.
CUDA_CHECKFLAGS = -O1 -g -finline-functions -finline-small-functions -fsanitize=thread

# .cu for the GPU, .cu for the emulated one, plain and checked, and the emulator itself.
cuda_objects = $(cuda_sources:.cu=.lo)
emulated_objects = $(cuda_sources:cuda/%.cu=cuda/emulated/%.lo)
checked_objects = $(cuda_sources:cuda/%.cu=cuda/checked/%.lo)
emu_objects = $(emu_sources:.cc=.lo)
cuda/%.lo: cuda/%.cu $(cuda_depends)
	$(AM_V_GEN)$(MKDIR_P) cuda && $(NVCC_COMPILE) -o $@ $<
cuda/emulated/%.lo: cuda/%.cu $(cuda_depends)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(CUDA_CXXCOMPILE) -o $@ -x c++ $<
cuda/checked/%.lo: cuda/%.cu $(cuda_depends)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(CUDA_CXXCOMPILE) $(CUDA_CHECKFLAGS) -o $@ -x c++ $<
cuda/emu/%.lo: cuda/emu/%.cc $(cuda_depends)
	$(AM_V_GEN)$(MKDIR_P) cuda/emu && $(CUDA_CXXCOMPILE) -o $@ $<

pkglib_LTLIBRARIES =
check_LTLIBRARIES =
plugin_ldflags = -module -avoid-version -shared -Wl,-z,defs -pthread
if CUDA
pkglib_LTLIBRARIES += cuda/cuda.la
endif
if CUDA_EMU
pkglib_LTLIBRARIES += cuda/cuda-emu.la
check_LTLIBRARIES += cuda/checked/cuda-emu.la
endif
cuda_cuda_la_SOURCES =
cuda_cuda_la_LIBADD = $(cuda_objects) $(CUDA_LIBS)
cuda_cuda_la_DEPENDENCIES = $(cuda_objects)
cuda_cuda_la_LDFLAGS = $(plugin_ldflags) -export-symbols-regex '^cti_plugin_open$$'
cuda_cuda_emu_la_SOURCES =
cuda_cuda_emu_la_LIBADD = $(emulated_objects) $(emu_objects) -lstdc++ $(LIBM)
cuda_cuda_emu_la_DEPENDENCIES = $(emulated_objects) $(emu_objects)
cuda_cuda_emu_la_LDFLAGS = $(plugin_ldflags) -export-symbols-regex '^cti_plugin_open$$|^emu_|^nccl'

# The same device with the checker, only for tests: COTANGENT_PLUGIN_DIR names its folder.
cuda_checked_cuda_emu_la_SOURCES =
cuda_checked_cuda_emu_la_LIBADD = $(checked_objects) $(emu_objects) -lstdc++ $(LIBM)
cuda_checked_cuda_emu_la_DEPENDENCIES = $(checked_objects) $(emu_objects)
cuda_checked_cuda_emu_la_LDFLAGS = $(cuda_cuda_emu_la_LDFLAGS) -rpath $(abs_builddir)/cuda/checked

mostlyclean-local:
	-rm -rf cuda/*.o cuda/*.lo cuda/emu/*.o cuda/emu/*.lo cuda/emu/.libs cuda/emulated \
	    cuda/checked hops

EXTRA_DIST += $(cuda_sources) $(cuda_headers) $(emu_sources) $(emu_headers) $(emu_cases)
