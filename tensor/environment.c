/* SPDX-License-Identifier: MIT */
/* environment.c - the library's environment variables, in one table. A wrong value, and an unknown
 * name that begins with COTANGENT_, are reported in one line on stderr, once: when the library is
 * loaded or when the variable is first read. A variable with a wrong value counts as not set. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/log.h"
#include "tensor/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct environment_variable {
    const char *name;
    const char *words; /* the values that are allowed, "base|avx2"; NULL: a number or any text */
    long low, high;    /* the range of a number; if high is not above low, any text is allowed */
} environment_variable;

static const environment_variable environment_table[] = {
    { .name = "COTANGENT_NUM_THREADS", .low = 1, .high = 256 },
    { .name = "COTANGENT_CPU_PATH", .words = "base|avx2|avx512" },
    { .name = "COTANGENT_POOL", .words = "0|1" },
    { .name = "COTANGENT_HANDLES", .words = "unique" },
    { .name = "COTANGENT_DEBUG", .low = 0, .high = 3 },
    { .name = "COTANGENT_PROFILE", .words = "0|1" },
    { .name = "COTANGENT_SHARDS", .low = 1, .high = 1024 },
    { .name = "COTANGENT_WORLD_TIMEOUT", .low = 1, .high = 86400 },
    { .name = "COTANGENT_MPI", .words = "openmpi|mpich" },
    { .name = "COTANGENT_NCCL", .words = "0|1" },
    { .name = "COTANGENT_PLUGIN_DIR" },
    { .name = "COTANGENT_DATA_DIR" },
    { .name = "COTANGENT_TIMEMACHINE_URL" },
    /* the emulated GPU reads these itself (docs/emulator.md) */
    { .name = "COTANGENT_EMU_SEED" },
    { .name = "COTANGENT_EMU_FAIL" },
    { .name = "COTANGENT_EMU_MEMORY" },
    { .name = "COTANGENT_EMU_DEVICES" },
    { .name = "COTANGENT_EMU_DRIVER" },
    { .name = "COTANGENT_EMU_NAME" },
    { .name = "COTANGENT_EMU_STATS" },
    { .name = "COTANGENT_EMU_SECTORS" },
    { .name = "COTANGENT_EMU_VERBOSE" },
};
#define VARIABLES ((int)(sizeof environment_table / sizeof *environment_table))

/* Prefixes of variables that the tests, the benchmarks and the build use. */
static const char *const environment_foreign[] = { "COTANGENT_TEST_", "COTANGENT_BENCH_",
                                                   "COTANGENT_PEERS=", "COTANGENT_CUDA_ARCH=",
                                                   "COTANGENT_CONFIGURE_FLAGS=" };

static atomic_bool environment_told[VARIABLES];

/* Returns the index of the variable whose name is the first n bytes of name, or -1. */
static int environment_find(const char *name, size_t n)
{
    int i = VARIABLES - 1;

    while (i >= 0 && (strncmp(environment_table[i].name, name, n) != 0 ||
                      environment_table[i].name[n] != '\0'))
        i--;
    return i;
}

static bool environment_is_word(const char *words, const char *value)
{
    size_t n = strlen(value);

    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, value, n) == 0 && (at[n] == '|' || at[n] == '\0'))
            return true;
    return false;
}

static bool environment_is_number(const environment_variable *v, const char *value)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(value, &end, 10);
    return errno == 0 && end != value && *end == '\0' && n >= v->low && n <= v->high;
}

/* True if the variable may have the value; otherwise reports it on stderr. */
static bool environment_check(int i, const char *value)
{
    const environment_variable *v = &environment_table[i];

    if (v->words ? environment_is_word(v->words, value)
                 : v->high <= v->low || environment_is_number(v, value))
        return true;
    if (atomic_exchange(&environment_told[i], true))
        return false;
    if (v->words)
        cti_log("cotangent: %s is %s; it must be %s: it is ignored", v->name, cti_quote(value).s,
                v->words);
    else
        cti_log("cotangent: %s is %s; it must be in %ld..%ld: it is ignored", v->name,
                cti_quote(value).s, v->low, v->high);
    return false;
}

const char *cti_environment(const char *name)
{
    int i = environment_find(name, strlen(name));
    const char *value = getenv(name);

    return i >= 0 && value && *value && environment_check(i, value) ? value : NULL;
}

static bool environment_is_foreign(const char *entry)
{
    for (size_t i = 0; i < sizeof environment_foreign / sizeof *environment_foreign; i++)
        if (strncmp(entry, environment_foreign[i], strlen(environment_foreign[i])) == 0)
            return true;
    return false;
}

/* Checks every variable whose name begins with COTANGENT_. */
__attribute__((constructor)) static void environment_check_all(void)
{
    for (char **entry = environ; entry && *entry; entry++) {
        size_t n = strcspn(*entry, "=");
        char name[60];
        int i;

        if (strncmp(*entry, "COTANGENT_", 10) != 0 || !(*entry)[n])
            continue;
        i = environment_find(*entry, n);
        if (i >= 0 && (*entry)[n + 1])
            environment_check(i, *entry + n + 1);
        if (i >= 0 || environment_is_foreign(*entry))
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(n < 59 ? n : 59), *entry);
        cti_log("cotangent: there is no environment variable %s: it is ignored", cti_quote(name).s);
    }
}
