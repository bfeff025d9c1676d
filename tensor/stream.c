/* SPDX-License-Identifier: MIT */
/* stream.c - readers and writers of memory, and calls of the caller's readers and writers. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/stream_internal.h"

#include <string.h>

/* ---- memory ---- */

/* Makes the buffer large enough for `size` more bytes. */
static bool stream_grow(ct_memory_buffer *b, size_t size)
{
    size_t room = b->room ? b->room : 4096;
    void *p;

    if (size <= b->room - b->size)
        return true;
    if (size > SIZE_MAX / 4 - b->size) {
        cti_out_of_memory("ct_memory_writer", size);
        return false;
    }
    while (room - b->size < size)
        room *= 2;
    p = cti_realloc(b->bytes, b->size, room);
    if (!p) {
        cti_out_of_memory("ct_memory_writer", room);
        return false;
    }
    b->bytes = p;
    b->room = room;
    return true;
}

static ct_status stream_append(void *self, const void *bytes, size_t size)
{
    ct_memory_buffer *b = self;

    if (!cti_given("ct_memory_writer", "buffer", b) || !stream_grow(b, size))
        return ct_error();
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
    return CT_OK;
}

ct_writer ct_memory_writer(ct_memory_buffer *buffer)
{
    return (ct_writer){ .write = stream_append, .self = buffer };
}

void ct_memory_buffer_clear(ct_memory_buffer *buffer)
{
    if (!buffer)
        return;
    cti_release(buffer->bytes);
    *buffer = (ct_memory_buffer){ NULL, 0, 0 };
}

static ct_status stream_read_memory(void *self, uint64_t offset, void *buffer, size_t size)
{
    if (!cti_given("ct_memory_reader", "bytes", self))
        return ct_error();
    memcpy(buffer, (const char *)self + offset, size);
    return CT_OK;
}

ct_reader ct_memory_reader(const void *bytes, size_t size)
{
    return (ct_reader){
        .read = stream_read_memory, .self = (void *)bytes, .size = size, .name = "memory"
    };
}

/* ---- calls of a table ---- */

static bool stream_outcome(ct_status status, const char *function, const char *what)
{
    if (status == CT_OK)
        return ct_ok();
    if (ct_ok())
        ct_raise(CT_ERR_IO, function, "%s returned %s without raising an error", what,
                 ct_status_name(status));
    return false;
}

bool cti_stream_write(const ct_writer *w, const char *function, const void *bytes, size_t size)
{
    return !size || stream_outcome(w->write(w->self, bytes, size), function, "write");
}

bool cti_stream_read(const ct_reader *r, const char *function, uint64_t offset, void *buffer,
                     size_t size)
{
    return !size || stream_outcome(r->read(r->self, offset, buffer, size), function, "read");
}
