/* vocab.c - cleaning, vocabularies of single bytes, corpora. */
#include "tensor/internal.h"

#include <cotangent/data/vocab.h>

#include "tensor/host.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN "<unk>"
#define BYTES 256

typedef struct entry {
    char *token;
    int64_t count;
} entry;

struct ct_vocab {
    entry *entries;
    int size, unknown;
    int id_of[BYTES]; /* of each byte; unknown's if it is not in the vocabulary */
};

struct ct_corpus {
    ct_vocab *vocab;
    int32_t *ids;
    int64_t size, invalid;
};

/* ---- cleaning ---- */

/* The lower-case letter that c is, or 0. ASCII, whatever the locale. */
static char letter(unsigned char c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? (char)c : 0;
}

/* re.sub('[^A-Za-z]+', ' ', text).lower() */
static size_t clean_text(const char *s, size_t size, char *out)
{
    size_t i, n = 0;

    for (i = 0; i < size; i++) {
        char c = letter((unsigned char)s[i]);

        if (c)
            out[n++] = c;
        else if (n == 0 || out[n - 1] != ' ')
            out[n++] = ' ';
    }
    return n;
}

/* ''.join(re.sub('[^A-Za-z]+', ' ', line).strip().lower() for line in text), lines as Python's
 * universal newlines cut them. */
static size_t clean_lines(const char *s, size_t size, char *out)
{
    bool begun = false, gap = false; /* the line has a letter; others since its last one */
    size_t i, n = 0;

    for (i = 0; i < size; i++) {
        char c = letter((unsigned char)s[i]);

        if (c) {
            if (begun && gap)
                out[n++] = ' ';
            out[n++] = c;
            begun = true;
            gap = false;
        } else if (s[i] == '\n' || s[i] == '\r') {
            begun = gap = false;
        } else {
            gap = true;
        }
    }
    return n;
}

static size_t clean(ct_clean how, const char *s, size_t size, char *out)
{
    if (how == CT_CLEAN_TEXT)
        return clean_text(s, size, out);
    if (how == CT_CLEAN_LINES)
        return clean_lines(s, size, out);
    memcpy(out, s, size);
    return size;
}

/* The length of the UTF-8 sequence at s, 0 if it is none (The Unicode Standard, table 3-7). */
static size_t utf8_length(const unsigned char *s, size_t size)
{
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    size_t n = 1, i;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF)
        n = 2;
    else if (s[0] >= 0xE0 && s[0] <= 0xEF)
        n = 3;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4)
        n = 4;
    if (n == 1 || n > size)
        return 0;
    if (s[0] == 0xE0)
        low = 0xA0; /* below: more bytes than it takes */
    else if (s[0] == 0xED)
        high = 0x9F; /* above: surrogates */
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F; /* above: beyond U+10FFFF */
    if (s[1] < low || s[1] > high)
        return 0;
    for (i = 2; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

static int64_t count_invalid(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    int64_t invalid = 0;
    size_t i = 0;

    while (i < size) {
        size_t n = utf8_length(s + i, size - i);

        invalid += n == 0;
        i += n ? n : 1;
    }
    return invalid;
}

/* ---- vocabularies ---- */

/* How often a text has each byte, and where it has it first. */
typedef struct census {
    int64_t count[BYTES];
    size_t first[BYTES];
} census;

static void take_census(census *c, const char *s, size_t size)
{
    size_t i;

    memset(c, 0, sizeof *c);
    for (i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)s[i];

        if (c->count[byte]++ == 0)
            c->first[byte] = i;
    }
}

static bool check_options(const char *function, const ct_vocab_options *o)
{
    int i;

    if (o->order != CT_ORDER_SORTED && o->order != CT_ORDER_FREQUENCY)
        ct_raise(CT_ERR_ARGUMENT, function, "there is no order %d", (int)o->order);
    else if (o->min_freq < 0)
        ct_raise(CT_ERR_ARGUMENT, function, "min_freq %lld is negative", (long long)o->min_freq);
    else if (o->reserved_count < 0 || (o->reserved_count && !o->reserved))
        ct_raise(CT_ERR_ARGUMENT, function, "reserved_count is %d, reserved %s", o->reserved_count,
                 o->reserved ? "is not NULL" : "is NULL");
    else {
        for (i = 0; i < o->reserved_count; i++)
            if (!o->reserved[i] || !o->reserved[i][0]) {
                ct_raise(CT_ERR_ARGUMENT, function, "reserved[%d] is %s", i,
                         o->reserved[i] ? "empty" : "NULL");
                return false;
            }
        return true;
    }
    return false;
}

