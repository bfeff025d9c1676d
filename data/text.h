/* SPDX-License-Identifier: MIT */
/* text.h - texts: reading, checking, and The Time Machine. */
#ifndef COTANGENT_DATA_TEXT_H
#define COTANGENT_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A text: its bytes, and a line that names their source. The caller frees the results of the
 * functions below with ct_text_free. */
typedef struct ct_text ct_text;

/* Reads a text file. CT_ERR_IO if the file is missing, is a directory or cannot be read.
 * CT_ERR_FORMAT if it is empty, has a NUL byte (is binary), has no letter (every character beyond
 * ASCII counts as a letter), or begins with the byte order mark of UTF-16 or UTF-32. The byte order
 * mark of UTF-8 is dropped. CT_ERR_MEMORY. */
ct_text *ct_text_read(const char *path);

/* Like ct_text_read, but accepts binary files and files without letters, and keeps all bytes. For
 * byte tokens. */
ct_text *ct_text_read_binary(const char *path);

/* Makes a text from a copy of `size` bytes, with the checks of ct_text_read. `name` is its name in
 * messages; NULL: "memory". */
ct_text *ct_text_new_from_bytes(const void *bytes, size_t size, const char *name);

/* Returns The Time Machine, by H. G. Wells (1895), as d2l.ai serves it: 178,979 bytes. Uses the
 * first of these that exists:
 *   1. path, unless it is NULL: any text
 *   2. $COTANGENT_DATA_DIR/timemachine.txt. Its SHA-256 must be the known one; otherwise
 *      CT_ERR_FORMAT with both digests
 *   3. the cache, $XDG_CACHE_HOME/cotangent or ~/.cache/cotangent. A file with another SHA-256 is
 *      downloaded again
 *   4. a download to the cache, in builds with libcurl: 5 s to connect, at most 1 MB, checked
 *      before it gets its name. COTANGENT_TIMEMACHINE_URL sets another address
 *   5. a sample text of about 40,000 characters that is part of the library. */
ct_text *ct_text_new_timemachine(const char *path);

void ct_text_free(ct_text *t); /* NULL is allowed */

/* The properties of a text. For NULL these return NULL, 0, "" and false. */
const char *ct_text_bytes(const ct_text *t); /* NUL-terminated */
size_t ct_text_size(const ct_text *t);       /* the size in bytes, without the NUL */

/* One line that says which text this is and why: "text: /data/timemachine.txt (from
 * COTANGENT_DATA_DIR)". */
const char *ct_text_source(const ct_text *t);

/* True for the sample text. Its perplexities are not comparable with those of the book. */
bool ct_text_is_sample(const ct_text *t);

/* Writes the SHA-256 (FIPS 180-4) of size bytes to hex: 64 lower-case hexadecimal digits and a
 * NUL. CT_ERR_ARGUMENT for a NULL; bytes may be NULL if size is 0. */
void ct_sha256_hex(const void *bytes, size_t size, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
