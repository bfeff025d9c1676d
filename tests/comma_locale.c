/* SPDX-License-Identifier: MIT */
/* comma_locale.c - a locale whose decimal mark is a comma. */
#include "tests/comma_locale.h"

#include <check.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool comma_locale_is_set(const char *name)
{
    return setlocale(LC_ALL, name) && strcmp(localeconv()->decimal_point, ",") == 0;
}

/* setlocale reads LOCPATH and the files; they are not needed afterwards. */
static bool comma_locale_make(void)
{
    char folder[] = "/tmp/cotangent-locale-XXXXXX", command[200];
    bool made;

    if (!mkdtemp(folder))
        return false;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null",
             folder);
    made = system(command) >= 0 && setenv("LOCPATH", folder, 1) == 0 &&
           comma_locale_is_set("de_DE.UTF-8");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert(system(command) == 0);
    return made;
}

bool comma_locale_begin(void)
{
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ps_AF" };
    char text[8];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (comma_locale_is_set(names[i]))
            return true;
    if (!comma_locale_make()) {
        printf("skipped: there is no locale with a decimal comma, and localedef makes none\n");
        comma_locale_end();
        return false;
    }
    snprintf(text, sizeof text, "%.1f", 1.5);
    ck_assert_str_eq(text, "1,5");
    return true;
}

void comma_locale_end(void)
{
    setlocale(LC_ALL, "C");
}
