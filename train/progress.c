/* SPDX-License-Identifier: MIT */
/* progress.c - the progress of a run: plain lines, and a live line on a terminal. */
#include "tensor/internal.h"

#include "tensor/text.h"
#include "train/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

double cti_now(void)
{
    return (double)cti_nanoseconds() * 1e-9;
}

bool cti_progress_due(int64_t epoch, int64_t max_epochs)
{
    return epoch == 1 || epoch == 2 || epoch == 5 || epoch % 10 == 0 || epoch == max_epochs;
}

/* ---- parts of both kinds of line ---- */

/* The width of a line on a terminal: one column for each UTF-8 character. */
static int progress_columns(const cti_line *l)
{
    int columns = 0;

    for (size_t i = 0; i < l->n; i++)
        columns += ((unsigned char)l->s[i] & 0xc0) != 0x80;
    return columns;
}

static int progress_digits(int64_t n)
{
    return n < 10 ? 1 : 1 + progress_digits(n / 10);
}

static void progress_put_epoch(cti_line *l, const cti_progress *b, int64_t epoch)
{
    cti_line_add(l, "epoch %*lld/%lld", progress_digits(b->max_epochs), (long long)epoch,
                 (long long)b->max_epochs);
}

/* Four significant digits: a change is visible in small and in large losses. */
static void progress_put_loss(cti_line *l, const char *name, double loss)
{
    char number[24];

    snprintf(number, sizeof number, "%#.4g", loss);
    cti_line_add(l, "  %s %9s", name, number);
}

static void progress_put_metrics(cti_line *l, const ct_fit_result *r)
{
    for (int i = 0; i < r->metric_count; i++) {
        if (!isnan(r->metrics[i]))
            progress_put_loss(l, r->metric_names[i], r->metrics[i]);
        if (!isnan(r->validation_metrics[i]))
            progress_put_loss(l, "validation", r->validation_metrics[i]);
    }
}

static void progress_put_numbers(cti_line *l, const cti_progress *b, const ct_fit_result *r,
                                 double epochs)
{
    double done = epochs - b->from, left = 0;

    if (done > 0)
        left = (cti_now() - b->begun) / done * ((double)b->max_epochs - epochs);
    if (isnan(r->perplexity)) {
        progress_put_loss(l, "loss", r->loss);
        if (!isnan(r->validation_loss))
            progress_put_loss(l, "validation", r->validation_loss);
    } else {
        cti_line_add(l, "  perplexity %6.2f", r->perplexity);
        if (!isnan(r->validation_perplexity))
            cti_line_add(l, "  validation %6.2f", r->validation_perplexity);
    }
    progress_put_metrics(l, r);
    cti_line_add(l, "  %9.0f %s/s", r->tokens_per_second,
                 isnan(r->perplexity) ? "targets" : "tokens");
    if (left >= 90)
        cti_line_add(l, "  %.0f min left", ceil(left / 60));
    else
        cti_line_add(l, "  %.0f s left", ceil(left));
}

/* ---- the live line ---- */

/* A bar that grows by eighths of a column. */
static void progress_put_bar(cti_line *l, const cti_progress *b, double part)
{
    static const char *const eighths[9] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
    int width = 10, filled = (int)(part * width * 8 + 0.5);

    cti_line_add(l, " [");
    for (int i = 0; i < width; i++) {
        int here = filled - 8 * i;

        here = here < 0 ? 0 : here > 8 ? 8 : here;
        cti_line_add(l, "%s", b->unicode ? eighths[here] : here >= 4 ? "#" : ".");
    }
    cti_line_add(l, "]");
}

/* The mean loss of column i of n. */
static double progress_height(const cti_history *h, const ct_fit_result *now, int i, int n)
{
    int64_t count = h->count + 1, from = i * count / n, to = (i + 1) * count / n, k;
    double sum = 0;

    for (k = from; k < to; k++)
        sum += k < h->count ? h->row[k][CTI_LOSS] : now->loss;
    return sum / (double)(to - from);
}

