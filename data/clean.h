/* clean.h - what ct_clean_apply and ct_corpus_new share. (internal) */
#ifndef COTANGENT_DATA_CLEAN_H
#define COTANGENT_DATA_CLEAN_H

#include <cotangent/data/vocab.h>

/* False, with the error, for a cleaning that is none, or that this build has not. */
bool cti_clean_check(const char *function, ct_clean how);

/* size bytes, cleaned as above has checked, with a NUL after *cleaned_size; words: they are to be
 * cut at white space. To cti_release. NULL with CT_ERR_MEMORY. */
char *cti_clean(const char *function, ct_clean how, bool words, const char *s, size_t size,
                size_t *cleaned_size);

#endif
