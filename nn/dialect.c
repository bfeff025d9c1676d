/* dialect.c - the names of dialects. */
#include <cotangent/nn/dialect.h>

#include <string.h>

static const char *const names[] = { "torch", "gluon", "keras", "flax" };

#define COUNT ((int)(sizeof names / sizeof *names))

const char *ct_dialect_name(ct_dialect dialect)
{
    return (int)dialect >= 0 && (int)dialect < COUNT ? names[dialect] : "?";
}

int ct_dialect_from_name(const char *name)
{
    int i;

    for (i = 0; name && i < COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}
