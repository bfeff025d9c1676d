/* SPDX-License-Identifier: MIT */
/* log.h - lines that the library prints on its own. (internal) */
#ifndef COTANGENT_TENSOR_LOG_H
#define COTANGENT_TENSOR_LOG_H

#include <cotangent/tensor/status.h>

/* Passes a line, of at most 1,399 bytes and without a newline, to the handler of
 * ct_log_set_handler. Numbers are formatted in the C locale. */
void cti_log(const char *format, ...) CT_PRINTF(1, 2);

#endif
