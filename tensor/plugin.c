/* SPDX-License-Identifier: MIT */
/* plugin.c - finding and opening the files of plug-ins: devices and MPI. */
#include "tensor/internal.h"

#include "tensor/plugin.h"
#include "tensor/system.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

enum { PLUGIN_PATH_MAX = 4096 };

/* Writes the folder "cotangent" beside the shared library. Returns false if there is none. */
static bool plugin_folder_beside(char *folder, size_t size)
{
    char library[PLUGIN_PATH_MAX];

    return cti_library_folder(library, sizeof library) &&
           (size_t)snprintf(folder, size, "%s/cotangent", library) < size;
}

/* Writes the path of NAME.so in the folder. Returns whether the file exists. */
static bool plugin_file_in(const char *folder, const char *name, char *path, size_t size)
{
    return (size_t)snprintf(path, size, "%s/%s.so", folder, name) < size && access(path, F_OK) == 0;
}

/* Writes the path of the first NAME.so, or of the last one that does not exist. */
static bool plugin_find(const char *name, char *path, size_t size)
{
    const char *chosen = cti_trusted_environment("COTANGENT_PLUGIN_DIR");
    char beside[PLUGIN_PATH_MAX];

    if (chosen) {
        if (*chosen && plugin_file_in(chosen, name, path, size))
            return true;
    } else if (plugin_folder_beside(beside, sizeof beside) &&
               plugin_file_in(beside, name, path, size)) {
        return true;
    }
    return plugin_file_in(CT_PLUGIN_DIR, name, path, size);
}

void *cti_plugin_open_file(const char *name, const char *symbol, bool *missing, char *why,
                           size_t size)
{
    char path[PLUGIN_PATH_MAX];
    void *module, *found;

    *missing = !plugin_find(name, path, sizeof path);
    if (*missing) {
        snprintf(why, size, "no plug-in %.160s; set COTANGENT_PLUGIN_DIR to its folder", path);
        return NULL;
    }
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    found = module ? dlsym(module, symbol) : NULL;
    if (!found) {
        const char *reason = dlerror();

        snprintf(why, size, "%.250s", reason ? reason : "the plug-in exports nothing");
    }
    return found;
}
