/* SPDX-License-Identifier: MIT */
/* json_read.c - a strict reader of JSON (RFC 8259) for untrusted text. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tensor/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_LIMIT 300

/* An open array or object. The first pass builds no values and uses only count and object. */
typedef struct json_frame {
    cti_json *container, *last;
    uint32_t count;
    bool object;
} json_frame;

typedef struct json_reader {
    const unsigned char *s;
    size_t size, at;
    cti_json_limits limits;
    cti_json_error *error;
    cti_json *node; /* NULL in the first pass, which counts */
    char *text;
    size_t nodes, bytes, keys; /* the counts so far */
    int depth;
    json_frame frame[CTI_JSON_DEPTH];
    cti_json scratch; /* receives each value in the first pass */
} json_reader;

static bool json_refuse(json_reader *r, size_t at, const char *format, ...) CT_PRINTF(3, 4);

static bool json_refuse(json_reader *r, size_t at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->error->what, sizeof r->error->what, format, args);
    va_end(args);
    r->error->memory = 0;
    r->error->offset = at;
    return false;
}

/* Returns the next byte, or -1 at the end. */
static int json_peek(const json_reader *r)
{
    return r->at < r->size ? r->s[r->at] : -1;
}

static void json_skip_space(json_reader *r)
{
    while (r->at < r->size && (r->s[r->at] == ' ' || r->s[r->at] == '\n' || r->s[r->at] == '\r' ||
                               r->s[r->at] == '\t'))
        r->at++;
}

/* ---- strings ---- */

static void json_put(json_reader *r, const void *bytes, size_t n)
{
    if (r->text)
        memcpy(r->text + r->bytes, bytes, n);
    r->bytes += n;
}

/* Adds a code point in UTF-8. */
static void json_put_code(json_reader *r, unsigned c)
{
    unsigned char b[4];
    size_t n = 0;

    if (c < 0x80) {
        b[n++] = (unsigned char)c;
    } else if (c < 0x800) {
        b[n++] = (unsigned char)(0xC0 | c >> 6);
        b[n++] = (unsigned char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        b[n++] = (unsigned char)(0xE0 | c >> 12);
        b[n++] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        b[n++] = (unsigned char)(0x80 | (c & 0x3F));
    } else {
        b[n++] = (unsigned char)(0xF0 | c >> 18);
        b[n++] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
        b[n++] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        b[n++] = (unsigned char)(0x80 | (c & 0x3F));
    }
    json_put(r, b, n);
}

/* Reads the four digits behind "\u". */
static bool json_read_hex(json_reader *r, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int c = json_peek(r), digit;

        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            digit = (c | 0x20) - 'a' + 10;
        else
            return json_refuse(r, r->at, "is not JSON: four hexadecimal digits must follow \\u");
        *code = *code << 4 | (unsigned)digit;
    }
    return true;
}

/* Reads the digits after a "\u" that begins at offset start. Two escapes that are a surrogate pair
 * give one code point. */
static bool json_read_unicode(json_reader *r, size_t start)
{
    unsigned code, low;

    if (!json_read_hex(r, &code))
        return false;
    if (code == 0)
        return json_refuse(r, start, "is not accepted: a string contains \\u0000");
    if (code >= 0xDC00 && code < 0xE000)
        return json_refuse(r, start, "is not JSON: a low surrogate without a high one");
    if (code >= 0xD800 && code < 0xDC00) {
        if (r->size - r->at < 2 || r->s[r->at] != '\\' || r->s[r->at + 1] != 'u')
            return json_refuse(r, start, "is not JSON: a high surrogate without a low one");
        r->at += 2;
        if (!json_read_hex(r, &low))
            return false;
        if (low < 0xDC00 || low >= 0xE000)
            return json_refuse(r, start, "is not JSON: a high surrogate without a low one");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    json_put_code(r, code);
    return true;
}

/* Reads an escape; r->at is at its backslash. */
static bool json_read_escape(json_reader *r)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    size_t start = r->at++;
    int c = json_peek(r);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;

    if (c == 'u') {
        r->at++;
        return json_read_unicode(r, start);
    }
    if (!letter)
        return json_refuse(r, start, "is not JSON: an unknown escape in a string");
    json_put(r, &meant[letter - letters], 1);
    r->at++;
    return true;
}

