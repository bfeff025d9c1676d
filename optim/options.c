/* SPDX-License-Identifier: MIT */
/* options.c - checks tables of optimisers, and reads and writes their options: defaults, ranges,
 * values by name. Structs of options are accessed only through their table, so that no other code
 * lists the options. */
#include "optim/internal.h"

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <math.h>
#include <string.h>

const ct_optimizer_option *cti_option_find(const ct_optimizer_table *table, const char *name)
{
    const ct_optimizer_option *option = table->options;

    while (option->name && strcmp(option->name, name) != 0)
        option++;
    return option->name ? option : NULL;
}

double cti_option_get(const ct_optimizer_option *option, const void *options)
{
    const char *field = (const char *)options + option->offset;

    return option->is_flag ? *(const bool *)(const void *)field
                           : *(const double *)(const void *)field;
}

double cti_option_value(const ct_optimizer_table *table, const void *options, const char *name)
{
    const ct_optimizer_option *option = cti_option_find(table, name);

    return option ? cti_option_get(option, options) : 0;
}

void cti_option_set(const ct_optimizer_option *option, void *options, double value)
{
    char *field = (char *)options + option->offset;

    if (option->is_flag)
        *(bool *)(void *)field = value != 0;
    else
        *(double *)(void *)field = value != 0 ? value : CT_ZERO;
}

bool cti_option_check(const char *function, const ct_optimizer_option *option, double v)
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

/* Sets one option to its default if it is 0. */
static bool option_settle(const char *function, const ct_optimizer_option *option, void *options)
{
    double *v = (double *)(void *)((char *)options + option->offset);

    if (option->is_flag)
        return true;
    *v = cti_option(*v, option->default_value);
    return cti_option_check(function, option, *v);
}

bool cti_options_settle(const char *function, const ct_optimizer_table *table, void *options)
{
    const ct_optimizer_option *option;

    for (option = table->options; option->name; option++)
        if (!option_settle(function, option, options))
            return false;
    if (!table->check || table->check(function, options))
        return true;
    if (ct_ok())
        ct_raise(CT_ERR_ARGUMENT, function,
                 "%s: check refused the options without raising an error",
                 cti_quote(table->name).s);
    return false;
}

/* ---- checks of a table ---- */

static bool table_refuse(const char *function, const ct_optimizer_table *table, const char *what,
                         const char *why)
{
    ct_raise(CT_ERR_ARGUMENT, function, "the table of %s: %s %s",
             table->name ? cti_quote(table->name).s : "an optimiser", what, why);
    return false;
}

static bool table_check_option(const char *function, const ct_optimizer_table *table,
                               const ct_optimizer_option *option)
{
    size_t size = option->is_flag ? sizeof(bool) : sizeof(double);

    if (table->options_size < size || option->offset > table->options_size - size ||
        (!option->is_flag && option->offset % _Alignof(double) != 0))
        return table_refuse(function, table, option->name, "lies outside its struct of options");
    if (cti_option_find(table, option->name) != option)
        return table_refuse(function, table, option->name, "is listed twice");
    if (!option->is_flag &&
        !(option->default_value >= option->low && option->default_value < option->high))
        return table_refuse(function, table, option->name, "has a default outside its range");
    return true;
}

static bool table_check_state(const char *function, const ct_optimizer_table *table, int k)
{
    const ct_optimizer_state_kind *kind = &table->states[k];
    bool is_new = strcmp(kind->name, "step") != 0;

    for (int i = 0; i < k; i++)
        is_new = is_new && strcmp(kind->name, table->states[i].name) != 0;
    if (!is_new)
        return table_refuse(function, table, kind->name, "is the name of another state");
    if (!*kind->name || strpbrk(kind->name, ". "))
        return table_refuse(function, table, "the name of a state",
                            "is empty or has a dot or space");
    if ((kind->only && !cti_option_find(table, kind->only)) ||
        (kind->initial_option && !cti_option_find(table, kind->initial_option)))
        return table_refuse(function, table, kind->name, "refers to an option that is not listed");
    return true;
}

bool cti_optimizer_table_check(const char *function, const ct_optimizer_table *table)
{
    const ct_optimizer_option *lr, *option = table->options;

    if (!table->name || !*table->name)
        return table_refuse(function, table, "its name", "is NULL or empty");
    if (!option)
        return table_refuse(function, table, "options", "is NULL");
    for (; option->name; option++)
        if (!table_check_option(function, table, option))
            return false;
    lr = cti_option_find(table, "lr");
    if (!lr || lr->is_flag || !(lr->low >= 0))
        return table_refuse(function, table, "lr", "must be an option with values of at least 0");
    for (int k = 0; k < CT_OPTIMIZER_STATES && table->states[k].name; k++)
        if (!table_check_state(function, table, k))
            return false;
    if (!table->update == !table->update_all)
        return table_refuse(function, table, "update and update_all",
                            table->update ? "are both given" : "are both NULL");
    if (table->rates ? table->rate_count < 1 || table->rate_count > CT_OPTIMIZER_RATES
                     : table->rate_count != 0)
        return table_refuse(function, table, "rate_count", "does not fit its rates");
    return true;
}

/* ---- the description that is compared on resume ---- */

void cti_optimizer_describe(const ct_optimizer *o, cti_entries *e, bool present)
{
    const ct_optimizer_option *option;

    cti_buffer_print(cti_entries_add(e, "algorithm"), "%s", o->table->name);
    for (option = o->table->options; option->name; option++) {
        double v = cti_option_get(option, o->options);

        if (option->is_flag)
            cti_buffer_print(cti_entries_add(e, "%s", option->name), v != 0 ? "true" : "false");
        else
            cti_buffer_number(cti_entries_add(e, "%s", option->name),
                              present && strcmp(option->name, "lr") == 0 ? o->lr : v);
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
