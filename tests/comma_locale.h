/* comma_locale.h - a locale whose decimal mark is a comma. */
#ifndef TESTS_COMMA_LOCALE_H
#define TESTS_COMMA_LOCALE_H

#include <stdbool.h>

/* Chooses it: one that is installed, else one that localedef makes in a temporary folder. False,
 * after a line that says so, if the system has neither. */
bool comma_locale_begin(void);

/* The C locale again. */
void comma_locale_end(void);

#endif
