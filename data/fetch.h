/* fetch.h - the user's cache, the download, and the sample text. (internal)
 *
 * Nothing here raises an error: a reader without a network still gets a text, and its source line
 * says why it is not the book. */
#ifndef COTANGENT_DATA_FETCH_H
#define COTANGENT_DATA_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

/* data/sample.txt, compiled in; a NUL follows its size bytes. */
extern const unsigned char cti_sample_text[];
extern const size_t cti_sample_text_size;

/* Why things did not go as wished, one line: "no download: ...; not cached: ...". */
typedef struct cti_reasons {
    char s[1024];
} cti_reasons;

/* Adds one more reason. */
void cti_because(cti_reasons *why, const char *format, ...) CT_PRINTF(2, 3);

/* The path of a file in $XDG_CACHE_HOME/cotangent or ~/.cache/cotangent, to cti_release; NULL
 * with a reason if there is none. */
char *cti_cache_path(const char *file, cti_reasons *why);

/* Writes a file whole or not at all (a temporary file beside it, synced, then renamed), making the
 * folders above it. path is as it was afterwards. */
bool cti_cache_write(char *path, const void *bytes, size_t size, cti_reasons *why);

/* What url serves, at most limit bytes, to cti_release; NULL with a reason. https only, or also
 * http where plain is true. */
char *cti_download(const char *url, bool plain, size_t limit, size_t *size, cti_reasons *why);

#endif
