/* safetensors_format.h - what the reader and the writer of files of named tensors share. */
#ifndef COTANGENT_TENSOR_SAFETENSORS_FORMAT_H
#define COTANGENT_TENSOR_SAFETENSORS_FORMAT_H

#include <nettle/sha2.h>

#define METADATA "__metadata__"
#define DIGEST_KEY "cotangent.payload_sha256"
#define LENGTH_BYTES 8 /* of the header's length, before the header */
#define HEADER_LIMIT 100000000u

/* The digest of what sha has hashed, as 64 hexadecimal digits and a NUL. */
void cti_sha256_text(struct sha256_ctx *sha, char hex[65]);

#endif
