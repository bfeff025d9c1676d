/* SPDX-License-Identifier: MIT */
/* fetch.h - the user's cache, the download, and the sample text. (internal)
 *
 * No function here raises an error. Without a network, a program still gets a text, and its source
 * line says why it is not the book. */
#ifndef COTANGENT_DATA_FETCH_H
#define COTANGENT_DATA_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

/* data/sample.txt, compiled in; a NUL follows its size bytes. */
extern const unsigned char cti_sample_text[];
extern const size_t cti_sample_text_size;

/* The reasons for a failure, in one line: "no download: ...; not cached: ...". */
typedef struct cti_reasons {
    char s[1024];
} cti_reasons;

/* Adds one more reason. */
void cti_because(cti_reasons *why, const char *format, ...) CT_PRINTF(2, 3);

/* Returns the path of a file in $XDG_CACHE_HOME/cotangent or ~/.cache/cotangent, which the caller
 * frees with cti_release. NULL with a reason if there is no such folder. */
char *cti_cache_path(const char *file, cti_reasons *why);

/* Writes a file whole or not at all: to a temporary file beside it, which is synced and renamed.
 * Makes the folders above it. path is changed during the call and restored. */
bool cti_cache_write(char *path, const void *bytes, size_t size, cti_reasons *why);

/* Downloads at most limit bytes from url. The caller frees them with cti_release. NULL with a
 * reason. Allows only https, or also http if plain is true. */
char *cti_download(const char *url, bool plain, size_t limit, size_t *size, cti_reasons *why);

#endif
