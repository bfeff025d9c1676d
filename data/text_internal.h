/* SPDX-License-Identifier: MIT */
/* text_internal.h - the struct of a text, for text.c and timemachine.c. (internal) */
#ifndef COTANGENT_DATA_TEXT_INTERNAL_H
#define COTANGENT_DATA_TEXT_INTERNAL_H

#include "tensor/internal.h"

#include <limits.h>

#include <cotangent/data/text.h>

struct ct_text {
    const char *bytes;
    size_t size;
    bool sample;                  /* bytes point into the library and must not be freed */
    char source[PATH_MAX + 1200]; /* large enough for a path and the reasons */
};

/* An empty text. NULL with an error. */
ct_text *cti_text_new(const char *function);

/* Reads a whole file. A NUL follows its *size bytes. The caller frees them with cti_release. NULL with
 * errno on failure. */
char *cti_text_read_file(const char *path, size_t *size);

/* Raises CT_ERR_IO with the text of errno. */
void cti_text_raise_errno(const char *function, const char *path);

#endif
