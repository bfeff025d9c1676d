/* SPDX-License-Identifier: MIT */
/* text.c - reading and checking a text, and finding The Time Machine. */
#include "tensor/internal.h"

#include <cotangent/data/text.h>

#include "data/fetch.h"
#include "data/utf8.h"
#include "tensor/environment.h"
#include "tensor/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* the most bytes of a text; a larger file is probably a mistake */
#define FILE_LIMIT ((size_t)1 << 30)
#define DOWNLOAD_LIMIT ((size_t)1000000)

#define TIMEMACHINE "timemachine.txt"
#define TIMEMACHINE_URL "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
#define TIMEMACHINE_SHA256 "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516"

struct ct_text {
    const char *bytes;
    size_t size;
    bool sample;                  /* bytes point into the library and must not be freed */
    char source[PATH_MAX + 1200]; /* large enough for a path and the reasons */
};

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

static char *text_read_file(const char *path, size_t *size)
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

/* Raises CT_ERR_IO with the text of errno. */
static void text_raise_errno(const char *function, const char *path)
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

static ct_text *text_new(const char *function)
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
    t = text_new(function);
    if (!t)
        return NULL;
    t->bytes = text_read_file(path, &t->size);
    if (!t->bytes) {
        text_raise_errno(function, path[0] ? path : "(an empty path)");
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
    t = text_new("ct_text_new_from_bytes");
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

/* ---- The Time Machine ---- */

static bool text_looks_like_html(const char *s)
{
    s += strspn(s, " \t\r\n\f");
    return strncasecmp(s, "<!doctype", 9) == 0 || strncasecmp(s, "<html", 5) == 0;
}

/* Compares bytes, which end with a NUL, with the book. Returns a description of the difference; ""
 * if they are equal. */
typedef struct text_mismatch {
    char s[200];
} text_mismatch;

static text_mismatch text_compare(const char *bytes, size_t size)
{
    text_mismatch m = { "" };
    char hex[65];

    ct_sha256_hex(bytes, size, hex);
    if (strcmp(hex, TIMEMACHINE_SHA256) != 0)
        snprintf(m.s, sizeof m.s, "its SHA-256 is %s; it must be %s%s", hex, TIMEMACHINE_SHA256,
                 text_looks_like_html(bytes) ? "; the text looks like HTML" : "");
    return m;
}

/* The result of a function that looks for the text in one place. FOUND: it has filled t. REFUSED:
 * it has raised an error. */
typedef enum text_lookup { FOUND, ABSENT, REFUSED } text_lookup;

static text_lookup text_in_data_dir(ct_text *t, cti_reasons *why)
{
    const char *dir = cti_environment("COTANGENT_DATA_DIR");
    char path[PATH_MAX];
    text_mismatch wrong;

    if (!dir || !dir[0])
        return ABSENT;
    errno = ENAMETOOLONG;
    if (snprintf(path, sizeof path, "%s/%s", dir, TIMEMACHINE) < (int)sizeof path)
        t->bytes = text_read_file(path, &t->size);
    if (!t->bytes && (errno == ENOENT || errno == ENOTDIR)) {
        cti_because(why, "no %s in COTANGENT_DATA_DIR", TIMEMACHINE);
        return ABSENT;
    }
    if (!t->bytes) {
        text_raise_errno("ct_text_new_timemachine", path);
        return REFUSED;
    }
    wrong = text_compare(t->bytes, t->size);
    if (wrong.s[0]) {
        ct_raise(CT_ERR_FORMAT, "ct_text_new_timemachine", "%s: %s", path, wrong.s);
        return REFUSED;
    }
    snprintf(t->source, sizeof t->source, "text: %s (from COTANGENT_DATA_DIR)", path);
    return FOUND;
}

static text_lookup text_in_cache(ct_text *t, const char *path, cti_reasons *why)
{
    if (!path)
        return ABSENT;
    t->bytes = text_read_file(path, &t->size);
    if (!t->bytes) {
        if (errno != ENOENT && errno != ENOTDIR)
            cti_because(why, "%s: %s", path, strerror(errno));
        return ABSENT;
    }
    if (text_compare(t->bytes, t->size).s[0]) {
        cti_because(why, "%s is not The Time Machine", path);
        cti_release((void *)t->bytes);
        t->bytes = NULL;
        return ABSENT;
    }
    snprintf(t->source, sizeof t->source, "text: %s (cached)", path);
    return FOUND;
}

/* The bytes are checked before anything is written; a text that cannot be cached is still used. */
static text_lookup text_by_download(ct_text *t, char *path, cti_reasons *why)
{
    const char *url = cti_environment("COTANGENT_TIMEMACHINE_URL");
    bool override = url && url[0];
    cti_reasons not_cached = { "" };
    text_mismatch wrong;

    url = override ? url : TIMEMACHINE_URL;
    t->bytes = cti_download(url, override, DOWNLOAD_LIMIT, &t->size, why);
    if (!t->bytes)
        return ABSENT;
    wrong = text_compare(t->bytes, t->size);
    if (wrong.s[0]) {
        cti_because(why, "no download: %s: %s", url, wrong.s);
        cti_release((void *)t->bytes);
        t->bytes = NULL;
        return ABSENT;
    }
    if (path && cti_cache_write(path, t->bytes, t->size, &not_cached))
        snprintf(t->source, sizeof t->source, "text: %s (downloaded from %s)", path, url);
    else
        snprintf(t->source, sizeof t->source, "text: downloaded from %s (%s)", url,
                 path ? not_cached.s : why->s);
    return FOUND;
}

static text_lookup text_sample(ct_text *t, const cti_reasons *why)
{
    t->sample = true;
    t->bytes = (const char *)cti_sample_text;
    t->size = cti_sample_text_size;
    snprintf(t->source, sizeof t->source, "text: sample text (%zu bytes, part of the library): %s",
             t->size, why->s);
    return FOUND;
}

ct_text *ct_text_new_timemachine(const char *path)
{
    cti_reasons why = { "" };
    text_lookup found;
    ct_text *t;

    if (path)
        return ct_text_read(path);
    t = text_new("ct_text_new_timemachine");
    if (!t)
        return NULL;
    found = text_in_data_dir(t, &why);
    if (found == ABSENT) {
        char *cache = cti_cache_path(TIMEMACHINE, &why);

        found = text_in_cache(t, cache, &why);
        if (found == ABSENT)
            found = text_by_download(t, cache, &why);
        if (found == ABSENT)
            found = text_sample(t, &why);
        cti_release(cache);
    }
    if (found == FOUND)
        return t;
    ct_text_free(t);
    return NULL;
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
