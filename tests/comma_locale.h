/* SPDX-License-Identifier: MIT */
/* comma_locale.h - a locale whose decimal mark is a comma. */
#ifndef TESTS_COMMA_LOCALE_H
#define TESTS_COMMA_LOCALE_H

#include <stdbool.h>

/* Sets such a locale: an installed one, or one that localedef makes in a temporary folder. If
 * neither is possible, prints a line and returns false. */
bool comma_locale_begin(void);

/* Sets the C locale again. */
void comma_locale_end(void);

#endif
