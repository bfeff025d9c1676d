/* SPDX-License-Identifier: MIT */
/* atomic_file.c - writing a file completely or not at all.
 *
 * The steps: write a temporary file, fsync it, rename it onto the path, fsync the folder. Without
 * the first fsync, a crash after the rename could leave an empty file; without the second, it could
 * leave the old file.
 *
 * The writer holds a lock (flock) on its temporary file until the rename. A temporary file without
 * a lock belongs to a killed program; the next writer of the same path removes it. */
#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_TEMPS = 100, MOST_LINKS = 40 };

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

/* Returns the target of the link at path, in new memory. NULL with errno set; EINVAL if path is not
 * a link. */
static char *atomic_file_follow(const char *path)
{
    char target[PATH_MAX];
    const char *slash = strrchr(path, '/');
    ssize_t n = readlink(path, target, sizeof target - 1);
    size_t folder;
    char *joined;

    if (n < 0)
        return NULL;
    target[n] = '\0';
    folder = target[0] == '/' || !slash ? 0 : (size_t)(slash - path) + 1;
    joined = cti_calloc(folder + (size_t)n + 1, 1);
    if (!joined) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(joined, path, folder);
    memcpy(joined + folder, target, (size_t)n);
    return joined;
}

/* Returns the path to rename onto, with symbolic links resolved, in new memory. NULL with errno
 * set. The target of the last link need not exist. */
static char *atomic_file_resolve(const char *path)
{
    char *real = realpath(path, NULL), *name = cti_strdup(real ? real : path), *next;
    bool exists = real != NULL;

    free(real);
    for (int links = 0; name && !exists && (next = atomic_file_follow(name)); links++) {
        cti_release(name);
        name = next;
        if (links == MOST_LINKS) {
            cti_release(name);
            errno = ELOOP;
            return NULL;
        }
    }
    if (!name)
        errno = ENOMEM;
    return name;
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

/* ---- the temporary file ---- */

/* Creates a file and locks it. Returns -1 with errno set. EEXIST may also mean that another writer
 * removed the file, as one of a killed program, before it was locked. A file system without locks
 * is not an error. */
static int atomic_file_create(const char *temp, int mode)
{
    int fd = cti_file_calls.open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    struct stat now;

    if (fd < 0)
        return -1;
    if ((flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
        (fstat(fd, &now) == 0 && now.st_nlink == 0)) {
        cti_file_calls.close(fd);
        errno = EEXIST;
        return -1;
    }
    return fd;
}

/* Removes a temporary file that no writer has locked. True if it removed one. */
static bool atomic_file_remove_dead(const char *temp)
{
    int fd = open(temp, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat opened, named;
    bool dead;

    if (fd < 0)
        return false;
    dead = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &opened) == 0 &&
           S_ISREG(opened.st_mode) && lstat(temp, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev && unlink(temp) == 0;
    close(fd);
    return dead;
}

static void atomic_file_name_temp(cti_atomic_file *f, size_t room, int n)
{
    snprintf(f->temp, room, "%s.cotangent-%d.tmp", f->path, n);
}

/* Creates a new file named PATH.cotangent-N.tmp; -1 with errno set. */
static int atomic_file_open_temp(cti_atomic_file *f, int mode)
{
    size_t room = strlen(f->path) + 48;
    int n, fd = -1;

    f->temp = cti_calloc(room, 1);
    if (!f->temp) {
        errno = ENOMEM;
        return -1;
    }
    for (n = 0; n < MOST_TEMPS; n++) {
        atomic_file_name_temp(f, room, n);
        fd = atomic_file_create(f->temp, mode);
        if (fd >= 0 || errno != EEXIST)
            break;
        if (atomic_file_remove_dead(f->temp) && (fd = atomic_file_create(f->temp, mode)) >= 0)
            break;
        errno = EEXIST;
    }
    if (fd >= 0) {
        for (int next = n + 1; next < MOST_TEMPS; next++) {
            atomic_file_name_temp(f, room, next);
            if (!atomic_file_remove_dead(f->temp))
                break;
        }
        atomic_file_name_temp(f, room, n);
    }
    return fd;
}

/* Gives a new file the owner, group and permissions of the old one, but not its setuid, setgid and
 * sticky bits. If the group cannot be set, the group gets only the permissions of others. */
static bool atomic_file_copy_mode(int fd, const struct stat *old)
{
    mode_t mode = old->st_mode & 0777;
    struct stat now;

    if (fstat(fd, &now) != 0)
        return false;
    if ((now.st_uid != old->st_uid || now.st_gid != old->st_gid) &&
        fchown(fd, old->st_uid, old->st_gid) != 0 && fchown(fd, (uid_t)-1, old->st_gid) != 0)
        mode &= 0707 | (mode & 07) << 3;
    return fchmod(fd, mode) == 0;
}

/* ---- the file ---- */

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
    if (!*path)
        return atomic_file_raise(f, path, ENOENT);
    f->path = atomic_file_resolve(path);
    if (!f->path)
        return atomic_file_raise(f, path, errno);
    f->folder = atomic_file_open_folder(f->path);
    if (f->folder >= 0 || errno == EACCES) /* EACCES: the folder can be written to but not read */
        f->fd = atomic_file_open_temp(f, there ? old.st_mode & 0600 : 0666);
    if (f->fd >= 0 && (!there || atomic_file_copy_mode(f->fd, &old)))
        return true;
    error = errno;
    if (f->fd >= 0)
        cti_atomic_abort(f);
    else
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
    /* a duplicate keeps the lock while the first descriptor is closed */
    int error = errno, lock = fcntl(f->fd, F_DUPFD_CLOEXEC, 3);

    if (cti_file_calls.close(f->fd) != 0 && done) {
        done = false;
        error = errno;
    }
    if (done && cti_file_calls.rename(f->temp, f->path) != 0) {
        done = false;
        error = errno;
    }
    if (lock >= 0)
        close(lock);
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