/* Reads plain bytes up to a quote, a backslash or the end. */
static bool json_read_plain(json_reader *r)
{
    size_t start = r->at;

    while (r->at < r->size && r->s[r->at] != '"' && r->s[r->at] != '\\') {
        size_t n = r->s[r->at] < 0x80
                       ? r->s[r->at] >= 0x20
                       : cti_utf8_length((const char *)r->s + r->at, r->size - r->at);

        if (n == 0)
            return json_refuse(r, r->at, "is not JSON: %s in a string",
                               r->s[r->at] < 0x20 ? "a control character"
                                                  : "bytes that are not UTF-8");
        r->at += n;
    }
    json_put(r, r->s + start, r->at - start);
    return true;
}

/* Reads a string; r->at is at its opening quote. */
static bool json_read_string(json_reader *r, const char **text, uint32_t *count)
{
    size_t start = r->bytes, open = r->at++;

    *text = r->text ? r->text + start : NULL;
    while (json_peek(r) != '"') {
        if (json_peek(r) < 0)
            return json_refuse(r, open, "is not JSON: a string does not end");
        if (json_peek(r) == '\\' ? !json_read_escape(r) : !json_read_plain(r))
            return false;
    }
    r->at++;
    *count = (uint32_t)(r->bytes - start);
    json_put(r, "", 1);
    return true;
}

/* ---- numbers and names ---- */

/* Skips digits; false if there is no digit. */
static bool json_skip_digits(json_reader *r)
{
    size_t start = r->at;

    while (json_peek(r) >= '0' && json_peek(r) <= '9')
        r->at++;
    return r->at > start;
}

/* Skips a number: -? (0 | [1-9] digits) (. digits)? ([eE] [+-]? digits)? *real becomes true if the
 * number has a fraction or an exponent. */
static bool json_skip_number(json_reader *r, bool *real)
{
    size_t first;

    r->at += json_peek(r) == '-';
    first = r->at;
    if (!json_skip_digits(r) || (r->s[first] == '0' && r->at > first + 1))
        return false;
    *real = false;
    if (json_peek(r) == '.') {
        *real = true;
        r->at++;
        if (!json_skip_digits(r))
            return false;
    }
    if (json_peek(r) == 'e' || json_peek(r) == 'E') {
        *real = true;
        r->at++;
        r->at += json_peek(r) == '+' || json_peek(r) == '-';
        return json_skip_digits(r);
    }
    return true;
}

/* Computes the value of an optional sign and the digits from s to end. False if it is outside
 * int64. */
static bool json_to_integer(const unsigned char *s, const unsigned char *end, int64_t *value)
{
    bool negative = *s == '-';

    *value = 0;
    for (s += negative; s < end; s++) {
        int64_t digit = *s - '0';

        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, negative ? -digit : digit, value))
            return false;
    }
    return true;
}

static bool json_read_number(json_reader *r, cti_json *v)
{
    size_t start = r->at;
    bool real;

    if (!json_skip_number(r, &real))
        return json_refuse(r, r->at, "is not JSON: a number is malformed");
    if (r->at - start > NUMBER_LIMIT)
        return json_refuse(r, start, "has a number of more than %d characters", NUMBER_LIMIT);
    if (!real) {
        v->type = CTI_JSON_INTEGER;
        return json_to_integer(r->s + start, r->s + r->at, &v->integer) ||
               json_refuse(r, start, "has an integer that does not fit in 64 bits");
    }
    v->type = CTI_JSON_REAL;
    v->text = r->text ? r->text + r->bytes : NULL;
    v->count = (uint32_t)(r->at - start);
    json_put(r, r->s + start, r->at - start);
    json_put(r, "", 1);
    return true;
}

/* Reads true, false or null. */
static bool json_read_name(json_reader *r, cti_json *v)
{
    static const struct {
        const char *name;
        cti_json_type type;
    } names[] = { { "true", CTI_JSON_TRUE },
                  { "false", CTI_JSON_FALSE },
                  { "null", CTI_JSON_NULL } };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i].name);

        if (r->size - r->at >= n && memcmp(r->s + r->at, names[i].name, n) == 0) {
            v->type = names[i].type;
            r->at += n;
            return true;
        }
    }
    return json_refuse(r, r->at, "is not JSON: a value is expected");
}

/* ---- arrays and objects ---- */

static bool json_open(json_reader *r, cti_json *v, bool object)
{
    int most = r->limits.depth ? r->limits.depth : CTI_JSON_DEPTH;

    if (r->depth >= most)
        return json_refuse(r, r->at, "is nested more than %d deep", most);
    v->type = object ? CTI_JSON_OBJECT : CTI_JSON_ARRAY;
    v->first = NULL;
    r->frame[r->depth++] = (json_frame){ .container = v, .object = object };
    r->at++;
    return true;
}

