/* SPDX-License-Identifier: MIT */
/* history.c - the results of the epochs of a run, its CSV file and its curve. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "train/append_file.h"
#include "tensor/buffer.h"
#include "train/history.h"

#include <cotangent/train/plot.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const me = "ct_fit";

/* ---- columns ---- */

cti_column_name cti_history_column_name(const cti_history *h, int column)
{
    static const char *const names[CTI_COLUMNS] = {
        [CTI_EPOCH] = "epoch",
        [CTI_STEP] = "step",
        [CTI_TOKENS] = "tokens",
        [CTI_LOSS] = "train_loss",
        [CTI_PERPLEXITY] = "train_perplexity",
        [CTI_BITS] = "train_bits",
        [CTI_VAL_LOSS] = "val_loss",
        [CTI_VAL_PERPLEXITY] = "val_perplexity",
        [CTI_VAL_BITS] = "val_bits",
        [CTI_NORM] = "grad_norm",
        [CTI_CLIPPED] = "clipped",
        [CTI_LR] = "lr",
        [CTI_RATE] = "tokens_per_second",
        [CTI_SECONDS] = "seconds",
    };
    cti_column_name name;

    if (column < CTI_METRIC)
        snprintf(name.s, sizeof name.s, "%s", names[column]);
    else
        snprintf(name.s, sizeof name.s, "%s_%.64s", (column - CTI_METRIC) % 2 ? "val" : "train",
                 h->metric[(column - CTI_METRIC) / 2]);
    return name;
}

int cti_history_columns(const cti_history *h)
{
    return CTI_COLUMNS + 2 * h->metrics;
}

int cti_history_clock(const cti_history *h)
{
    return CTI_CLOCK + 2 * h->metrics;
}

int cti_history_column_at(const cti_history *h, int place)
{
    if (place < CTI_CLOCK)
        return place;
    return place < cti_history_clock(h) ? CTI_METRIC + place - CTI_CLOCK : place - 2 * h->metrics;
}

/* ---- rows ---- */

bool cti_history_add(cti_history *h, const ct_fit_result *r)
{
    double row[CTI_WIDTH] = {
        (double)r->epochs,    (double)r->steps, (double)r->tokens,  r->loss,
        r->perplexity,        r->bits,          r->validation_loss, r->validation_perplexity,
        r->validation_bits,   r->gradient_norm, r->clipped,         r->lr,
        r->tokens_per_second, r->seconds
    };

    for (int i = 0; i < r->metric_count; i++) {
        row[CTI_METRIC + 2 * i] = r->metrics[i];
        row[CTI_METRIC + 2 * i + 1] = r->validation_metrics[i];
    }
    if (h->count == h->room) {
        int64_t room = 2 * h->room + 16;
        size_t bytes = sizeof *h->row;
        void *more = cti_realloc(h->row, (size_t)h->count * bytes, (size_t)room * bytes);

        if (!more) {
            cti_out_of_memory(me, (size_t)room * bytes);
            return false;
        }
        h->row = more;
        h->room = room;
    }
    memcpy(h->row[h->count++], row, sizeof row);
    return true;
}

void cti_history_free(cti_history *h)
{
    cti_release(h->row);
    h->row = NULL;
    h->count = h->room = 0;
}

double *cti_history_column(const cti_history *h, int column)
{
    double *values = cti_calloc((size_t)h->count + 1, sizeof *values);

    if (!values)
        cti_out_of_memory(me, (size_t)h->count * sizeof *values);
    for (int64_t i = 0; values && i < h->count; i++)
        values[i] = h->row[i][column];
    return values;
}

