/* SPDX-License-Identifier: MIT */
/* text.c - reading and checking a text. */
#include "data/text_internal.h"

#include "data/utf8.h"
#include "tensor/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

/* the most bytes of a text; a larger file is probably a mistake */
#define FILE_LIMIT ((size_t)1 << 30)

void ct_sha256_hex(const void *bytes, size_t size, char hex[65])
{
    struct sha256_ctx state;
    uint8_t digest[SHA256_DIGEST_SIZE];

    if (!cti_given("ct_sha256_hex", "hex", hex) ||
        (size && !cti_given("ct_sha256_hex", "bytes", bytes)))
        return;
    sha256_init(&state);
    sha256_update(&state, size, bytes);
    sha256_digest(&state, sizeof digest, digest);
    cti_hex(digest, sizeof digest, hex);
}

/* ---- reading and checking ---- */

/* Doubles the memory of bytes, *room. If memory runs out, frees bytes and returns NULL. */
static char *text_grow(char *bytes, size_t *room)
{
    size_t more = *room ? *room * 2 : (size_t)1 << 18;
    char *grown = cti_realloc(bytes, *room, more);

    *room = more;
    if (!grown) {
        cti_release(bytes);
        errno = ENOMEM;
    }
    return grown;
}

/* Reads an open file to its end. A NUL follows its *size bytes. NULL with errno on failure. */
static char *text_read_all(int fd, size_t *size)
{
    size_t room = 0, n = 0;
    char *bytes = NULL;
    ssize_t got;

    do {
        if (n + 1 >= room && !(bytes = text_grow(bytes, &room)))
            return NULL;
        got = cti_file_calls.read(fd, bytes + n, room - n - 1);
        if (got > 0)
            n += (size_t)got;
        if (n > FILE_LIMIT)
            errno = EFBIG;
        if (n > FILE_LIMIT || (got < 0 && errno != EINTR)) {
            cti_release(bytes);
            return NULL;
        }
    } while (got != 0);
    bytes[n] = '\0';
    *size = n;
    return bytes;
}

char *cti_text_read_file(const char *path, size_t *size)
{
    int fd = cti_file_calls.open(path, O_RDONLY | O_CLOEXEC, 0), error;
    char *bytes;

    if (fd < 0)
        return NULL;
    bytes = text_read_all(fd, size);
    error = errno;
    cti_file_calls.close(fd);
    errno = error;
    return bytes;
}

void cti_text_raise_errno(const char *function, const char *path)
{
    if (errno == ENOMEM)
        ct_raise(CT_ERR_MEMORY, function, "%s: out of memory", path);
    else
        ct_raise(CT_ERR_IO, function, "%s: %s", path, strerror(errno));
}

/* True for a letter of any script. Every character beyond ASCII counts as a letter. */
static bool text_holds_letter(const char *s, size_t size)
{
    size_t i, n;

    for (i = 0; i < size; i += n) {
        n = cti_utf8_step(s + i, size - i);
        if (n > 1 || (unsigned char)((s[i] | 0x20) - 'a') < 26)
            return true;
    }
    return false;
}

/* Returns the encoding, other than UTF-8, that a byte order mark announces; NULL if there is none.
 * UTF-16 and UTF-32 are not supported. */
static const char *text_other_encoding(const char *s, size_t size)
{
    if (size >= 4 && (memcmp(s, "\xff\xfe\0\0", 4) == 0 || memcmp(s, "\0\0\xfe\xff", 4) == 0))
        return "UTF-32";
    if (size >= 2 && (memcmp(s, "\xff\xfe", 2) == 0 || memcmp(s, "\xfe\xff", 2) == 0))
        return "UTF-16";
    return NULL;
}

