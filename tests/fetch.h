/* SPDX-License-Identifier: MIT */
/* fetch.h - for test_data.c, fetch.c and tokens.c: a folder for each test, and expectations. */
#ifndef COTANGENT_TESTS_FETCH_H
#define COTANGENT_TESTS_FETCH_H

#include "tests/files.h"

#include <stdbool.h>
#include <stddef.h>

#include <check.h>

#include <cotangent/data/text.h>

#include "tests/harness.h"

#define BOOK_BYTES "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516"

/* The tests of texts: reading, checking, and finding The Time Machine. */
TCase *text_cases(void);

/* The tests of tokens and of Unicode cleaning. */
TCase *token_cases(void);

/* The corpus in the COTANGENT_DATA_DIR of the environment; NULL without it. */
extern const char *known_path;
void find_known(void);
bool without_corpus(const char *test); /* if the corpus is missing, says that the test is skipped
                                        * and returns true */

/* The fixture of each test: a new folder, no text except those that the test makes, no access to
 * the network, and the harness's fixture. */
void setup(void);
void teardown(void);
char *in_folder(const char *name); /* a path in the folder; the buffer is reused after some calls */

/* Returns `size` random letters and spaces, which the caller frees. */
char *prose(size_t size);

/* Checks that text contains part. */
#define EXPECT_IN(text, part) expect_in(__LINE__, text, part)
void expect_in(int line, const char *text, const char *part);

#endif
