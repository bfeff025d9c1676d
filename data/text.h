/* text.h - a text: where it comes from, and what it holds. */
#ifndef COTANGENT_DATA_TEXT_H
#define COTANGENT_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of a text, and where they came from. */
typedef struct ct_text ct_text;

/* A text from a file: CT_ERR_IO for one that is missing, a directory or unreadable;
 * CT_ERR_FORMAT for one that is empty, holds a NUL byte (is binary) or no letter (of any script:
 * a character beyond ASCII counts as one). */
ct_text *ct_text_read(const char *path);

/* The same, but binary or without letters it may be: for tokens that are bytes. */
ct_text *ct_text_read_binary(const char *path);

/* A text from memory; the bytes are copied. Checked as above. name is what messages call it. */
ct_text *ct_text_new_from_bytes(const void *bytes, size_t size, const char *name);

/* The Time Machine, by H. G. Wells (1895), as d2l.ai serves it: 178,979 bytes. Looked for in this
 * order:
 *   1. path, if not NULL: any text
 *   2. $COTANGENT_DATA_DIR/timemachine.txt, if there; its SHA-256 must be the known one
 *      (CT_ERR_FORMAT with "got ... expected ..." otherwise)
 *   3. the cache, $XDG_CACHE_HOME/cotangent or ~/.cache/cotangent; a file there with another
 *      SHA-256 is fetched again
 *   4. a download, in builds with libcurl, into the cache (5 s to connect, 1 MB at most,
 *      checked before it gets its name). COTANGENT_TIMEMACHINE_URL overrides where from.
 *   5. a sample text of some 40,000 characters that is part of the library. */
ct_text *ct_text_new_timemachine(const char *path);

void ct_text_free(ct_text *t);

const char *ct_text_bytes(const ct_text *t); /* NUL-terminated */
size_t ct_text_size(const ct_text *t);       /* bytes, the NUL not counted */

/* One line that says which text is in use and why: "text: /data/timemachine.txt (from
 * COTANGENT_DATA_DIR)". */
const char *ct_text_source(const ct_text *t);

/* True for the sample text, which perplexities of the book do not apply to. */
bool ct_text_is_sample(const ct_text *t);

/* SHA-256 (FIPS 180-4) of size bytes, as 64 lower-case hexadecimal digits and a NUL. */
void ct_sha256_hex(const void *bytes, size_t size, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
