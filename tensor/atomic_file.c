/* atomic_file.c - writing a file completely or not at all.
 *
 * Write a temporary file, fsync it, rename it onto the path, fsync the folder. Without the first
 * fsync, a crash after the rename could leave an empty file; without the second, the old one. */
#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool atomic_file_raise(cti_atomic_file *f, const char *path, int error)
{
    f->error = error;
    if (!f->function)
        return false;
    if (error == ENOMEM)
        ct_raise(CT_ERR_MEMORY, f->function, "%.500s: out of memory", path);
    else
        ct_raise(CT_ERR_IO, f->function, "%.500s: %s", path, strerror(error));
    return false;
}

/* The path to rename onto, with symbolic links resolved, in new memory; NULL if memory runs out. */
static char *atomic_file_resolve(const char *path)
{
    char *real = realpath(path, NULL), *copy;

    if (!real) /* the file does not exist yet */
        return cti_strdup(path);
    copy = cti_strdup(real);
    free(real);
    return copy;
}

/* Opens the folder of path, for its fsync; -1 with errno set. */
static int atomic_file_open_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = cti_strdup(path);
    int fd;

    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    if (slash)
        folder[slash == path ? 1 : slash - path] = '\0';
    fd = cti_file_calls.open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    cti_release(folder);
    return fd;
}

/* Creates a new file named PATH.PID-N.tmp; -1 with errno set. */
static int atomic_file_open_temp(cti_atomic_file *f, int mode)
{
    size_t room = strlen(f->path) + 48;
    int n, fd = -1;

    f->temp = cti_calloc(room, 1);
    if (!f->temp) {
        errno = ENOMEM;
        return -1;
    }
    for (n = 0; n < 100; n++) {
        snprintf(f->temp, room, "%s.%ld-%d.tmp", f->path, (long)getpid(), n);
        fd = cti_file_calls.open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    return fd;
}

static void atomic_file_release(cti_atomic_file *f)
{
    if (f->folder >= 0)
        cti_file_calls.close(f->folder);
    cti_release(f->temp);
    cti_release(f->path);
}

bool cti_atomic_begin(cti_atomic_file *f, const char *function, const char *path)
{
    struct stat old;
    bool there = stat(path, &old) == 0;
    int error;

    *f = (cti_atomic_file){ .function = function, .fd = -1, .folder = -1 };
    if (there && !S_ISREG(old.st_mode)) {
        f->error = EISDIR;
        if (function)
            ct_raise(CT_ERR_IO, function, "%.500s: is not a regular file", path);
        return false;
    }
    f->path = atomic_file_resolve(path);
    if (!f->path)
        return atomic_file_raise(f, path, ENOMEM);
    f->folder = atomic_file_open_folder(f->path);
    if (f->folder >= 0 || errno == EACCES) /* EACCES: a folder that can be written but not read */
        f->fd = atomic_file_open_temp(f, 0666);
    if (f->fd >= 0) {
        if (there && fchmod(f->fd, old.st_mode & 07777) !=
                         0) { /* keep the mode: a private file stays private */
            error = errno;
            cti_atomic_abort(f);
            return atomic_file_raise(f, path, error);
        }
        return true;
    }
    error = errno;
    atomic_file_release(f);
    return atomic_file_raise(f, path, error);
}

bool cti_atomic_write(cti_atomic_file *f, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        ssize_t n = cti_file_calls.write(f->fd, at, size);

        if (n == 0)
            errno = EIO;
        if (n <= 0 && errno != EINTR)
            return atomic_file_raise(f, f->path, errno);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return true;
}

void cti_atomic_abort(cti_atomic_file *f)
{
    cti_file_calls.close(f->fd);
    cti_file_calls.unlink(f->temp);
    atomic_file_release(f);
}

/* Some file systems cannot fsync a folder: they return EINVAL or ENOTSUP, which is not an error. */
static bool atomic_file_sync_folder(const cti_atomic_file *f)
{
    return f->folder < 0 || cti_file_calls.fsync(f->folder) == 0 || errno == EINVAL ||
           errno == ENOTSUP;
}

bool cti_atomic_commit(cti_atomic_file *f)
{
    bool done = cti_file_calls.fsync(f->fd) == 0;
    int error = errno;

    if (cti_file_calls.close(f->fd) != 0 && done) {
        done = false;
        error = errno;
    }
    if (done && cti_file_calls.rename(f->temp, f->path) != 0) {
        done = false;
        error = errno;
    }
    if (!done) {
        cti_file_calls.unlink(f->temp);
        atomic_file_raise(f, f->path, error);
    } else if (!atomic_file_sync_folder(f)) {
        done = false;
        f->error = errno;
        if (f->function)
            ct_raise(CT_ERR_IO, f->function,
                     "%.500s: written, but its folder could not be synced: %s", f->path,
                     strerror(errno));
    }
    atomic_file_release(f);
    return done;
}