/* True if the bytes can be used for training. */
static bool text_check(const char *function, const char *name, const char *bytes, size_t size)
{
    const char *nul = size ? memchr(bytes, '\0', size) : NULL;
    const char *encoding = text_other_encoding(bytes, size);

    if (!size)
        ct_raise(CT_ERR_FORMAT, function, "%s: is empty", name);
    else if (encoding)
        ct_raise(CT_ERR_FORMAT, function, "%s: is %s; convert it to UTF-8", name, encoding);
    else if (nul)
        ct_raise(CT_ERR_FORMAT, function, "%s: is binary, not text (a NUL byte at offset %td)",
                 name, nul - bytes);
    else if (!text_holds_letter(bytes, size))
        ct_raise(CT_ERR_FORMAT, function,
                 "%s: has no letter; read it as bytes (ct_text_read_binary, train --tokens byte)",
                 name);
    else
        return true;
    return false;
}

ct_text *cti_text_new(const char *function)
{
    ct_text *t = cti_calloc(1, sizeof *t);

    if (!t)
        cti_out_of_memory(function, sizeof *t);
    return t;
}

void ct_text_free(ct_text *t)
{
    if (!t)
        return;
    if (!t->sample)
        cti_release((void *)t->bytes);
    cti_release(t);
}

static void text_note_source(ct_text *t, const char *name)
{
    snprintf(t->source, sizeof t->source, "text: %s (%zu bytes)", name, t->size);
}

/* Drops the byte order mark of UTF-8 from t, which owns its bytes. */
static void text_drop_mark(ct_text *t)
{
    if (t->size < 3 || memcmp(t->bytes, "\xef\xbb\xbf", 3) != 0)
        return;
    t->size -= 3;
    memmove((char *)t->bytes, t->bytes + 3, t->size + 1);
}

/* Checks the bytes of t. Returns t with its source line, or NULL; then t has been freed. */
static ct_text *text_checked(const char *function, ct_text *t, const char *name)
{
    text_drop_mark(t);
    if (!text_check(function, name, t->bytes, t->size)) {
        ct_text_free(t);
        return NULL;
    }
    text_note_source(t, name);
    return t;
}

/* Reads a file without checking it. */
static ct_text *text_read(const char *function, const char *path)
{
    ct_text *t;

    if (!cti_given(function, "path", path))
        return NULL;
    t = cti_text_new(function);
    if (!t)
        return NULL;
    t->bytes = cti_text_read_file(path, &t->size);
    if (!t->bytes) {
        cti_text_raise_errno(function, path[0] ? path : "(an empty path)");
        ct_text_free(t);
        return NULL;
    }
    return t;
}

ct_text *ct_text_read(const char *path)
{
    ct_text *t = text_read("ct_text_read", path);

    return t ? text_checked("ct_text_read", t, path) : NULL;
}

ct_text *ct_text_read_binary(const char *path)
{
    ct_text *t = text_read("ct_text_read_binary", path);

    if (t && t->size == 0) {
        ct_raise(CT_ERR_FORMAT, "ct_text_read_binary", "%s: is empty", path);
        ct_text_free(t);
        return NULL;
    }
    if (t)
        text_note_source(t, path);
    return t;
}

ct_text *ct_text_new_from_bytes(const void *bytes, size_t size, const char *name)
{
    char *copy;
    ct_text *t;

    if (size && !cti_given("ct_text_new_from_bytes", "bytes", bytes))
        return NULL;
    t = cti_text_new("ct_text_new_from_bytes");
    if (!t)
        return NULL;
    copy = size < SIZE_MAX ? cti_calloc(size + 1, 1) : NULL;
    if (!copy) {
        cti_out_of_memory("ct_text_new_from_bytes", size);
        ct_text_free(t);
        return NULL;
    }
    if (size)
        memcpy(copy, bytes, size);
    t->bytes = copy;
    t->size = size;
    return text_checked("ct_text_new_from_bytes", t, name ? name : "memory");
}

const char *ct_text_bytes(const ct_text *t)
{
    return t ? t->bytes : NULL;
}

size_t ct_text_size(const ct_text *t)
{
    return t ? t->size : 0;
}

const char *ct_text_source(const ct_text *t)
{
    return t ? t->source : "";
}

bool ct_text_is_sample(const ct_text *t)
{
    return t && t->sample;
}