static int find(const ct_vocab *v, const char *token)
{
    int i;

    for (i = 0; i < v->size; i++)
        if (strcmp(v->entries[i].token, token) == 0)
            return i;
    return -1;
}

/* Adds a token that is not there yet; false when memory is out. */
static bool add(ct_vocab *v, const char *token, int64_t count)
{
    entry *e = &v->entries[v->size];

    if (find(v, token) >= 0)
        return true;
    e->token = cti_strdup(token);
    e->count = count;
    v->size += e->token != NULL;
    return e->token != NULL;
}

static int64_t count_of(const census *c, const char *token)
{
    return token[1] ? 0 : c->count[(unsigned char)token[0]];
}

/* True if byte a comes before byte b by falling frequency. */
static bool more_frequent(const census *c, int a, int b)
{
    if (c->count[a] != c->count[b])
        return c->count[a] > c->count[b];
    return c->first[a] < c->first[b];
}

/* The bytes that are tokens, by falling frequency; returns how many. */
static int rank_bytes(const census *c, int64_t min_freq, int *bytes)
{
    int n = 0, byte, i;

    for (byte = 1; byte < BYTES; byte++) {
        if (c->count[byte] == 0 || c->count[byte] < min_freq)
            continue;
        for (i = n++; i > 0 && more_frequent(c, byte, bytes[i - 1]); i--)
            bytes[i] = bytes[i - 1];
        bytes[i] = byte;
    }
    return n;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->token, ((const entry *)b)->token);
}

/* <unk>, the reserved tokens, those of the text; in frequency order until they are sorted. */
static bool add_all(ct_vocab *v, const census *c, const ct_vocab_options *o)
{
    int bytes[BYTES], n = rank_bytes(c, o->min_freq, bytes), i;
    bool ok = add(v, UNKNOWN, 0);

    for (i = 0; i < o->reserved_count; i++)
        ok = ok && add(v, o->reserved[i], count_of(c, o->reserved[i]));
    for (i = 0; i < n; i++)
        ok = ok && add(v, (char[]){ (char)bytes[i], '\0' }, c->count[bytes[i]]);
    if (ok && o->order == CT_ORDER_SORTED)
        qsort(v->entries, (size_t)v->size, sizeof *v->entries, by_bytes);
    return ok;
}

static void index_bytes(ct_vocab *v, const census *c)
{
    int i;

    v->unknown = find(v, UNKNOWN);
    for (i = 0; i < BYTES; i++) {
        int id = i ? find(v, (char[]){ (char)i, '\0' }) : -1;

        v->id_of[i] = id >= 0 ? id : v->unknown;
        if (id < 0)
            v->entries[v->unknown].count += c->count[i];
    }
}

static ct_vocab *new_vocab(const char *function, const char *s, size_t size,
                           const ct_vocab_options *o)
{
    size_t room = (size_t)o->reserved_count + BYTES;
    ct_vocab *v;
    census c;

    v = cti_calloc(1, sizeof *v);
    if (v)
        v->entries = cti_calloc(room, sizeof *v->entries);
    take_census(&c, s, size);
    if (!v || !v->entries || !add_all(v, &c, o)) {
        cti_out_of_memory(function, room * sizeof *v->entries);
        ct_vocab_free(v);
        return NULL;
    }
    index_bytes(v, &c);
    return v;
}

ct_vocab *ct_vocab_new(const char *characters, size_t size, ct_vocab_options options)
{
    if (!characters && size) {
        ct_raise(CT_ERR_ARGUMENT, "ct_vocab_new", "characters is NULL");
        return NULL;
    }
    if (!check_options("ct_vocab_new", &options))
        return NULL;
    return new_vocab("ct_vocab_new", characters, size, &options);
}

void ct_vocab_free(ct_vocab *v)
{
    int i;

    if (!v)
        return;
    for (i = 0; i < v->size; i++)
        cti_release(v->entries[i].token);
    cti_release(v->entries);
    cti_release(v);
}

int ct_vocab_size(const ct_vocab *v)
{
    return v ? v->size : 0;
}

int ct_vocab_unknown(const ct_vocab *v)
{
    return v ? v->unknown : 0;
}

int ct_vocab_id(const ct_vocab *v, const char *token)
{
    int id;

    if (!v)
        return 0;
    id = token ? find(v, token) : -1;
    return id >= 0 ? id : v->unknown;
}

const char *ct_vocab_token(const ct_vocab *v, int id)
{
    return v && id >= 0 && id < v->size ? v->entries[id].token : UNKNOWN;
}

