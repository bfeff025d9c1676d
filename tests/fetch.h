/* fetch.h - what test_data.c, fetch.c and tokens.c share: a folder for each test, expectations. */
#ifndef COTANGENT_TESTS_FETCH_H
#define COTANGENT_TESTS_FETCH_H

#include "tests/files.h"

#include <stdbool.h>
#include <stddef.h>

#include <check.h>

#include <cotangent/data/text.h>

#include "tests/harness.h"

#define BOOK_BYTES "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516"

/* The tests of texts: reading, checking, and where The Time Machine comes from. */
TCase *text_cases(void);

/* The tests of tokens and of cleaning by Unicode. */
TCase *token_cases(void);

/* The corpus in the COTANGENT_DATA_DIR of the environment; NULL without it. */
extern const char *known_path;
void find_known(void);
bool without_corpus(const char *test); /* says that the test is skipped, if it must be */

/* Around each test: a folder of its own; no text but what the test makes, and no way out to the
 * network; the harness's fixture too. */
void setup(void);
void teardown(void);
char *in_folder(const char *name); /* a path in it, good for some calls */

/* size letters and spaces without a pattern, to be freed. */
char *prose(size_t size);

/* part is in text. */
#define EXPECT_IN(text, part) expect_in(__LINE__, text, part)
void expect_in(int line, const char *text, const char *part);

#endif
