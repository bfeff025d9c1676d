/* SPDX-License-Identifier: MIT */
/* atomic_file.h - writing a file completely or not at all. (internal)
 *
 * The bytes go to a temporary file beside the path, which is synced and then renamed onto the path;
 * the folder is synced last. Whatever fails, the path holds the complete old or the complete new
 * file, and no temporary file is left. If the program is killed, the temporary file
 * PATH.cotangent-N.tmp stays; the next writer of the same path removes it.
 *
 * A symbolic link stays and its target is replaced or, if it does not exist, created. An existing
 * file keeps its permissions and, where the system allows it, its owner and group; not its setuid,
 * setgid and sticky bits. Other hard links to the file keep the old content.
 *
 * Errors name `function`. They are CT_ERR_IO, with the path and the system's reason, or
 * CT_ERR_MEMORY. If function is NULL nothing is raised; the reason is in `error`. */
#ifndef COTANGENT_TENSOR_ATOMIC_FILE_H
#define COTANGENT_TENSOR_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cti_atomic_file {
    const char *function;
    char *path; /* symbolic links are resolved */
    char *temp;
    int fd, folder;
    int error; /* the system's reason (errno), after a failure */
} cti_atomic_file;

/* Opens the temporary file. A path that exists and is not a regular file (a folder, a device, a
 * FIFO) is refused. On failure, raises an error and returns false; f then needs no commit or
 * abort. */
bool cti_atomic_begin(cti_atomic_file *f, const char *function, const char *path);

/* Appends bytes. On failure, raises an error and returns false; the caller must then call
 * cti_atomic_abort. */
bool cti_atomic_write(cti_atomic_file *f, const void *bytes, size_t size);

/* Commit replaces the file by the bytes that were written; abort drops them. Both release f. Commit
 * raises an error and returns false on failure. */
bool cti_atomic_commit(cti_atomic_file *f);
void cti_atomic_abort(cti_atomic_file *f);

#endif
