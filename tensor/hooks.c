/* SPDX-License-Identifier: MIT */
/* hooks.c - the default tables, which call libc. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/system.h"

#include <cotangent/tensor/allocator.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_bool hooks_asked; /* true once the library has allocated memory */

/* A block of this size or more is asked for in huge pages. Its first use waits for 512 times fewer
 * pages, and products that read it look up fewer addresses. */
#define HUGE_PAGE ((size_t)2 << 20)

static void *libc_allocate(size_t alignment, size_t bytes)
{
    size_t some = bytes ? bytes : 1; /* malloc(0) may return NULL, but NULL from this function means
                                      * out of memory */
    void *p = NULL;

    if (!atomic_load_explicit(&hooks_asked, memory_order_relaxed))
        atomic_store_explicit(&hooks_asked, true, memory_order_relaxed);
    if (alignment <= sizeof(void *) * 2)
        return malloc(some);
    if (some < HUGE_PAGE)
        return posix_memalign(&p, alignment, some) ? NULL : p;
    if (posix_memalign(&p, HUGE_PAGE, some))
        return NULL;
    cti_want_huge_pages(p, some);
    return p;
}

/* If a program was started without stdin, stdout or stderr, a file could get the descriptor 0, 1 or
 * 2, and a message to stderr would be written into it. So a file never gets one of these. */
static int libc_open(const char *path, int flags, int mode)
{
    int fd = open(path, flags, mode), higher, error;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    higher = fcntl(fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, STDERR_FILENO + 1);
    error = errno;
    close(fd);
    errno = error;
    return higher;
}

cti_memory_table cti_memory_calls = { libc_allocate, free };
cti_file_table cti_file_calls = { libc_open, read, write, fsync, close, rename, unlink };

/* ---- the user's allocator ---- */

static ct_allocator hooks_allocator;

static void *user_allocate(size_t alignment, size_t bytes)
{
    const ct_allocator *a = &hooks_allocator;
    size_t most = alignment > _Alignof(max_align_t) ? alignment : _Alignof(max_align_t);
    void *p = a->allocate(most, bytes ? bytes : 1, a->context);

    if (!p || (uintptr_t)p % most == 0)
        return p;
    a->release(p, a->context);
    return NULL;
}

static void user_release(void *p)
{
    if (p)
        hooks_allocator.release(p, hooks_allocator.context);
}

ct_status ct_set_allocator(ct_allocator a)
{
    static const char *const me = "ct_set_allocator";

    if (!cti_given(me, "allocate", (const void *)a.allocate) ||
        !cti_given(me, "release", (const void *)a.release))
        return ct_error();
    if (atomic_load(&hooks_asked) || hooks_allocator.allocate)
        return ct_raise(CT_ERR_ARGUMENT, me, "%s",
                        hooks_allocator.allocate
                            ? "an allocator was set before"
                            : "the library has already allocated memory; set the allocator first");
    hooks_allocator = a;
    cti_memory_calls = (cti_memory_table){ user_allocate, user_release };
    return CT_OK;
}

void *cti_calloc(size_t count, size_t size)
{
    void *p;

    if (size && count > SIZE_MAX / size)
        return NULL;
    p = cti_memory_calls.allocate(sizeof(void *), count * size);
    if (p)
        memset(p, 0, count * size);
    return p;
}

void *cti_realloc(void *p, size_t old_bytes, size_t bytes)
{
    void *q = cti_memory_calls.allocate(sizeof(void *), bytes);

    if (!q)
        return NULL;
    if (p) {
        memcpy(q, p, old_bytes < bytes ? old_bytes : bytes);
        cti_memory_calls.release(p);
    }
    return q;
}

char *cti_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = cti_memory_calls.allocate(1, n);

    return p ? memcpy(p, s, n) : NULL;
}

void cti_release(void *p)
{
    if (p)
        cti_memory_calls.release(p);
}
