/* log.h - the lines that the library says by itself. (internal) */
#ifndef COTANGENT_TENSOR_LOG_H
#define COTANGENT_TENSOR_LOG_H

#include <cotangent/tensor/status.h>

/* Gives a line, of at most 1,399 bytes and without its end, to the handler of ct_log_set_handler.
 * Numbers are formatted in the C locale. */
void cti_log(const char *format, ...) CT_PRINTF(1, 2);

#endif
