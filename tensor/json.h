/* SPDX-License-Identifier: MIT */
/* json.h - JSON (RFC 8259): a strict reader for untrusted text, and a writer. (internal)
 *
 *     cti_json_error error;
 *     cti_json *root = cti_json_read(text, size, (cti_json_limits){ .depth = 8 }, &error);
 *     const cti_json *name = cti_json_get(root, "name"), *v;
 *
 *     for (v = cti_json_first(root); v; v = v->next) ...
 *     cti_release(root);
 *
 * The reader accepts what RFC 8259 allows and nothing else. It also refuses a key that occurs twice
 * in an object, \u0000 in a string, an integer outside int64, and a number of more than 300
 * characters. It uses no recursion. It reads the text twice: first to check it and to count the
 * values, then to fill one block of memory. So it allocates memory only once, before it builds
 * anything, and the time is proportional to the size (n log n for the keys). */
#ifndef COTANGENT_TENSOR_JSON_H
#define COTANGENT_TENSOR_JSON_H

#include "tensor/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cti_json_type {
    CTI_JSON_NULL,
    CTI_JSON_FALSE,
    CTI_JSON_TRUE,
    CTI_JSON_INTEGER,
    CTI_JSON_REAL, /* a number with a fraction or an exponent */
    CTI_JSON_STRING,
    CTI_JSON_ARRAY,
    CTI_JSON_OBJECT,
} cti_json_type;

/* A value. One block of memory holds all values of a text and their strings; it begins with the
 * root. */
typedef struct cti_json cti_json;
struct cti_json {
    const char *key;      /* the key of a member of an object; otherwise NULL */
    const cti_json *next; /* the next element or member, or NULL */
    union {
        int64_t integer;
        const char *text; /* a string, without a NUL inside it; or a real, as it is written in the
                           * text */
        const cti_json *first;
    };
    uint32_t count;  /* the number of elements or members, or of the bytes of a string */
    uint32_t offset; /* the offset of the value in the text, or of its key */
    cti_json_type type;
};

#define CTI_JSON_DEPTH 32

/* Limits of a text. 0 means no limit, but a text never has more than 32 levels and 4 GB. */
typedef struct cti_json_limits {
    int depth;    /* nested arrays and objects */
    int keys;     /* members of all objects together */
    int elements; /* the most elements of one array */
    int values;   /* all together */
} cti_json_limits;

typedef struct cti_json_error {
    /* if not 0: this many bytes could not be allocated, and the other members are not set */
    size_t memory;
    size_t offset;  /* the offset of the error in the text */
    char what[160]; /* "is not JSON: ...", "is nested more than 3 deep" */
} cti_json_error;

/* Parses a text of one value. Returns its root, which the caller frees with cti_release, or NULL
 * with *error filled in. Raises no error. */
cti_json *cti_json_read(const char *text, size_t size, cti_json_limits limits,
                        cti_json_error *error);

/* Returns the member of an object with a key, or NULL. NULL and values that are not objects have no
 * members. */
const cti_json *cti_json_get(const cti_json *object, const char *key);

/* The first element or member, NULL if there is none or v is neither an array nor an object. */
const cti_json *cti_json_first(const cti_json *v);

/* The text of a string; NULL for NULL and for another value. */
const char *cti_json_text(const cti_json *v);

bool cti_json_is(const cti_json *v, cti_json_type type);
bool cti_json_is_number(const cti_json *v);

/* The value of a number, whatever the locale; infinite if it is too large. 0 for a value that is
 * not a number. */
double cti_json_number(const cti_json *v);

/* True if the values are equal. Members of objects may be in any order. Reals are equal if they are
 * written in the same way. */
bool cti_json_equal(const cti_json *a, const cti_json *b);

/* Adds text, which must be UTF-8, as a string in quotes. */
void cti_json_add_text(cti_buffer *b, const char *text);

/* Adds a key and its colon, with a comma before it unless an object has just been opened. */
void cti_json_add_key(cti_buffer *b, const char *key);

#endif
