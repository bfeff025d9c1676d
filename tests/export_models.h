/* SPDX-License-Identifier: MIT */
/* export_models.h - compiles exported code and runs it. */
#ifndef TESTS_EXPORT_MODELS_H
#define TESTS_EXPORT_MODELS_H

#include <cotangent/nn/export.h>

#include <stdbool.h>

/* Exported code that has been compiled and opened. */
typedef struct exported {
    char folder[64];
    void *library;
    void *state;
    int (*step)(void *state, const void *x, void *y);
    void *weights;
} exported;

/* Makes a new folder for the files. */
void exported_begin(exported *e);

/* The path of a file in the folder. It is valid until the next call. */
const char *exported_path(const exported *e, const char *file);

/* Replaces one occurrence of `from` by `to` in the exported file m.c. False if there is none. */
bool exported_change(const exported *e, const char *from, const char *to);

/* Compiles m.c of the folder with a compiler and the strictest flags, and opens it. */
void exported_open(exported *e, const char *compiler, bool separate_weights);

/* Closes the code and removes the files. */
void exported_end(exported *e);

/* Returns the bytes of a file, which the caller frees. */
char *exported_read(const char *path, size_t *size);

#endif