int64_t ct_vocab_count(const ct_vocab *v, int id)
{
    return v && id >= 0 && id < v->size ? v->entries[id].count : 0;
}

int64_t ct_vocab_encode(const ct_vocab *v, const char *characters, size_t size, int32_t *ids)
{
    int64_t unknown = 0;
    size_t i;

    if (!v)
        return 0;
    for (i = 0; i < size; i++) {
        ids[i] = v->id_of[(unsigned char)characters[i]];
        unknown += ids[i] == v->unknown;
    }
    return unknown;
}

char *ct_vocab_decode(const ct_vocab *v, const int32_t *ids, size_t count)
{
    size_t n = 1, i;
    char *out, *end;

    if (!v || (!ids && count)) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_vocab_decode", "%s is NULL", v ? "ids" : "v");
        return NULL;
    }
    for (i = 0; i < count; i++)
        n += strlen(ct_vocab_token(v, ids[i]));
    out = end = cti_calloc(n, 1);
    if (!out)
        cti_out_of_memory("ct_vocab_decode", n);
    for (i = 0; out && i < count; i++)
        end = stpcpy(end, ct_vocab_token(v, ids[i]));
    return out;
}

/* ---- corpora ---- */

/* Turns the characters into the corpus's vocabulary and ids. */
static bool index_characters(ct_corpus *c, const char *s, size_t size, const ct_corpus_options *o)
{
    c->vocab = new_vocab("ct_corpus_new", s, size, &o->vocab);
    if (!c->vocab)
        return false;
    if (o->max_tokens && size > (uint64_t)o->max_tokens)
        size = (size_t)o->max_tokens;
    c->ids = cti_calloc(size, sizeof *c->ids);
    if (!c->ids) {
        cti_out_of_memory("ct_corpus_new", size * sizeof *c->ids);
        return false;
    }
    ct_vocab_encode(c->vocab, s, size, c->ids);
    c->size = (int64_t)size;
    return true;
}

/* Cleans the text into out, which has room for all of it, and indexes what is left. */
static bool fill(ct_corpus *c, const ct_text *text, char *out, const ct_corpus_options *o)
{
    const char *s = ct_text_bytes(text);
    size_t size = ct_text_size(text), n = clean(o->clean, s, size, out);

    if (n == 0) {
        ct_raise(CT_ERR_FORMAT, "ct_corpus_new", "cleaning leaves nothing of the text");
        return false;
    }
    c->invalid = count_invalid(s, size);
    return index_characters(c, out, n, o);
}

static bool check_corpus_options(const ct_corpus_options *o)
{
    if (o->clean != CT_CLEAN_TEXT && o->clean != CT_CLEAN_LINES && o->clean != CT_CLEAN_NONE)
        ct_raise(CT_ERR_ARGUMENT, "ct_corpus_new", "there is no cleaning %d", (int)o->clean);
    else if (o->max_tokens < 0)
        ct_raise(CT_ERR_ARGUMENT, "ct_corpus_new", "max_tokens %lld is negative",
                 (long long)o->max_tokens);
    else
        return check_options("ct_corpus_new", &o->vocab);
    return false;
}

ct_corpus *ct_corpus_new(const ct_text *text, ct_corpus_options options)
{
    ct_corpus *c;
    char *out;
    bool ok;

    if (!text) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_corpus_new", "text is NULL");
        return NULL;
    }
    if (!check_corpus_options(&options))
        return NULL;
    c = cti_calloc(1, sizeof *c);
    out = cti_calloc(ct_text_size(text), 1);
    ok = c && out;
    if (!ok)
        cti_out_of_memory("ct_corpus_new", sizeof *c + ct_text_size(text));
    ok = ok && fill(c, text, out, &options);
    cti_release(out);
    if (ok)
        return c;
    ct_corpus_free(c);
    return NULL;
}

void ct_corpus_free(ct_corpus *c)
{
    if (!c)
        return;
    ct_vocab_free(c->vocab);
    cti_release(c->ids);
    cti_release(c);
}

const ct_vocab *ct_corpus_vocab(const ct_corpus *c)
{
    return c ? c->vocab : NULL;
}

int64_t ct_corpus_size(const ct_corpus *c)
{
    return c ? c->size : 0;
}

const int32_t *ct_corpus_ids(const ct_corpus *c)
{
    return c ? c->ids : NULL;
}

int64_t ct_corpus_invalid_bytes(const ct_corpus *c)
{
    return c ? c->invalid : 0;
}
