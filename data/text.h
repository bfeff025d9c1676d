/* SPDX-License-Identifier: MIT */
/* text.h - texts: reading and checking. */
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
