/* SPDX-License-Identifier: MIT */
/* safetensors_format.h - declarations that the reader and the writer of files of named tensors
 * share. (internal) */
#ifndef COTANGENT_TENSOR_SAFETENSORS_FORMAT_H
#define COTANGENT_TENSOR_SAFETENSORS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include <nettle/sha2.h>

#define METADATA "__metadata__"
#define LENGTH_BYTES 8 /* the bytes of the header's length, which precede the header */
#define HEADER_LIMIT 100000000u

/* Two keys of the metadata. A file of ct_safetensors_write has both; a file of another program has
 * neither. The header's digest protects the key and value of the payload's digest. If damage
 * removes the header's digest, the payload's key shows that it is missing. */
#define HEADER_DIGEST_KEY "cotangent.header_sha256"
#define PAYLOAD_DIGEST_KEY "cotangent.payload_sha256"
#define DIGEST_DIGITS 64

/* The header of ct_safetensors_write begins with these bytes. The digits of its digest follow. */
#define HEADER_START "{\"" METADATA "\":{\"" HEADER_DIGEST_KEY "\":\""

/* The digest of the bytes that were passed to sha, as 64 hexadecimal digits and a NUL. */
void cti_sha256_text(struct sha256_ctx *sha, char hex[DIGEST_DIGITS + 1]);

/* True if the n bytes of a header begin with HEADER_START and 64 more bytes. */
bool cti_header_has_digest(const char *header, size_t n);

/* The digest of such a header: the SHA-256 of the 8 bytes of its length and of its n bytes, with
 * each of the 64 digits of the digest itself taken as '0'. */
void cti_header_digest(const char *header, size_t n, char hex[DIGEST_DIGITS + 1]);

#endif
