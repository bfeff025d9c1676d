# SPDX-License-Identifier: MIT
# Plug-ins of a world. Those for MPI are opened when a launcher has started several processes: one source, compiled for Open
# MPI and for MPICH. cuda/local.mk has pkglib_LTLIBRARIES and plugin_ldflags.
EXTRA_DIST += train/mpi/world_mpi.c
if OPENMPI_PLUGIN
pkglib_LTLIBRARIES += train/mpi/world-openmpi.la
endif
if MPICH_PLUGIN
pkglib_LTLIBRARIES += train/mpi/world-mpich.la
endif
mpi_ldflags = $(plugin_ldflags) -export-symbols-regex '^cti_transport_open$$'
train_mpi_world_openmpi_la_SOURCES = train/mpi/world_mpi.c
train_mpi_world_openmpi_la_CPPFLAGS = $(AM_CPPFLAGS) $(OPENMPI_CFLAGS)
train_mpi_world_openmpi_la_CFLAGS = $(CT_CFLAGS) $(CT_PREFIX_MAP)
train_mpi_world_openmpi_la_LIBADD = $(OPENMPI_LIBS)
train_mpi_world_openmpi_la_LDFLAGS = $(mpi_ldflags)
train_mpi_world_mpich_la_SOURCES = train/mpi/world_mpi.c
train_mpi_world_mpich_la_CPPFLAGS = $(AM_CPPFLAGS) $(MPICH_CFLAGS)
train_mpi_world_mpich_la_CFLAGS = $(CT_CFLAGS) $(CT_PREFIX_MAP)
train_mpi_world_mpich_la_LIBADD = $(MPICH_LIBS)
train_mpi_world_mpich_la_LDFLAGS = $(mpi_ldflags)

# NCCL, for the GPUs of a world, and the same source with its stand-in, which is a part of cuda-emu.
# The library opens the plug-in after the device, so that cuda-emu.so is found in memory.
EXTRA_DIST += train/nccl/world_nccl.c
nccl_ldflags = $(plugin_ldflags) -export-symbols-regex '^cti_collective_open$$'
if NCCL_PLUGIN
pkglib_LTLIBRARIES += train/nccl/world-nccl.la
endif
if CUDA_EMU
pkglib_LTLIBRARIES += train/nccl/world-nccl-emu.la
endif
train_nccl_world_nccl_la_SOURCES = train/nccl/world_nccl.c
train_nccl_world_nccl_la_CPPFLAGS = $(AM_CPPFLAGS) $(NCCL_CPPFLAGS) $(CUDA_CPPFLAGS)
train_nccl_world_nccl_la_CFLAGS = $(CT_CFLAGS)
train_nccl_world_nccl_la_LIBADD = $(NCCL_LIBS)
train_nccl_world_nccl_la_LDFLAGS = $(nccl_ldflags)
train_nccl_world_nccl_emu_la_SOURCES = train/nccl/world_nccl.c
train_nccl_world_nccl_emu_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/cuda/emu/nccl $(CUDA_CPPFLAGS)
train_nccl_world_nccl_emu_la_CFLAGS = $(CT_CFLAGS)
train_nccl_world_nccl_emu_la_LIBADD =
train_nccl_world_nccl_emu_la_DEPENDENCIES = cuda/cuda-emu.la
train_nccl_world_nccl_emu_la_LDFLAGS = $(nccl_ldflags) -Wl,cuda/.libs/cuda-emu.so
