/* SPDX-License-Identifier: MIT */
/* allocator.c - a program that sets an allocator and a log handler. tests/allocator.sh runs it.
 *     allocator         sets the allocator first, trains a step, makes allocations fail, and checks that
 *                       all memory is freed
 *     allocator late    sets the allocator after the library has allocated memory */
#include <cotangent.h>

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do                                                                                             \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "allocator.c:%d: %s; error: %s\n", __LINE__, #condition,               \
                    ct_error_message());                                                           \
            exit(1);                                                                               \
        }                                                                                          \
    while (0)

static atomic_long blocks, asked;
static long failing_from = -1; /* the first allocation that fails; -1: none */
static bool crooked;           /* allocations are not aligned */
static int context;

static void *allocate(size_t alignment, size_t bytes, void *c)
{
    size_t room = (bytes + 2 * alignment - 1) / alignment * alignment;
    char *p;

    CHECK(c == &context && bytes > 0 && alignment >= sizeof(void *) &&
          (alignment & (alignment - 1)) == 0);
    if (failing_from >= 0 && atomic_fetch_add(&asked, 1) >= failing_from)
        return NULL;
    p = aligned_alloc(alignment, room);
    if (p)
        atomic_fetch_add(&blocks, 1);
    return p && crooked ? p + 1 : p;
}

static void release(void *p, void *c)
{
    CHECK(p && c == &context);
    atomic_fetch_sub(&blocks, 1);
    free((char *)p - ((uintptr_t)p & 1));
}

/* Runs after the library's destructors. */
__attribute__((destructor(101))) static void expect_nothing_left(void)
{
    if (!blocks)
        return;
    fprintf(stderr, "allocator.c: %ld blocks were not released\n", (long)blocks);
    _exit(1);
}

static int lines;
static char last_line[200];

static void take_line(const char *line, void *c)
{
    CHECK(c == &context && !strchr(line, '\n'));
    lines++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

/* Runs one training step; returns the status of its scope. */
static ct_status train(void)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_module *linear =
        params ? ct_nn_linear(params, "l",
                              (ct_nn_linear_options){ .out_features = 2, .in_features = 3 })
               : NULL;
    ct_optimizer *o = linear ? ct_adam_new(params, (ct_adam_options){ .lr = .1 }) : NULL;
    ct_scope s = ct_scope_begin();
    ct_status status = CT_ERR_MEMORY;

    if (s.id && o) {
        ct_backward(
            ct_mean(ct_square(ct_forward(linear, ct_ones(CT_SHAPE(4, 3), CT_F32, CT_CPU)))));
        ct_optimizer_step(o);
    }
    if (s.id)
        status = ct_scope_end(s);
    ct_optimizer_free(o);
    ct_params_free(params);
    return ct_ok() ? status : ct_error();
}

static ct_status set(void *(*a)(size_t, size_t, void *), void (*r)(void *, void *))
{
    ct_status status = ct_set_allocator((ct_allocator){ a, r, &context });

    ct_error_clear();
    return status;
}

int main(int argc, char **argv)
{
    bool good = false;
    int refused = 0;

    (void)argv;
    ct_error_set_handler(NULL, NULL);
    ct_log_set_handler(take_line, &context);
    if (argc > 1) {
        CHECK(ct_scope_end(ct_scope_begin()) == CT_OK);
        CHECK(set(allocate, release) == CT_ERR_ARGUMENT && train() == CT_OK && !blocks);
        return 0;
    }
    CHECK(setenv("COTANGENT_POOL", "many", 1) == 0); /* before the first call that reads it */
    CHECK(set(NULL, release) == CT_ERR_ARGUMENT && set(allocate, NULL) == CT_ERR_ARGUMENT);
    CHECK(set(allocate, release) == CT_OK && set(allocate, release) == CT_ERR_ARGUMENT);
    CHECK(train() == CT_OK && blocks > 0);
    CHECK(lines == 1 && strstr(last_line, "COTANGENT_POOL") && strstr(last_line, "ignored"));
    crooked = true;
    ct_memory_trim();
    CHECK(train() == CT_ERR_MEMORY);
    crooked = false;
    ct_error_clear();
    for (failing_from = 0; !good && failing_from < 1000; failing_from++) {
        asked = 0;
        ct_memory_trim();
        good = train() == CT_OK;
        CHECK(good || ct_error() == CT_ERR_MEMORY);
        refused += !good;
        ct_error_clear();
    }
    failing_from = -1;
    CHECK(good && refused > 5);
    ct_log_set_handler(NULL, NULL);
    CHECK(ct_try_gpu(0) >= 0 && lines == 1);
    return 0;
}
