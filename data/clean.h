/* SPDX-License-Identifier: MIT */
/* clean.h - functions that ct_clean_apply and ct_corpus_new share. (internal) */
#ifndef COTANGENT_DATA_CLEAN_H
#define COTANGENT_DATA_CLEAN_H

#include <cotangent/data/vocab.h>

/* Checks that the cleaning exists and is supported by this build; false with an error. */
bool cti_clean_check(const char *function, ct_clean how);

/* Cleans size bytes and returns them with a NUL after *cleaned_size bytes. The caller has checked
 * `how`, and frees the result with cti_release. words is true if the text will be split at white
 * space. NULL with CT_ERR_MEMORY. */
char *cti_clean(const char *function, ct_clean how, bool words, const char *s, size_t size,
                size_t *cleaned_size);

#endif
