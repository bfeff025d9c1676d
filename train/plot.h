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

/* One line: count points, joined in this order. A point is left out, and its neighbours are joined,
 * if x or y is not finite or beyond 1e300, or not above 0 on a logarithmic axis. */
typedef struct ct_plot_series {
    const char *name; /* in the legend; NULL: not there */
    int64_t count;
    const double *x, *y;
    bool points; /* dots instead of a line (a single point is always one) */
} ct_plot_series;

typedef struct ct_plot_options {
    const char *title, *x_label, *y_label; /* NULL: none */
    bool log_x, log_y;
    int width, height; /* pixels, 200..10000; 0: 640, 400 */
} ct_plot_options;

/* Writes the plot of count series to path, whole or not at all. Colours and dashes are, in turn,
 * those of the chapter's figures: solid blue, dashed orange...
 *
 * Each series is one element of class "series" (<polyline>, or <g> of dots) whose attributes data-x
 * and data-y list its points as they were given, in the fewest digits that read back the same, but
 * for those that were left out. An axis's tick is a <g> of class "tick-x" or "tick-y" with its value
 * as data-value, holding a <line> at its place.
 *
 * A sink: does nothing while an error stands. CT_ERR_ARGUMENT for a negative count, a NULL, a size
 * out of range, text that is not UTF-8; CT_ERR_IO, CT_ERR_MEMORY. */
ct_status ct_plot_save(const char *path, ct_plot_options options, int count,
                       const ct_plot_series *series) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
