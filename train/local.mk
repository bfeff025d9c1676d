# SPDX-License-Identifier: MIT
# Plug-ins for MPI, opened when a launcher has started several processes: one source, compiled for Open
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
