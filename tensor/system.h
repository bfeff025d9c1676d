/* SPDX-License-Identifier: MIT */
/* system.h - what the library asks of the system beyond POSIX. (internal)
 *
 * Each function uses Linux. On another system, and if CTI_PLAIN_SYSTEM is defined, it does less, as its
 * comment says; everything else of the library is C11 and POSIX, with the extensions that gcc and clang
 * share. */
#ifndef COTANGENT_TENSOR_SYSTEM_H
#define COTANGENT_TENSOR_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* The number of processors that this process may use, by its affinity and its control group.
 * Elsewhere: all that are online. */
int cti_processors(void);

/* Returns the number of processors that the control group grants, at most 256. It is the quotient of the
 * two numbers of the file, rounded up. Returns 256 if the file cannot be read or its first word is "max",
 * which means no limit. */
int cti_processors_granted(const char *path);

/* Opens a shared library while the calling thread may run on one processor only, so that the library
 * starts no threads. NULL if it cannot be opened. Elsewhere: dlopen alone. */
void *cti_open_on_one_processor(const char *file);

/* Asks for huge pages for a block; the system need not give them. Elsewhere: nothing. */
void cti_want_huge_pages(void *block, size_t bytes);

/* True if so many bytes more can be mapped. Elsewhere: if they can be allocated. */
bool cti_may_map(size_t bytes);

/* True if so many bytes of memory that is writable and executable can be mapped. Elsewhere: false. */
bool cti_may_map_code(size_t bytes);

/* The value of an environment variable, NULL if the program has more rights than the user who started
 * it. */
const char *cti_trusted_environment(const char *name);

/* Writes the folder of the shared library that contains this function. Returns false if the library is
 * linked into the program, if its path is relative, or if the program has more rights than the user who
 * started it. Elsewhere: false. */
bool cti_library_folder(char *folder, size_t size);

/* Writes a text that differs for each start of this machine. Elsewhere: "". */
void cti_boot_name(char text[40]);

/* True if no process has this number, or one that has ended and waits for its parent. Elsewhere the
 * latter counts as running. */
bool cti_process_has_ended(long long process);

#endif
