/* SPDX-License-Identifier: MIT */
/* plot.c - line plots as SVG files: ranges, ticks, and the elements in the order they are drawn. */
#include "tensor/internal.h"

#include "tensor/text.h"
#include "tensor/buffer.h"

#include <cotangent/train/plot.h>

#include <math.h>
#include <string.h>

static const char *const me = "ct_plot_save";

/* An axis maps values, or their logarithms to base 10, from low..high to pixels begin..end. */
typedef struct plot_axis {
    bool log;
    double low, high, begin, end;
} plot_axis;

typedef struct plot_picture {
    const ct_plot_options *o;
    int width, height, count;
    const ct_plot_series *series;
    plot_axis x, y;
    cti_buffer out;
} plot_picture;

static bool plot_usable(const plot_axis *a, double v)
{
    return isfinite(v) && fabs(v) <= 1e300 && !(a->log && v <= 0);
}

static double plot_scaled(const plot_axis *a, double v)
{
    return a->log ? log10(v) : v;
}

static double plot_pixel(const plot_axis *a, double v)
{
    return a->begin + (plot_scaled(a, v) - a->low) / (a->high - a->low) * (a->end - a->begin);
}

static bool plot_has_point(const plot_picture *p, const ct_plot_series *s, int64_t i)
{
    return plot_usable(&p->x, s->x[i]) && plot_usable(&p->y, s->y[i]);
}

/* ---- ranges ---- */

static void plot_include(plot_axis *a, double v)
{
    v = plot_scaled(a, v);
    a->low = v < a->low ? v : a->low;
    a->high = v > a->high ? v : a->high;
}

/* Adds a margin. If all values are equal, the range gets some width; without values it becomes
 * 0..1. */
static void plot_widen(plot_axis *a, double part)
{
    double most = fmax(fabs(a->low), fabs(a->high)), margin;

    if (a->low > a->high) {
        a->low = 0;
        a->high = 1;
    } else if (a->high - a->low <= most * 1e-12) {
        margin = most > 0 ? most / 10 : 1;
        a->low -= margin;
        a->high += margin;
    } else {
        margin = (a->high - a->low) * part;
        a->low -= margin;
        a->high += margin;
    }
}

static void plot_measure(plot_picture *p)
{
    p->x = (plot_axis){ p->o->log_x, INFINITY, -INFINITY, 64, p->width - 20 };
    p->y = (plot_axis){ p->o->log_y, INFINITY, -INFINITY, p->height - 52, p->o->title ? 40 : 18 };
    for (int k = 0; k < p->count; k++)
        for (int64_t i = 0; i < p->series[k].count; i++)
            if (plot_has_point(p, &p->series[k], i)) {
                plot_include(&p->x, p->series[k].x[i]);
                plot_include(&p->y, p->series[k].y[i]);
            }
    plot_widen(&p->x, 0.02);
    plot_widen(&p->y, 0.05);
}

/* ---- text ---- */

/* Escapes text for XML, which allows no control characters, U+FFFE or U+FFFF. */
static void plot_escaped(cti_buffer *b, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '&' || c == '<' || c == '>' || c == '"')
            cti_buffer_print(b, "&#%d;", c);
        else if (c < 0x20 || c == 0x7f)
            cti_buffer_add(b, " ", 1);
        else if (!strncmp(text, "\xef\xbf\xbe", 3) || !strncmp(text, "\xef\xbf\xbf", 3))
            text += 2;
        else
            cti_buffer_add(b, text, 1);
    }
}

static void plot_attribute(cti_buffer *b, const char *name, double pixels)
{
    cti_buffer_print(b, " %s=\"", name);
    cti_buffer_fixed(b, pixels, 2);
    cti_buffer_add(b, "\"", 1);
}

/* Adds text at a position. attributes are further attributes of the tag. */
static void plot_text_at(plot_picture *p, double x, double y, const char *attributes,
                         const char *text)
{
    cti_buffer_print(&p->out, "<text");
    plot_attribute(&p->out, "x", x);
    plot_attribute(&p->out, "y", y);
    cti_buffer_print(&p->out, "%s>", attributes);
    plot_escaped(&p->out, text);
    cti_buffer_print(&p->out, "</text>\n");
}

