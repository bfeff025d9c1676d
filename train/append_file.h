/* SPDX-License-Identifier: MIT */
/* append_file.h - files to which a run appends. (internal)
 *
 * Errors name `function`: CT_ERR_IO, CT_ERR_MEMORY. */
#ifndef COTANGENT_TRAIN_APPEND_FILE_H
#define COTANGENT_TRAIN_APPEND_FILE_H

#include "tensor/buffer.h"

/* Returns the bytes of a file, NUL-terminated, which the caller frees with cti_release. NULL
 * without an error if the file does not exist. */
char *cti_read_old(const char *function, const char *path, size_t *size);

/* Opens an existing file to append to it; -1 with an error. */
int cti_append_open(const char *function, const char *path);

/* Appends b. Returns after the bytes were passed to the operating system. False with an error. */
bool cti_append(const char *function, const char *path, int fd, const cti_buffer *b);

void cti_append_close(int fd); /* fd may be -1 */

#endif
