/* SPDX-License-Identifier: MIT */
/* read_file.c - reading files of tensors, and quoting text from them.
 *
 * All calls go through cti_file_calls, so that tests can make each of them fail. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/read_file.h"
#include "tensor/stream_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_file_raise(const char *function, const char *path, int error)
{
    ct_raise(CT_ERR_IO, function, "%.500s: %s", path, strerror(error));
    return false;
}

/* Opens f->path. After an error f->fd is -1. */
static void read_file_open_path(cti_read_file *f, const char *function)
{
    struct stat st;

    /* O_NONBLOCK: without it, opening a FIFO would block */
    f->fd = cti_file_calls.open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (f->fd < 0) {
        read_file_raise(function, f->path, errno);
    } else if (fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        f->size = (uint64_t)st.st_size;
        return;
    } else {
        ct_raise(CT_ERR_IO, function, "%.500s: is not a regular file", f->path);
    }
    cti_read_close(f);
}

bool cti_read_open(cti_read_file *f, const char *function, const char *path)
{
    *f = (cti_read_file){ .fd = -1, .path = path ? cti_strdup(path) : NULL };
    if (!cti_given(function, "path", path))
        return false;
    if (!f->path)
        cti_out_of_memory(function, strlen(path) + 1);
    else
        read_file_open_path(f, function);
    return f->fd >= 0;
}

bool cti_read_open_reader(cti_read_file *f, const char *function, const ct_reader *reader)
{
    const char *name = reader->name ? reader->name : "reader";

    *f = (cti_read_file){ .fd = -1, .size = reader->size, .reader = *reader };
    if (!cti_given(function, "read of the reader", (const void *)reader->read))
        return false;
    f->path = cti_strdup(name);
    if (!f->path)
        cti_out_of_memory(function, strlen(name) + 1);
    return f->path != NULL;
}

bool cti_read_map(cti_read_file *f, const char *function, void **base)
{
    void *p;

    if ((size_t)f->size != f->size) /* 32 bits */
        return read_file_raise(function, f->path, EFBIG);
    p = mmap(NULL, (size_t)f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, f->fd, 0);
    if (p == MAP_FAILED)
        return read_file_raise(function, f->path, errno);
    f->map = *base = p;
    return true;
}

void cti_read_close(cti_read_file *f)
{
    if (f->fd >= 0)
        cti_file_calls.close(f->fd);
    cti_release(f->path);
    *f = (cti_read_file){ .fd = -1 };
}

bool cti_read_at(cti_read_file *f, const char *function, uint64_t offset, void *buffer, size_t size)
{
    char *at = buffer;

    if (f->map) {
        memcpy(buffer, f->map + offset, size);
        return true;
    }
    if (f->reader.read)
        return cti_stream_read(&f->reader, function, offset, buffer, size);
    if (lseek(f->fd, (off_t)offset, SEEK_SET) < 0)
        return read_file_raise(function, f->path, errno);
    while (size) {
        ssize_t n = cti_file_calls.read(f->fd, at, size);

        if (n < 0 && errno != EINTR)
            return read_file_raise(function, f->path, errno);
        if (n == 0)
            return cti_malformed(f, function, offset + (uint64_t)(at - (char *)buffer),
                                 "the file became shorter while it was read");
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return true;
}

static bool read_file_check_bools(const cti_read_file *f, const char *function, uint64_t offset,
                                  const uint8_t *b, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (b[i] > 1)
            return cti_malformed(f, function, offset + i, "a bool is %d, neither 0 nor 1", b[i]);
    return true;
}

ct_tensor *cti_read_tensor(cti_read_file *f, const char *function, uint64_t offset, ct_shape shape,
                           ct_dtype dtype, ct_device device)
{
    ct_tensor *t = cti_new(function, shape, dtype, device);
    size_t size = t ? (size_t)t->numel * ct_dtype_size(dtype) : 0;
    void *host;
    bool ok;

    if (!size)
        return t;
    if (!cti_capture_allows(device, function, "take data from the host"))
        return NULL;
    host = device == CT_CPU ? cti_data(t) : cti_calloc(1, size);
    if (!host) {
        cti_out_of_memory(function, size);
        return NULL;
    }
    ok = cti_read_at(f, function, offset, host, size) &&
         (dtype != CT_BOOL || read_file_check_bools(f, function, offset, host, size));
    if (ok && f->big_endian != CTI_SWAPS_FILES)
        cti_swap_bytes(host, ct_dtype_size(dtype), (size_t)t->numel);
    if (device != CT_CPU) {
        if (ok)
            cti_backend_of(device)->upload(cti_data(t), host, size);
        cti_release(host);
    }
    return ok ? t : NULL;
}

bool cti_malformed(const cti_read_file *f, const char *function, uint64_t offset,
                   const char *format, ...)
{
    char reason[480];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    ct_raise(CT_ERR_FORMAT, function, "%.400s: offset %llu: %s", f->path,
             (unsigned long long)offset, reason);
    return false;
}

bool cti_each_bytes(ct_tensor *t, cti_byte_sink *sink, void *context)
{
    ct_scope s = cti_scope_push();
    ct_tensor *c = cti_contiguous(t);
    size_t size = c ? (size_t)c->numel * ct_dtype_size(c->dtype) : 0;
    void *host = NULL;
    bool ok = c && s.id;

    if (ok && size && c->device != CT_CPU) {
        host = cti_calloc(1, size);
        if (!host)
            cti_out_of_memory("ct_to_host", size);
        ok = host && cti_to_host(c->device, host, cti_data(c), size);
    }
    if (ok && size)
        ok = sink(context, host ? host : cti_data(c), size);
    cti_release(host);
    cti_scope_pop(s);
    return ok;
}

typedef struct file_sink {
    size_t size; /* of an element */
    cti_byte_sink *sink;
    void *context;
} file_sink;

static bool file_sink_take(void *context, const void *bytes, size_t size)
{
    const file_sink *s = context;

    return cti_each_file_bytes(bytes, s->size, size / s->size, s->sink, s->context);
}

bool cti_each_bytes_of_file(ct_tensor *t, cti_byte_sink *sink, void *context)
{
    file_sink s = { ct_dtype_size(t->dtype), sink, context };

    return cti_each_bytes(t, file_sink_take, &s);
}