/* ---- ticks ---- */

/* Returns 1, 2 or 5 times a power of ten, so that the range has about `wanted` steps. */
static double plot_nice_step(double range, int wanted)
{
    double raw = range / wanted, power = pow(10, floor(log10(raw))), times = raw / power;

    return (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10) * power;
}

static void plot_tick(plot_picture *p, const plot_axis *a, double v, int digits)
{
    bool is_x = a == &p->x;
    cti_buffer *b = &p->out;
    double at = plot_pixel(a, v);

    cti_buffer_print(b, "<g class=\"%s\" data-value=\"", is_x ? "tick-x" : "tick-y");
    cti_buffer_number(b, v);
    cti_buffer_print(b, "\"><line stroke=\"#ddd\"");
    plot_attribute(b, "x1", is_x ? at : p->x.begin);
    plot_attribute(b, "x2", is_x ? at : p->x.end);
    plot_attribute(b, "y1", is_x ? p->y.begin : at);
    plot_attribute(b, "y2", is_x ? p->y.end : at);
    cti_buffer_print(b, "/><text");
    plot_attribute(b, "x", is_x ? at : p->x.begin - 6);
    plot_attribute(b, "y", is_x ? p->y.begin + 17 : at + 4);
    cti_buffer_print(b, " text-anchor=\"%s\">", is_x ? "middle" : "end");
    cti_buffer_digits(b, v, digits);
    cti_buffer_print(b, "</text></g>\n");
}

/* Makes ticks at the multiples of a step from low to high. */
static void plot_even_ticks(plot_picture *p, const plot_axis *a, double low, double high,
                            int wanted)
{
    double step = plot_nice_step(high - low, wanted), k = ceil(low / step);
    double digits = ceil(log10(fmax(fabs(low), fabs(high)) / step)) + 1;

    digits = !(digits >= 3) ? 3 : digits > 15 ? 15 : digits;
    for (int n = 0; k * step <= high && n < 4 * wanted; k++, n++)
        plot_tick(p, a, k == 0 ? 0 : k * step, (int)digits);
}

static void plot_log_ticks(plot_picture *p, const plot_axis *a, int wanted)
{
    static const double times[3] = { 1, 2, 5 };
    double span = a->high - a->low, stride = ceil(span / wanted), power = floor(a->low);
    int each = span < 3 ? 3 : 1;

    if (span < 1) {
        plot_even_ticks(p, a, pow(10, a->low), pow(10, a->high), wanted);
        return;
    }
    for (power = floor(power / stride) * stride; power <= a->high; power += stride)
        for (int i = 0; i < each; i++) {
            double at = power + log10(times[i]);

            if (at >= a->low && at <= a->high)
                plot_tick(p, a, times[i] * pow(10, power), 3);
        }
}

static void plot_ticks(plot_picture *p, const plot_axis *a)
{
    int wanted = (int)(fabs(a->end - a->begin) / (a == &p->x ? 80 : 50));

    wanted = wanted < 2 ? 2 : wanted;
    if (a->log)
        plot_log_ticks(p, a, wanted);
    else
        plot_even_ticks(p, a, a->low, a->high, wanted);
}

/* ---- the elements of the plot ---- */

