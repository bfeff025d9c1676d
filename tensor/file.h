/* SPDX-License-Identifier: MIT */
/* file.h - writes your own files in the same safe way as the library's files, and prints text that
 * came from a file. */
#ifndef COTANGENT_TENSOR_FILE_H
#define COTANGENT_TENSOR_FILE_H

#include <stddef.h>
#include <stdio.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes size bytes to the file at path. Atomic: whatever fails, path holds the old file or the
 * complete new one. A symbolic link stays and its target is replaced or created. An existing file
 * keeps its permissions without the setuid, setgid and sticky bits. bytes may be NULL if size is 0.
 * Does nothing while an error is recorded. Raises CT_ERR_IO (also for a path that is a folder, a
 * device or a FIFO), CT_ERR_MEMORY, CT_ERR_ARGUMENT. */
ct_status ct_file_write(const char *path, const void *bytes, size_t size) CT_WARN_UNUSED;

/* Tests whether ct_file_write could write to path, and changes nothing there: creates a temporary
 * file beside it, writes 4,096 bytes and removes it. For programs that compute for a long time
 * before they write. Errors are those of ct_file_write. */
ct_status ct_file_try(const char *path) CT_WARN_UNUSED;

/* Prints text that a program must not trust, such as a name from a file: each control character
 * (U+0000 to U+001F, U+007F to U+009F) and each byte that is not UTF-8 is printed as '?', since a
 * terminal could take it for a command. The library's messages are printed this way. NULL prints
 * nothing and raises CT_ERR_ARGUMENT. */
void ct_print_text(const char *text, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
