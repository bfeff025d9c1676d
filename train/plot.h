/* SPDX-License-Identifier: MIT */
/* plot.h - line plots as SVG files.
 *
 *     ct_plot_series lines[] = { { .name = "train", .count = n, .x = epoch, .y = train },
 *                                { .name = "validation", .count = n, .x = epoch, .y = val } };
 *     if (ct_plot_save("curve.svg", (ct_plot_options){ .x_label = "epoch" }, 2, lines) != CT_OK)
 *         ...
 */
#ifndef COTANGENT_TRAIN_PLOT_H
#define COTANGENT_TRAIN_PLOT_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One line: count points, joined in this order. A point is skipped, and its neighbours are joined,
 * if x or y is not finite, is beyond 1e300, or is not above 0 on a logarithmic axis. */
typedef struct ct_plot_series {
    const char *name; /* for the legend; NULL: no entry */
    int64_t count;
    const double *x, *y;
    bool points; /* dots instead of a line; a single point is always a dot */
} ct_plot_series;

typedef struct ct_plot_options {
    const char *title, *x_label, *y_label; /* NULL: none */
    bool log_x, log_y;
    int width, height; /* pixels, 200 to 10000; default 640 and 400 */
} ct_plot_options;

/* Writes the plot of count series to path. If writing fails, the file at path is not changed. The
 * colours and dashes are those of the chapter's figures, in turn: solid blue, dashed orange...
 *
 * Each series is one element of class "series" (<polyline>, or <g> of dots). Its attributes data-x
 * and data-y list the points, except skipped ones, in the fewest digits that read back the same.
 * Each tick of an axis is a <g> of class "tick-x" or "tick-y" with its value in data-value and a
 * <line> at its position.
 *
 * Does nothing while an error is recorded. CT_ERR_ARGUMENT for a negative count, a NULL, a size out
 * of range or text that is not UTF-8; CT_ERR_IO, CT_ERR_MEMORY. */
ct_status ct_plot_save(const char *path, ct_plot_options options, int count,
                       const ct_plot_series *series) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