static void plot_frame(plot_picture *p)
{
    cti_buffer *b = &p->out;
    char turned[80];
    double middle = (p->y.begin + p->y.end) / 2;

    cti_buffer_print(b,
                     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                     "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                     "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
                     p->width, p->height, p->width, p->height, p->width, p->height);
    plot_ticks(p, &p->x);
    plot_ticks(p, &p->y);
    cti_buffer_print(b, "<rect fill=\"none\" stroke=\"black\"");
    plot_attribute(b, "x", p->x.begin);
    plot_attribute(b, "y", p->y.end);
    plot_attribute(b, "width", p->x.end - p->x.begin);
    plot_attribute(b, "height", p->y.begin - p->y.end);
    cti_buffer_print(b, "/>\n");
    if (p->o->title)
        plot_text_at(p, p->width / 2.0, 24,
                     " class=\"title\" text-anchor=\"middle\" font-size=\"15\"", p->o->title);
    if (p->o->x_label)
        plot_text_at(p, (p->x.begin + p->x.end) / 2, p->height - 14,
                     " class=\"label-x\" text-anchor=\"middle\"", p->o->x_label);
    if (p->o->y_label) {
        snprintf(turned, sizeof turned,
                 " class=\"label-y\" text-anchor=\"middle\" transform=\"rotate(-90 16 %d)\"",
                 (int)middle);
        plot_text_at(p, 16, (int)middle, turned, p->o->y_label);
    }
}

/* Writes the colour and dashes of series k. */
static void plot_stroke(cti_buffer *b, int k)
{
    static const char *const colors[8] = { "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728",
                                           "#9467bd", "#8c564b", "#e377c2", "#17becf" };
    static const char *const dashes[4] = { "", " stroke-dasharray=\"6 3\"",
                                           " stroke-dasharray=\"7 3 2 3\"",
                                           " stroke-dasharray=\"2 3\"" };

    cti_buffer_print(b, " fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"%s", colors[k % 8],
                     dashes[k % 4]);
}

/* Writes an attribute, such as data-x="1 2 3", with the values of the points that are drawn. */
static void plot_list(plot_picture *p, const ct_plot_series *s, const char *name,
                      const double *values)
{
    const char *space = "";

    cti_buffer_print(&p->out, " %s=\"", name);
    for (int64_t i = 0; i < s->count; i++)
        if (plot_has_point(p, s, i)) {
            cti_buffer_print(&p->out, "%s", space);
            cti_buffer_number(&p->out, values[i]);
            space = " ";
        }
    cti_buffer_print(&p->out, "\"");
}

static void plot_dots(plot_picture *p, const ct_plot_series *s)
{
    for (int64_t i = 0; i < s->count; i++)
        if (plot_has_point(p, s, i)) {
            cti_buffer_print(&p->out, "<circle r=\"2\"");
            plot_attribute(&p->out, "cx", plot_pixel(&p->x, s->x[i]));
            plot_attribute(&p->out, "cy", plot_pixel(&p->y, s->y[i]));
            cti_buffer_print(&p->out, "/>\n");
        }
}

static void plot_line(plot_picture *p, const ct_plot_series *s)
{
    cti_buffer_print(&p->out, " points=\"");
    for (int64_t i = 0; i < s->count; i++)
        if (plot_has_point(p, s, i)) {
            cti_buffer_fixed(&p->out, plot_pixel(&p->x, s->x[i]), 2);
            cti_buffer_add(&p->out, ",", 1);
            cti_buffer_fixed(&p->out, plot_pixel(&p->y, s->y[i]), 2);
            cti_buffer_add(&p->out, " ", 1);
        }
    cti_buffer_print(&p->out, "\"/>\n");
}

static bool plot_draws_dots(const plot_picture *p, const ct_plot_series *s)
{
    int64_t i, points = 0;

    for (i = 0; i < s->count && points < 2; i++)
        points += plot_has_point(p, s, i);
    return s->points || points == 1;
}

static void plot_draw(plot_picture *p, int k)
{
    const ct_plot_series *s = &p->series[k];
    bool is_dots = plot_draws_dots(p, s);

    cti_buffer_print(&p->out, is_dots ? "<g class=\"series\"" : "<polyline class=\"series\"");
    plot_stroke(&p->out, k);
    if (s->name) {
        cti_buffer_print(&p->out, " data-name=\"");
        plot_escaped(&p->out, s->name);
        cti_buffer_print(&p->out, "\"");
    }
    plot_list(p, s, "data-x", s->x);
    plot_list(p, s, "data-y", s->y);
    if (is_dots) {
        cti_buffer_print(&p->out, ">\n");
        plot_dots(p, s);
        cti_buffer_print(&p->out, "</g>\n");
    } else {
        plot_line(p, s);
    }
}

