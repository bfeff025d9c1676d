/* SPDX-License-Identifier: MIT */
/* append_file.c - files to which a run appends. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/read_file.h"
#include "train/append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

char *cti_read_old(const char *function, const char *path, size_t *size)
{
    cti_read_file f;
    char *bytes = NULL;

    if (access(path, F_OK) != 0 || !cti_read_open(&f, function, path))
        return NULL;
    if (f.size < SIZE_MAX)
        bytes = cti_calloc((size_t)f.size + 1, 1);
    if (!bytes) {
        cti_out_of_memory(function, (size_t)f.size);
    } else if (!cti_read_at(&f, function, 0, bytes, (size_t)f.size)) {
        cti_release(bytes);
        bytes = NULL;
    }
    if (bytes && size)
        *size = (size_t)f.size;
    cti_read_close(&f);
    return bytes;
}

int cti_append_open(const char *function, const char *path)
{
    int fd = cti_file_calls.open(path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);

    if (fd < 0)
        ct_raise(CT_ERR_IO, function, "%.500s: %s", path, strerror(errno));
    return fd;
}

bool cti_append(const char *function, const char *path, int fd, const cti_buffer *b)
{
    size_t at = 0;

    if (b->failed) {
        ct_raise(CT_ERR_MEMORY, function, "%.500s: out of memory", path);
        return false;
    }
    while (at < b->size) {
        ssize_t n = cti_file_calls.write(fd, b->bytes + at, b->size - at);

        if (n == 0)
            errno = EIO;
        if (n <= 0 && errno != EINTR) {
            ct_raise(CT_ERR_IO, function, "%.500s: %s", path, strerror(errno));
            return false;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

void cti_append_close(int fd)
{
    if (fd >= 0)
        cti_file_calls.close(fd);
}
