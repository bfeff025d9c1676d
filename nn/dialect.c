/* SPDX-License-Identifier: MIT */
/* dialect.c - the names of dialects. */
#include <cotangent/nn/dialect.h>

#include <string.h>

static const char *const dialect_names[] = { "torch", "gluon", "keras", "flax" };

#define DIALECTS ((int)(sizeof dialect_names / sizeof *dialect_names))

const char *ct_dialect_name(ct_dialect dialect)
{
    return (int)dialect >= 0 && (int)dialect < DIALECTS ? dialect_names[dialect] : "?";
}

int ct_dialect_from_name(const char *name)
{
    int i;

    for (i = 0; name && i < DIALECTS; i++)
        if (strcmp(name, dialect_names[i]) == 0)
            return i;
    return -1;
}