/* Makes the next value the last one of the innermost container. */
static cti_json *json_new(json_reader *r, const char *key, size_t offset)
{
    json_frame *f = r->depth > 0 ? &r->frame[r->depth - 1] : NULL;
    cti_json *v = r->node ? &r->node[r->nodes] : &r->scratch;

    r->nodes++;
    *v = (cti_json){ .key = key, .offset = (uint32_t)offset };
    if (f && r->node) {
        if (f->last)
            f->last->next = v;
        else
            f->container->first = v;
        f->last = v;
        f->container->count++;
    }
    if (f)
        f->count++;
    return v;
}

static bool json_read_value(json_reader *r, const char *key, size_t offset)
{
    int c = json_peek(r);
    cti_json *v;

    if (r->limits.values && r->nodes >= (size_t)r->limits.values)
        return json_refuse(r, r->at, "has more than %d values", r->limits.values);
    v = json_new(r, key, offset);
    if (c == '{' || c == '[')
        return json_open(r, v, c == '{');
    if (c == '"') {
        v->type = CTI_JSON_STRING;
        return json_read_string(r, &v->text, &v->count);
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return json_read_number(r, v);
    return json_read_name(r, v);
}

/* Reads a key and its value. */
static bool json_read_member(json_reader *r)
{
    size_t offset = r->at;
    const char *key;
    uint32_t count;

    if (json_peek(r) != '"')
        return json_refuse(r, r->at, "is not JSON: a key in quotes is expected");
    if (r->limits.keys && r->keys >= (size_t)r->limits.keys)
        return json_refuse(r, r->at, "has more than %d keys", r->limits.keys);
    r->keys++;
    if (!json_read_string(r, &key, &count))
        return false;
    json_skip_space(r);
    if (json_peek(r) != ':')
        return json_refuse(r, r->at, "is not JSON: a colon is expected");
    r->at++;
    json_skip_space(r);
    return json_read_value(r, key, offset);
}

/* Makes one step in the innermost container: reads its end, or its next element or member. */
static bool json_step(json_reader *r)
{
    json_frame *f = &r->frame[r->depth - 1];

    json_skip_space(r);
    if (json_peek(r) == (f->object ? '}' : ']')) {
        r->at++;
        r->depth--;
        return true;
    }
    if (f->count > 0) {
        if (json_peek(r) != ',')
            return json_refuse(r, r->at, "is not JSON: a comma or the end of %s is expected",
                               f->object ? "an object" : "an array");
        r->at++;
        json_skip_space(r);
    }
    if (f->object)
        return json_read_member(r);
    if (r->limits.elements && f->count >= (uint32_t)r->limits.elements)
        return json_refuse(r, r->at, "has an array of more than %d elements", r->limits.elements);
    return json_read_value(r, NULL, r->at);
}

/* Makes one pass over the text: reads the root and then steps until all containers are closed. */
static bool json_pass(json_reader *r)
{
    r->at = r->nodes = r->bytes = r->keys = 0;
    r->depth = 0;
    json_skip_space(r);
    if (!json_read_value(r, NULL, r->at))
        return false;
    while (r->depth > 0)
        if (!json_step(r))
            return false;
    json_skip_space(r);
    return r->at == r->size || json_refuse(r, r->at, "is not JSON: more follows its end");
}

/* ---- keys that occur twice ---- */

/* Compares two members by their keys; equal keys by their position in the text. */
static int json_compare_keys(const cti_json *a, const cti_json *b)
{
    int order = strcmp(a->key, b->key);

    return order ? order : (a->offset > b->offset) - (a->offset < b->offset);
}

/* Moves the member at i down until its children in the heap of n are not greater. */
static void json_sift_down(const cti_json **heap, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        const cti_json *v = heap[i];

        if (child + 1 < n && json_compare_keys(heap[child], heap[child + 1]) < 0)
            child++;
        if (json_compare_keys(v, heap[child]) >= 0)
            return;
        heap[i] = heap[child];
        heap[child] = v;
    }
}

/* Heapsort, because it needs no extra memory and takes n log n time even in the worst case, so no
 * file can make it slow. */
static void json_sort_keys(const cti_json **members, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        json_sift_down(members, i, n);
    for (size_t end = n; end-- > 1;) {
        const cti_json *greatest = members[0];

        members[0] = members[end];
        members[end] = greatest;
        json_sift_down(members, 0, end);
    }
}