ct_status cti_history_plot(const cti_history *h, const char *path)
{
    bool losses = h->count > 0 && isnan(h->row[h->count - 1][CTI_PERPLEXITY]);
    const ct_plot_options o = { .x_label = "epoch", .y_label = losses ? "loss" : "perplexity" };
    double *x = cti_history_column(h, CTI_EPOCH);
    double *y = cti_history_column(h, losses ? CTI_LOSS : CTI_PERPLEXITY);
    double *val = cti_history_column(h, losses ? CTI_VAL_LOSS : CTI_VAL_PERPLEXITY);
    const ct_plot_series series[2] = {
        { .name = "train", .count = h->count, .x = x, .y = y },
        { .name = "validation", .count = h->count, .x = x, .y = val }
    };
    bool validated = val && h->count > 0 && !isnan(val[h->count - 1]);
    ct_status status = ct_ok() ? ct_plot_save(path, o, 1 + validated, series) : ct_error();

    cti_release(x);
    cti_release(y);
    cti_release(val);
    return status;
}

/* ---- the CSV file ---- */

static void history_print_names(cti_buffer *b, const cti_history *h)
{
    for (int i = 0; i < cti_history_columns(h); i++)
        cti_buffer_print(b, "%s%s", i ? "," : "",
                         cti_history_column_name(h, cti_history_column_at(h, i)).s);
    cti_buffer_print(b, "\n");
}

static void history_print_row(cti_buffer *b, const cti_history *h, const double *row)
{
    for (int i = 0; i < cti_history_columns(h); i++) {
        double x = row[cti_history_column_at(h, i)];

        if (i)
            cti_buffer_print(b, ",");
        if (!isnan(x))
            cti_buffer_number(b, x);
    }
    cti_buffer_print(b, "\n");
}

/* The length of the line at s with its newline; 0 for a line without one. */
static size_t history_line_length(const char *s)
{
    const char *end = strchr(s, '\n');

    return end ? (size_t)(end - s) + 1 : 0;
}

/* Searches the old file from *old on for the line of a row's epoch, and sets *old to it. Returns the line
 * if its numbers are those of the row; it is kept because it also has the times. Otherwise NULL. */
static const char *history_old_line(const char **old, const cti_history *h, const double *row)
{
    cti_buffer b = { 0 };
    size_t same = 0;

    while (history_line_length(*old) && !((double)strtoll(*old, NULL, 10) >= row[CTI_EPOCH]))
        *old += history_line_length(*old);
    history_print_row(&b, h, row);
    for (int commas = 0; !b.failed && commas < cti_history_clock(h); same++)
        commas += b.bytes[same] == ',';
    if (b.failed || !history_line_length(*old) || strncmp(*old, b.bytes, same) != 0)
        same = 0;
    cti_buffer_free(&b);
    return same ? *old : NULL;
}

ct_status cti_csv_open(cti_csv *f, const char *path, const cti_history *h, bool resumed)
{
    cti_buffer b = { 0 };
    char *old = NULL;
    const char *at;

    *f = (cti_csv){ path, -1 };
    if (!path)
        return CT_OK;
    if (resumed)
        old = cti_read_old(me, path, NULL);
    at = old;
    history_print_names(&b, h);
    for (int64_t i = 0; i < h->count; i++) {
        const char *line = old ? history_old_line(&at, h, h->row[i]) : NULL;

        if (line)
            cti_buffer_add(&b, line, history_line_length(line));
        else
            history_print_row(&b, h, h->row[i]);
    }
    if (ct_ok() && cti_buffer_save(&b, me, path) == CT_OK)
        f->fd = cti_append_open(me, path);
    cti_buffer_free(&b);
    cti_release(old);
    return ct_error();
}

ct_status cti_csv_add(cti_csv *f, const cti_history *h)
{
    cti_buffer b = { 0 };

    if (f->fd < 0)
        return CT_OK;
    history_print_row(&b, h, h->row[h->count - 1]);
    cti_append(me, f->path, f->fd, &b);
    cti_buffer_free(&b);
    return ct_error();
}

void cti_csv_close(cti_csv *f)
{
    cti_append_close(f->fd);
    f->fd = -1;
}