/* The curve of losses so far, at most n columns. */
static void progress_put_curve(cti_line *l, const cti_progress *b, const cti_history *h,
                               const ct_fit_result *now, int n)
{
    static const char *const blocks[8] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const plain[8] = { ".", ":", "-", "=", "+", "*", "%", "#" };
    double low = INFINITY, high = -INFINITY;

    n = h->count + 1 < n ? (int)h->count + 1 : n;
    for (int i = 0; i < n; i++) {
        low = fmin(low, progress_height(h, now, i, n));
        high = fmax(high, progress_height(h, now, i, n));
    }
    cti_line_add(l, "  ");
    for (int i = 0; i < n; i++) {
        double part = (progress_height(h, now, i, n) - low) / (high - low) * 7 + 0.5;

        cti_line_add(l, "%s", (b->unicode ? blocks : plain)[part >= 0 && part < 8 ? (int)part : 0]);
    }
}

static int progress_terminal_width(const cti_progress *b)
{
    struct winsize size;

    if (ioctl(fileno(b->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

void cti_progress_step(cti_progress *b, double epochs, const ct_fit_result *so_far,
                       const cti_history *h)
{
    int width, room;
    cti_line l = { .n = 0 };

    if (!b->live || cti_now() - b->last < 0.1)
        return;
    b->last = cti_now();
    width = progress_terminal_width(b);
    progress_put_epoch(&l, b, (int64_t)ceil(epochs));
    progress_put_bar(&l, b, epochs - floor(epochs) > 0 ? epochs - floor(epochs) : 1);
    progress_put_numbers(&l, b, so_far, epochs);
    room = width - progress_columns(&l) - 3;
    if (room >= 4)
        progress_put_curve(&l, b, h, so_far, room > 32 ? 32 : room);
    if (progress_columns(&l) >= width) { /* too narrow: without the bar, cut at the width */
        l = (cti_line){ .n = 0 };
        progress_put_epoch(&l, b, (int64_t)ceil(epochs));
        progress_put_numbers(&l, b, so_far, epochs);
        if (progress_columns(&l) >= width)
            l.s[width - 1] = '\0';
    }
    fprintf(b->out, "\r%s\033[K", l.s);
    fflush(b->out);
    b->drawn = true;
}

void cti_progress_end(cti_progress *b)
{
    if (!b->drawn)
        return;
    fputs("\r\033[K", b->out);
    fflush(b->out);
    b->drawn = false;
}

/* ---- a run ---- */

/* Reads the environment, because a library must not call setlocale. */
static bool progress_takes_unicode(void)
{
    static const char *const names[3] = { "LC_ALL", "LC_CTYPE", "LANG" };
    const char *value = NULL, *mark;

    for (int i = 0; i < 3 && !(value && *value); i++)
        value = getenv(names[i]);
    mark = value ? strchr(value, '.') : NULL;
    return mark && (strncasecmp(mark, ".UTF-8", 6) == 0 || strncasecmp(mark, ".utf8", 5) == 0);
}

void cti_progress_begin(cti_progress *b, const ct_trainer *trainer, double epochs)
{
    const char *kind = getenv("TERM");
    FILE *out = trainer->out;
    bool terminal = out && fileno(out) >= 0 && isatty(fileno(out));

    *b = (cti_progress){
        .out = out, .max_epochs = trainer->max_epochs, .begun = cti_now(), .from = epochs
    };
    b->live = terminal && !trainer->plain && kind && *kind && strcmp(kind, "dumb") != 0;
    b->unicode = progress_takes_unicode();
}

void cti_progress_epoch(cti_progress *b, const ct_fit_result *r, bool last)
{
    cti_line l = { .n = 0 };

    if (!b->out || !(last || cti_progress_due(r->epochs, b->max_epochs)))
        return;
    cti_progress_end(b);
    progress_put_epoch(&l, b, r->epochs);
    progress_put_numbers(&l, b, r, (double)r->epochs);
    fprintf(b->out, "%s\n", l.s);
    fflush(b->out);
}
