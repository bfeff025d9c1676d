/* SPDX-License-Identifier: MIT */
/* export_models.c - compiles exported code and runs it. */
#include "tests/export_models.h"

#include "tests/harness.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exported code must compile without warnings with these flags. */
#define STRICT "-std=c99 -Wall -Wextra -Wconversion -pedantic -Werror -ffreestanding"

void exported_begin(exported *e)
{
    *e = (exported){ .library = NULL };
    snprintf(e->folder, sizeof e->folder, "/tmp/cotangent-export-XXXXXX");
    ck_assert(mkdtemp(e->folder) != NULL);
}

const char *exported_path(const exported *e, const char *file)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", e->folder, file);
    return path;
}

char *exported_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long n;

    ck_assert_msg(f != NULL, "%s", path);
    ck_assert(fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0);
    text = malloc((size_t)n + 1);
    ck_assert(text && fread(text, 1, (size_t)n, f) == (size_t)n);
    text[n] = '\0';
    fclose(f);
    if (size)
        *size = (size_t)n;
    return text;
}

bool exported_change(const exported *e, const char *from, const char *to)
{
    char *text = exported_read(exported_path(e, "m.c"), NULL), *at = strstr(text, from);
    FILE *f;

    if (at) {
        f = fopen(exported_path(e, "m.c"), "wb");
        ck_assert(f != NULL);
        fwrite(text, 1, (size_t)(at - text), f);
        fputs(to, f);
        fputs(at + strlen(from), f);
        ck_assert(fclose(f) == 0);
    }
    free(text);
    return at != NULL;
}

static void exported_run(const char *command)
{
    ck_assert_msg(system(command) == 0, "%s", command);
}

void exported_open(exported *e, const char *compiler, bool separate_weights)
{
    static const char driver[] = "#include \"m.h\"\n#include <stddef.h>\n"
                                 "const size_t test_size = sizeof(m_state);\n"
                                 "int test_step(void *state, const void *x, void *y);\n"
                                 "int test_step(void *state, const void *x, void *y)\n{\n"
                                 "    return m_step((m_state *)state, x, y);\n}\n";
    char command[512];
    FILE *f = fopen(exported_path(e, "driver.c"), "w");
    const size_t *size;
    void *symbol;

    ck_assert(f && fputs(driver, f) >= 0 && fclose(f) == 0);
    snprintf(command, sizeof command,
             "cd %s && %s " STRICT " -O3 -fPIC -c m.c && %s -O1 -fPIC -c driver.c && "
             "test -z \"$(nm -u m.o)\" && %s -shared -o m.so m.o driver.o",
             e->folder, compiler, compiler, compiler);
    exported_run(command);
    e->library = dlopen(exported_path(e, "m.so"), RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(e->library != NULL, "%s", dlerror());
    size = dlsym(e->library, "test_size");
    symbol = dlsym(e->library, "test_step");
    memcpy(&e->step, &symbol, sizeof e->step);
    e->state = malloc(*size);
    ck_assert(e->state != NULL);
    memset(e->state, 0xff, *size); /* reset must set every value that a step reads */
    symbol = dlsym(e->library, "m_reset");
    if (separate_weights) {
        void (*reset)(void *, const void *);

        e->weights = exported_read(exported_path(e, "m.weights"), NULL);
        memcpy(&reset, &symbol, sizeof reset);
        reset(e->state, e->weights);
    } else {
        void (*reset)(void *);

        memcpy(&reset, &symbol, sizeof reset);
        reset(e->state);
    }
}

void exported_end(exported *e)
{
    char command[128];

    if (e->library)
        dlclose(e->library);
    free(e->state);
    free(e->weights);
    snprintf(command, sizeof command, "rm -rf %s", e->folder);
    exported_run(command);
}
