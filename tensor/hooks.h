/* SPDX-License-Identifier: MIT */
/* hooks.h - allocation and file I/O go through two small tables, so that tests can fail the k-th
 * call of each. (internal) */
#ifndef COTANGENT_TENSOR_HOOKS_H
#define COTANGENT_TENSOR_HOOKS_H

#include <stddef.h>
#include <sys/types.h>

typedef struct cti_memory_table {
    void *(*allocate)(size_t alignment, size_t bytes); /* NULL if memory runs out */
    void (*release)(void *p);
} cti_memory_table;

/* These behave like the system calls of the same names: on failure they return -1 or NULL and set
 * errno. */
typedef struct cti_file_table {
    int (*open)(const char *path, int flags, int mode);
    ssize_t (*read)(int fd, void *buffer, size_t bytes);
    ssize_t (*write)(int fd, const void *buffer, size_t bytes);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
} cti_file_table;

extern cti_memory_table cti_memory_calls;
extern cti_file_table cti_file_calls;

/* calloc, realloc and strdup that use the table. On failure they return NULL and raise no error. */
void *cti_calloc(size_t count, size_t size);
void *cti_realloc(void *p, size_t old_bytes, size_t bytes);
char *cti_strdup(const char *s);
void cti_release(void *p); /* NULL is allowed */

#endif
