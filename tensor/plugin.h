/* SPDX-License-Identifier: MIT */
/* plugin.h - finding and opening the files of plug-ins: devices and MPI. (internal) */
#ifndef COTANGENT_TENSOR_PLUGIN_H
#define COTANGENT_TENSOR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

/* Opens NAME.so and returns the address of its function `symbol`. The file is looked for in
 *     1. the folder COTANGENT_PLUGIN_DIR or, if that is not set, the folder "cotangent" beside the
 *        shared library, where it is installed and where the build tree has links;
 *     2. the folder of the installation that configure was told.
 * A set-user-ID program looks only in the second one, and so does a program that contains the
 * static library and has no COTANGENT_PLUGIN_DIR. The current folder is never searched unless
 * COTANGENT_PLUGIN_DIR names it.
 *
 * On failure returns NULL and writes the reason to `why`; *missing is true if no folder has the
 * file. A module that was opened is never closed. */
void *cti_plugin_open_file(const char *name, const char *symbol, bool *missing, char *why,
                           size_t size);

#endif
