/* options.c - the options of algorithms: defaults, ranges, values by name. An options struct is
 * read and written by the table of its algorithm alone, so that nothing lists options a second
 * time. */
#include "optim/internal.h"

#include "tensor/hooks.h"

#include <math.h>
#include <string.h>

const cti_option_field *cti_option_find(const cti_algorithm *a, const char *name)
{
    const cti_option_field *option = a->option;

    while (option->name && strcmp(option->name, name) != 0)
        option++;
    return option->name ? option : NULL;
}

double cti_option_get(const cti_option_field *option, const void *options)
{
    const char *field = (const char *)options + option->offset;

    return option->flag ? *(const bool *)(const void *)field : *(const double *)(const void *)field;
}

double cti_option_value(const cti_algorithm *a, const void *options, const char *name)
{
    const cti_option_field *option = cti_option_find(a, name);

    return option ? cti_option_get(option, options) : 0;
}

void cti_option_set(const cti_option_field *option, void *options, double value)
{
    char *field = (char *)options + option->offset;

    if (option->flag)
        *(bool *)(void *)field = value != 0;
    else
        *(double *)(void *)field = value != 0 ? value : CT_ZERO;
}

bool cti_option_check(const char *function, const cti_option_field *option, double v)
{
    if (v >= option->low && v < option->high)
        return true;
    if (option->high < INFINITY)
        ct_raise(CT_ERR_ARGUMENT, function, "%s is %g; it must be at least %g and less than %g",
                 option->name, v, option->low, option->high);
    else if (option->low >= 0)
        ct_raise(CT_ERR_ARGUMENT, function, "%s is %g; it must be finite and at least %g",
                 option->name, v, option->low);
    else
        ct_raise(CT_ERR_ARGUMENT, function, "%s is %g; it must be finite", option->name, v);
    return false;
}

/* Gives one option its default if it was left 0. */
static bool option_settle(const char *function, const cti_option_field *option, void *options)
{
    double *v = (double *)(void *)((char *)options + option->offset);

    if (option->flag)
        return true;
    *v = cti_option(*v, option->usual);
    return cti_option_check(function, option, *v);
}

bool cti_options_settle(const char *function, const cti_algorithm *a, void *options)
{
    const cti_option_field *option;

    for (option = a->option; option->name; option++)
        if (!option_settle(function, option, options))
            return false;
    return !a->check || a->check(function, options);
}

/* ---- what two optimisers must have in common ---- */

void cti_optimizer_describe(const ct_optimizer *o, cti_entries *e)
{
    const cti_option_field *option;

    cti_buffer_print(cti_entries_add(e, "algorithm"), "%s", o->algorithm->title);
    for (option = o->algorithm->option; option->name; option++) {
        double v = cti_option_get(option, o->options);

        if (option->flag)
            cti_buffer_print(cti_entries_add(e, "%s", option->name), v != 0 ? "true" : "false");
        else
            cti_buffer_number(cti_entries_add(e, "%s", option->name),
                              strcmp(option->name, "lr") == 0 ? o->lr : v);
    }
    for (int i = 0; i < o->groups; i++) {
        const cti_group *g = &o->group[i];
        cti_buffer *b = cti_entries_add(e, "group %d", i + 1);

        cti_buffer_add(b, g->pattern, strlen(g->pattern));
        if (g->own_lr) {
            cti_buffer_print(b, ", lr ");
            cti_buffer_number(b, g->lr);
        }
        if (g->own_decay) {
            cti_buffer_print(b, ", weight_decay ");
            cti_buffer_number(b, g->weight_decay);
        }
    }
    if (o->schedule)
        cti_schedule_describe(o->schedule, cti_entries_add(e, "schedule"));
}
