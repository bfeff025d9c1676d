/* environment.h - the library's environment variables, in one table. (internal) */
#ifndef COTANGENT_TENSOR_ENVIRONMENT_H
#define COTANGENT_TENSOR_ENVIRONMENT_H

/* The value of a variable of the table in environment.c. NULL if it is not set, is empty, or has a
 * value that it cannot have: the first call then says so in a line on stderr. */
const char *cti_environment(const char *name);

#endif