/* Refuses an object in which a key occurs twice. members has room for all keys of the text. */
static bool json_check_keys(json_reader *r, const cti_json *object, const cti_json **members)
{
    size_t n = 0;

    for (const cti_json *v = object->first; v; v = v->next)
        members[n++] = v;
    json_sort_keys(members, n);
    for (size_t i = 1; i < n; i++)
        if (strcmp(members[i - 1]->key, members[i]->key) == 0)
            return json_refuse(r, members[i]->offset, "has a key twice: %s",
                               cti_quote(members[i]->key).s);
    return true;
}

/* ---- reading ---- */

/* Returns the size of the block: the values, room to sort the keys, and the strings. 0 if it
 * overflows. */
static size_t json_block_size(const json_reader *r)
{
    size_t values, keys, size;

    if (__builtin_mul_overflow(r->nodes, sizeof(cti_json), &values) ||
        __builtin_mul_overflow(r->keys, sizeof(cti_json *), &keys) ||
        __builtin_add_overflow(values, keys, &size) ||
        __builtin_add_overflow(size, r->bytes, &size))
        return 0;
    return size;
}

cti_json *cti_json_read(const char *text, size_t size, cti_json_limits limits,
                        cti_json_error *error)
{
    json_reader r = {
        .s = (const unsigned char *)text, .size = size, .limits = limits, .error = error
    };
    size_t nodes, bytes;
    const cti_json **members;
    cti_json *block;
    bool ok = true;

    if (size > UINT32_MAX) {
        json_refuse(&r, 0, "has more than 4 GB");
        return NULL;
    }
    if (!json_pass(&r))
        return NULL;
    bytes = json_block_size(&r);
    nodes = r.nodes;
    block = bytes ? cti_calloc(1, bytes) : NULL;
    if (!block) {
        error->memory = bytes ? bytes : SIZE_MAX;
        return NULL;
    }
    members = (const cti_json **)(void *)(block + nodes);
    r.node = block;
    r.text = (char *)(members + r.keys);
    ok = json_pass(&r);
    for (size_t i = 0; ok && i < nodes; i++)
        ok = block[i].type != CTI_JSON_OBJECT || json_check_keys(&r, &block[i], members);
    if (ok)
        return block;
    cti_release(block);
    return NULL;
}

/* ---- values ---- */

bool cti_json_is(const cti_json *v, cti_json_type type)
{
    return v && v->type == type;
}

bool cti_json_is_number(const cti_json *v)
{
    return cti_json_is(v, CTI_JSON_INTEGER) || cti_json_is(v, CTI_JSON_REAL);
}

const char *cti_json_text(const cti_json *v)
{
    return cti_json_is(v, CTI_JSON_STRING) ? v->text : NULL;
}

const cti_json *cti_json_first(const cti_json *v)
{
    return cti_json_is(v, CTI_JSON_ARRAY) || cti_json_is(v, CTI_JSON_OBJECT) ? v->first : NULL;
}

const cti_json *cti_json_get(const cti_json *object, const char *key)
{
    const cti_json *v = cti_json_is(object, CTI_JSON_OBJECT) ? object->first : NULL;

    while (v && strcmp(v->key, key) != 0)
        v = v->next;
    return v;
}

/* The recursion is at most CTI_JSON_DEPTH deep. */
bool cti_json_equal(const cti_json *a, const cti_json *b)
{
    const cti_json *x, *y;

    if (a->type != b->type || a->count != b->count)
        return false;
    switch (a->type) {
    case CTI_JSON_INTEGER:
        return a->integer == b->integer;
    case CTI_JSON_REAL:
    case CTI_JSON_STRING:
        return strcmp(a->text, b->text) == 0;
    case CTI_JSON_ARRAY:
        for (x = a->first, y = b->first; x && cti_json_equal(x, y); x = x->next)
            y = y->next;
        return !x;
    case CTI_JSON_OBJECT:
        for (x = a->first; x && (y = cti_json_get(b, x->key)) && cti_json_equal(x, y); x = x->next)
            ;
        return !x;
    default:
        return true;
    }
}

double cti_json_number(const cti_json *v)
{
    char sample[16], copy[NUMBER_LIMIT + sizeof sample];
    const char *point;

    if (cti_json_is(v, CTI_JSON_INTEGER))
        return (double)v->integer;
    if (!cti_json_is(v, CTI_JSON_REAL))
        return 0;
    point = strchr(v->text, '.');
    snprintf(sample, sizeof sample, "%.1f", 0.5); /* "0", the locale's decimal point, "5" */
    if (point)
        snprintf(copy, sizeof copy, "%.*s%.*s%s", (int)(point - v->text), v->text,
                 (int)strlen(sample) - 2, sample + 1, point + 1);
    else
        snprintf(copy, sizeof copy, "%s", v->text);
    return strtod(copy, NULL);
}
