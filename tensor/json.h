/* json.h - JSON (RFC 8259). (internal) */
#ifndef COTANGENT_TENSOR_JSON_H
#define COTANGENT_TENSOR_JSON_H

#include "tensor/buffer.h"

/* Adds text, which must be UTF-8, as a string in quotes. */
void cti_json_add_text(cti_buffer *b, const char *text);

#endif
