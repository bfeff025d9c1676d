/* plugin.c - finding and opening the files of plug-ins: devices and MPI. */
#include "tensor/internal.h"

#include "tensor/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { PLUGIN_PATH_MAX = 4096 };

/* Writes the folder "cotangent" beside the shared library that contains this function. Returns
 * false if there is none.
 *
 * The loader knows a main program by its argv[0], which the caller of the program chose: with the
 * static library in the program there is no folder that can be trusted. (sudo, for example, runs a
 * program with root's rights and the user's argv[0].) The program headers tell which object is the
 * main program. A relative path would depend on the current folder. */
static bool plugin_folder_beside(char *folder, size_t size)
{
    const void *headers = (const void *)getauxval(AT_PHDR);
    Dl_info own, program;
    const char *slash;

    if (getauxval(AT_SECURE) || !headers || !dladdr((const void *)&plugin_folder_beside, &own) ||
        !dladdr(headers, &program) || own.dli_fbase == program.dli_fbase)
        return false;
    if (!own.dli_fname || own.dli_fname[0] != '/')
        return false;
    slash = strrchr(own.dli_fname, '/');
    return (size_t)snprintf(folder, size, "%.*s/cotangent", (int)(slash - own.dli_fname),
                            own.dli_fname) < size;
}

/* Writes the path of NAME.so in the folder. Returns whether the file exists. */
static bool plugin_file_in(const char *folder, const char *name, char *path, size_t size)
{
    return (size_t)snprintf(path, size, "%s/%s.so", folder, name) < size && access(path, F_OK) == 0;
}

/* Writes the path of the first NAME.so, or of the last one that does not exist. */
static bool plugin_find(const char *name, char *path, size_t size)
{
    const char *chosen = secure_getenv("COTANGENT_PLUGIN_DIR");
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
