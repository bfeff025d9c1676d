/* SPDX-License-Identifier: MIT */
/* byte_order.h - the byte order of files. (internal)
 *
 * The numbers of a file are little-endian on every processor, so equal values give equal files. On a
 * big-endian processor (s390x) the bytes of each number are reversed where a file is read or written,
 * and where the digest of numbers is computed. */
#ifndef COTANGENT_TENSOR_BYTE_ORDER_H
#define COTANGENT_TENSOR_BYTE_ORDER_H

#include <stdbool.h>
#include <stddef.h>

/* True if the order in memory is not that of files. */
#ifdef WORDS_BIGENDIAN
#define CTI_SWAPS_FILES true
#else
#define CTI_SWAPS_FILES false
#endif

/* Reverses the bytes of each of count elements of size bytes. */
void cti_swap_bytes(void *elements, size_t size, size_t count);

/* Takes bytes in the order of files; false to stop. */
typedef bool cti_byte_sink(void *context, const void *bytes, size_t size);

/* Gives the bytes of count elements of size bytes to sink in the order of files: at once, or in several
 * pieces if their order changes. False if sink returns false. */
bool cti_each_file_bytes(const void *elements, size_t size, size_t count, cti_byte_sink *sink,
                         void *context);

/* Writes the SHA-256 of the elements, in the order of files, to hex. */
void cti_sha256_elements(const void *elements, size_t size, size_t count, char hex[65]);

#endif
