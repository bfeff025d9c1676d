/* append_file.h - files that grow while a run goes on. (internal) Errors are raised in the name of
 * function: CT_ERR_IO, CT_ERR_MEMORY. */
#ifndef COTANGENT_TRAIN_APPEND_FILE_H
#define COTANGENT_TRAIN_APPEND_FILE_H

#include "tensor/buffer.h"

/* The bytes of a file, NUL-terminated, to cti_release; NULL without an error if it is not there. */
char *cti_read_old(const char *function, const char *path, size_t *size);

/* Opens an existing file to append to it; -1 with an error. */
int cti_append_open(const char *function, const char *path);

/* Adds b at its end, in the system's hands when this returns; false with an error. */
bool cti_append(const char *function, const char *path, int fd, const cti_buffer *b);

void cti_append_close(int fd); /* -1 is allowed */

#endif
