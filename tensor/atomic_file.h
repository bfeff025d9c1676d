/* atomic_file.h - writing a file whole or not at all. (internal)
 *
 * The bytes go to a temporary file beside the path, which is synced and then renamed onto it; the
 * folder is synced last. Whatever fails, the path holds all of the old file or all of the new one,
 * and no temporary file is left. Errors are raised in the name of function: CT_ERR_IO with the
 * path and the system's reason, CT_ERR_MEMORY. Where function is NULL nothing is raised: the reason is
 * in error. */
#ifndef COTANGENT_TENSOR_ATOMIC_FILE_H
#define COTANGENT_TENSOR_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cti_atomic_file {
    const char *function;
    char *path; /* with symbolic links resolved: the link stays, its target is replaced */
    char *temp;
    int fd, folder;
    int error; /* the system's reason (errno), after a failure */
} cti_atomic_file;

/* Opens the temporary file. A path that is there but no regular file (a folder, a device) is
 * refused; the mode of one that is there is kept. False with an error, and nothing to end. */
bool cti_atomic_begin(cti_atomic_file *f, const char *function, const char *path);

/* False with an error; then abort. */
bool cti_atomic_write(cti_atomic_file *f, const void *bytes, size_t size);

/* End it, one way or the other. */
bool cti_atomic_commit(cti_atomic_file *f);
void cti_atomic_abort(cti_atomic_file *f);

#endif