/* Writes the legend in the upper right corner, which falling curves leave free. */
static void plot_legend(plot_picture *p)
{
    size_t longest = 0;
    int k, rows = 0;
    double width, x, y = p->y.end + 8;

    for (k = 0; k < p->count; k++)
        if (p->series[k].name) {
            size_t n = strlen(p->series[k].name);

            longest = n > longest ? n : longest;
            rows++;
        }
    if (!rows)
        return;
    width = 50 + 7.0 * (double)longest;
    x = fmax(p->x.begin, p->x.end - 8 - width);
    cti_buffer_print(&p->out, "<rect fill=\"white\" fill-opacity=\"0.8\" stroke=\"#ccc\"");
    plot_attribute(&p->out, "x", x);
    plot_attribute(&p->out, "y", y);
    plot_attribute(&p->out, "width", width);
    plot_attribute(&p->out, "height", 18.0 * rows + 4);
    cti_buffer_print(&p->out, "/>\n");
    for (k = 0; k < p->count; k++)
        if (p->series[k].name) {
            cti_buffer_print(&p->out, "<line");
            plot_attribute(&p->out, "x1", x + 6);
            plot_attribute(&p->out, "x2", x + 36);
            plot_attribute(&p->out, "y1", y + 11);
            plot_attribute(&p->out, "y2", y + 11);
            plot_stroke(&p->out, k);
            cti_buffer_print(&p->out, "/>\n");
            plot_text_at(p, x + 42, y + 15, " class=\"legend\"", p->series[k].name);
            y += 18;
        }
}

/* ---- the whole plot ---- */

static bool plot_is_text(const char *what, const char *text)
{
    if (!text || cti_is_utf8(text))
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "the %s %s is not UTF-8", what, cti_quote(text).s);
    return false;
}

static bool plot_check(const char *path, const ct_plot_options *o, int count,
                       const ct_plot_series *series)
{
    if (!cti_given(me, "path", path) || !cti_at_least(me, "count", count, 0) ||
        !cti_given_array(me, "series", count, series))
        return false;
    if ((o->width && (o->width < 200 || o->width > 10000)) ||
        (o->height && (o->height < 200 || o->height > 10000))) {
        ct_raise(CT_ERR_ARGUMENT, me, "the size is %d by %d pixels; both must be 200 to 10000",
                 o->width, o->height);
        return false;
    }
    for (int k = 0; k < count; k++) {
        const ct_plot_series *s = &series[k];

        if (s->count < 0 || (s->count && (!s->x || !s->y))) {
            if (s->count < 0)
                ct_raise(CT_ERR_ARGUMENT, me, "series[%d].count is %lld; it must be at least 0", k,
                         (long long)s->count);
            else
                ct_raise(CT_ERR_ARGUMENT, me, "series[%d].%s is NULL", k, s->x ? "y" : "x");
            return false;
        }
        if (!plot_is_text("name", s->name))
            return false;
    }
    return plot_is_text("title", o->title) && plot_is_text("label", o->x_label) &&
           plot_is_text("label", o->y_label);
}

ct_status ct_plot_save(const char *path, ct_plot_options o, int count, const ct_plot_series *series)
{
    plot_picture p = { .o = &o,
                       .width = o.width ? o.width : 640,
                       .height = o.height ? o.height : 400,
                       .count = count,
                       .series = series };

    if (!cti_sink_allowed() || !plot_check(path, &o, count, series))
        return ct_error();
    plot_measure(&p);
    plot_frame(&p);
    for (int k = 0; k < count; k++)
        plot_draw(&p, k);
    plot_legend(&p);
    cti_buffer_print(&p.out, "</svg>\n");
    cti_buffer_save(&p.out, me, path);
    cti_buffer_free(&p.out);
    return ct_error();
}
