/* SPDX-License-Identifier: MIT */
/* environment.h - the library's environment variables, in one table. (internal) */
#ifndef COTANGENT_TENSOR_ENVIRONMENT_H
#define COTANGENT_TENSOR_ENVIRONMENT_H

/* Returns the value of a variable of the table in environment.c. Returns NULL if it is not set, is
 * empty, or has a value that the table does not allow; in the last case the first call prints a
 * line on stderr. */
const char *cti_environment(const char *name);

#endif
