/* SPDX-License-Identifier: MIT */
/* clean.c - cleaning: by ASCII as d2l.ai's chapter does, or by Unicode. */
#include "tensor/internal.h"

#include "data/clean.h"

#include "data/utf8.h"
#include "tensor/hooks.h"

#include <string.h>

static const char *const names[] = {
    [CT_CLEAN_TEXT] = "text",       [CT_CLEAN_LINES] = "lines", [CT_CLEAN_NONE] = "none",
    [CT_CLEAN_LETTERS] = "letters", [CT_CLEAN_FOLD] = "fold",
};
enum { KINDS = sizeof names / sizeof *names };

const char *ct_clean_name(ct_clean clean)
{
    return (unsigned)clean < KINDS ? names[clean] : "?";
}

int ct_clean_from_name(const char *name)
{
    int i;

    for (i = 0; i < KINDS; i++)
        if (name && strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* The ASCII letter c in lower case, or 0 for any other character. Independent of the locale. */
static char clean_letter(unsigned char c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? (char)c : 0;
}

/* re.sub('[^A-Za-z]+', ' ', text).lower() */
static size_t clean_text(const char *s, size_t size, char *out)
{
    size_t i, n = 0;

    for (i = 0; i < size; i++) {
        char c = clean_letter((unsigned char)s[i]);

        if (c)
            out[n++] = c;
        else if (n == 0 || out[n - 1] != ' ')
            out[n++] = ' ';
    }
    return n;
}

/* join.join(re.sub('[^A-Za-z]+', ' ', line).strip().lower() for line in text), where lines end as
 * in Python's universal newlines. join is a space if `spaced` is true, else nothing; spaces at both
 * ends are dropped. */
static size_t clean_lines(const char *s, size_t size, bool spaced, char *out)
{
    /* begun: the line has had a letter; gap: other characters came after its last letter */
    bool begun = false, gap = false;
    size_t i, n = 0;

    for (i = 0; i < size; i++) {
        char c = clean_letter((unsigned char)s[i]);

        if (c) {
            if (begun ? gap : spaced && n > 0)
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

bool cti_clean_check(const char *function, ct_clean how)
{
    if ((unsigned)how >= KINDS)
        ct_raise(CT_ERR_ARGUMENT, function, "clean is %d; it must be in 0..%d", (int)how,
                 (int)KINDS - 1);
    else if ((how == CT_CLEAN_LETTERS || how == CT_CLEAN_FOLD) && !cti_has_unicode())
        ct_raise(CT_ERR_ARGUMENT, function,
                 "cleaning \"%s\" needs libutf8proc, which this build does not have", names[how]);
    else
        return true;
    return false;
}

char *cti_clean(const char *function, ct_clean how, bool words, const char *s, size_t size,
                size_t *cleaned_size)
{
    bool folds = how == CT_CLEAN_LETTERS || how == CT_CLEAN_FOLD;
    char *out = folds ? cti_utf8_fold(s, size, how == CT_CLEAN_LETTERS, cleaned_size)
                      : cti_calloc(size + 1, 1);

    if (!out) {
        cti_out_of_memory(function, size + 1);
        return NULL;
    }
    if (how == CT_CLEAN_TEXT)
        *cleaned_size = clean_text(s, size, out);
    else if (how == CT_CLEAN_LINES)
        *cleaned_size = clean_lines(s, size, words, out);
    else if (how == CT_CLEAN_NONE)
        memcpy(out, s, *cleaned_size = size);
    return out;
}

char *ct_clean_apply(ct_clean clean, const char *text, size_t size, size_t *cleaned_size)
{
    size_t unwanted;

    if (cleaned_size)
        *cleaned_size = 0;
    if (!text && size) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_clean_apply", "text is NULL");
        return NULL;
    }
    if (!cti_clean_check("ct_clean_apply", clean))
        return NULL;
    return cti_clean("ct_clean_apply", clean, false, text ? text : "", size,
                     cleaned_size ? cleaned_size : &unwanted);
}
