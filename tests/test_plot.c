/* SPDX-License-Identifier: MIT */
/* test_plot.c - plots: the file is XML and draws each given point at the place that its ticks
 * define. */
#include "tests/comma_locale.h"
#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/train/plot.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns the content of the file as a string, which the caller frees. */
static char *text_of(const char *path)
{
    size_t size;
    char *bytes = read_bytes(path, &size), *text = calloc(size + 1, 1);

    memcpy(text, bytes, size);
    ck_assert(strlen(text) == size);
    free(bytes);
    return text;
}

/* Returns true if tags nest, attributes are quoted and each & begins an entity, as XML requires. */
static bool nests(const char *s)
{
    char open[20][20];
    const char *tag;
    int depth = 0;

    for (; *s; s++) {
        if (*s == '&' && (s[1] != '#' || s[2 + strspn(s + 2, "0123456789")] != ';'))
            return false;
        if (*s == '>' || ((unsigned char)*s < 0x20 && *s != '\n'))
            return false;
        if (*s != '<')
            continue;
        if (s[1] == '/') {
            size_t n = strcspn(s + 2, ">");

            if (depth == 0 || strlen(open[--depth]) != n || memcmp(open[depth], s + 2, n) != 0)
                return false;
            s += n + 2;
            continue;
        }
        tag = s;
        sscanf(s + 1, "%19[a-z?]", open[depth < 19 ? depth : 19]);
        while (*s && *s != '>') {
            if (*s == '"')
                s += 1 + strcspn(s + 1, "\"<");
            if (*s == '<' && s > tag)
                return false;
            s += *s != '\0';
        }
        if (!*s || depth > 18)
            return false;
        depth += s[-1] != '/' && s[-1] != '?';
    }
    return depth == 0;
}

static void expect_xml(const char *path, const char *text)
{
    char command[200];

    ck_assert_msg(nests(text), "this is no XML:\n%s", text);
    if (system("xmllint --version >/dev/null 2>&1") != 0) {
        printf("xmllint is not there: only the test's own look at the XML\n");
        return;
    }
    snprintf(command, sizeof command, "xmllint --noout '%s'", path);
    ck_assert_int_eq(system(command), 0);
}

/* Returns the text after NAME=" in the element at s, or NULL if it has no such attribute. */
static const char *attribute(const char *s, const char *name)
{
    const char *end = strchr(s, '>'), *at;
    char key[40];

    snprintf(key, sizeof key, " %s=\"", name);
    at = strstr(s, key);
    return at && at < end ? at + strlen(key) : NULL;
}

static double number(const char *s, const char *name)
{
    const char *at = attribute(s, name);

    ck_assert_msg(at != NULL, "no %s in %.80s", name, s);
    return strtod(at, NULL);
}

/* Reads numbers separated by commas and spaces up to a quote. Returns their number. */
static int numbers(const char *at, double *list, int room)
{
    int n = 0;

    ck_assert_ptr_nonnull(at);
    while (n < room) {
        char *end;

        at += strspn(at, " ,");
        if (*at == '"')
            break;
        list[n++] = strtod(at, &end);
        ck_assert(end > at);
        at = end;
    }
    return n;
}

/* Finds a and b of pixel = a + b value (or log10 value) from an axis's first and last tick, and
 * checks that the other ticks agree. */
static void map_of(const char *svg, char which, bool log, double *a, double *b)
{
    char tag[32], place[3] = { which, '1', '\0' };
    double value[40], at[40];
    int n = 0;

    snprintf(tag, sizeof tag, "<g class=\"tick-%c\"", which);
    while ((svg = strstr(svg, tag)) && n < 40) {
        value[n] = number(svg, "data-value");
        value[n] = log ? log10(value[n]) : value[n];
        svg = strstr(svg, "<line");
        at[n++] = number(svg, place);
    }
    ck_assert_msg(n >= 2 && n < 20, "%d ticks on %c", n, which);
    *b = (at[n - 1] - at[0]) / (value[n - 1] - value[0]);
    *a = at[0] - *b * value[0];
    for (int i = 0; i < n; i++)
        expect_close("a tick", at[i], *a + *b * value[i], 0.02);
}

/* Draws the series and compares the file with it. */
static void expect_drawn(ct_plot_options o, const ct_plot_series *series, int count)
{
    double *x = calloc(1000, sizeof *x), *y = calloc(1000, sizeof *y);
    double *drawn = calloc(2000, sizeof *drawn), ax, bx, ay, by;
    const char *s;
    char *svg;

    ck_assert(ct_plot_save("plot.svg", o, count, series) == CT_OK);
    ck_assert_int_eq(count_files(), 1);
    s = svg = text_of("plot.svg");
    expect_xml("plot.svg", svg);
    map_of(svg, 'x', o.log_x, &ax, &bx);
    map_of(svg, 'y', o.log_y, &ay, &by);
    ck_assert(bx > 0 && by < 0);
    for (int k = 0; k < count; k++) {
        int n, i = 0;

        s = strstr(s, " class=\"series\"");
        ck_assert_ptr_nonnull(s);
        n = numbers(attribute(s, "data-x"), x, 1000);
        ck_assert_int_eq(numbers(attribute(s, "data-y"), y, 1000), n);
        if (attribute(s, "points"))
            ck_assert_int_eq(numbers(attribute(s, "points"), drawn, 2000), 2 * n);
        for (int64_t j = 0; j < series[k].count; j++) {
            double px = series[k].x[j], py = series[k].y[j];

            if (!isfinite(px) || !isfinite(py) || fabs(py) > 1e300 || (o.log_x && px <= 0) ||
                (o.log_y && py <= 0))
                continue;
            ck_assert_msg(i < n && x[i] == px && y[i] == py, "point %d is not (%.17g, %.17g)", i,
                          px, py);
            if (attribute(s, "points")) {
                px = o.log_x ? log10(px) : px;
                py = o.log_y ? log10(py) : py;
                expect_close("x", drawn[2 * i], ax + bx * px, 0.1);
                expect_close("y", drawn[2 * i + 1], ay + by * py, 0.1);
                ck_assert(drawn[2 * i] >= 0 && drawn[2 * i] <= (o.width ? o.width : 640));
                ck_assert(drawn[2 * i + 1] >= 0 && drawn[2 * i + 1] <= 400);
            }
            i++;
        }
        ck_assert_int_eq(i, n);
        s++;
    }
    ck_assert_ptr_null(strstr(s, " class=\"series\""));
    free(svg);
    free(drawn);
    free(x);
    free(y);
}

/* Draws random ranges from tiny to huge, far from 0 and around it, with missing points. */
START_TEST(points)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(5), "points");
    int cases = harness_count(60, 3000);

    for (int c = 0; c < cases; c++) {
        bool log_x = ct_random_below(&g, 3) == 0, log_y = ct_random_below(&g, 2) == 0;
        double scale = pow(10, (double)ct_random_below(&g, 40) - 20);
        double middle = ct_random_below(&g, 2) ? 0 : scale * 1000 * (ct_random_uniform(&g) - 0.5);
        double x[2][30], y[2][30];
        ct_plot_series series[2];

        for (int k = 0; k < 2; k++) {
            int n = 1 + (int)ct_random_below(&g, 30);

            for (int i = 0; i < n; i++) {
                x[k][i] = log_x ? pow(10, 6 * ct_random_uniform(&g)) : i;
                y[k][i] = middle + scale * (ct_random_uniform(&g) - 0.5);
                y[k][i] = log_y ? fabs(y[k][i]) : y[k][i];
                if (ct_random_below(&g, 8) == 0)
                    y[k][i] = (double[]){ NAN, INFINITY, -INFINITY, 1e301 }[ct_random_below(&g, 4)];
            }
            series[k] = (ct_plot_series){ .name = k ? "b" : NULL,
                                          .count = n,
                                          .x = x[k],
                                          .y = y[k],
                                          .points = ct_random_below(&g, 4) == 0 };
        }
        expect_drawn((ct_plot_options){ .log_x = log_x, .log_y = log_y, .y_label = "y" }, series,
                     2);
    }
}
END_TEST

START_TEST(nothing_and_little)
{
    const double none[1] = { NAN }, one[1] = { 7 }, two[2] = { 1, 2 }, flat[2] = { 3, 3 };

    expect_drawn((ct_plot_options){ 0 }, NULL, 0);
    expect_drawn((ct_plot_options){ 0 }, &(ct_plot_series){ .count = 0 }, 1);
    expect_drawn((ct_plot_options){ 0 }, &(ct_plot_series){ .count = 1, .x = one, .y = none }, 1);
    expect_drawn((ct_plot_options){ .log_y = true },
                 &(ct_plot_series){ .count = 1, .x = one, .y = one }, 1);
    expect_drawn((ct_plot_options){ .width = 200 },
                 &(ct_plot_series){ .count = 2, .x = two, .y = flat }, 1);
}
END_TEST

START_TEST(words)
{
    const double x[2] = { 1, 2 };
    ct_plot_series s[2] = {
        { .name = "a<b & \"c\"\n\x01", .count = 2, .x = x, .y = x },
        { .name = "d\xc3\xa9j\xc3\xa0 \xef\xbf\xbf", .count = 2, .x = x, .y = x }
    };
    char *svg;

    expect_drawn((ct_plot_options){ .title = "T & t", .x_label = "<epoch>", .y_label = "'ppl'" }, s,
                 2);
    svg = text_of("plot.svg");
    ck_assert_ptr_nonnull(strstr(svg, ">T &#38; t</text>"));
    ck_assert_ptr_nonnull(strstr(svg, ">&#60;epoch&#62;</text>"));
    ck_assert_ptr_nonnull(strstr(svg, ">'ppl'</text>"));
    ck_assert_ptr_nonnull(strstr(svg, "class=\"legend\">a&#60;b &#38; &#34;c&#34;  </text>"));
    ck_assert_ptr_nonnull(strstr(svg, "class=\"legend\">d\xc3\xa9j\xc3\xa0 </text>"));
    free(svg);
}
END_TEST

/* A locale with a decimal comma changes nothing. */
START_TEST(any_locale)
{
    const double x[3] = { 0.25, 1.5, 1e-7 };
    ct_plot_series s = { .count = 3, .x = x, .y = x };
    char *plain, *svg;

    expect_drawn((ct_plot_options){ 0 }, &s, 1);
    plain = text_of("plot.svg");
    if (comma_locale_begin()) {
        ck_assert(ct_plot_save("plot.svg", (ct_plot_options){ 0 }, 1, &s) == CT_OK);
        comma_locale_end();
        svg = text_of("plot.svg");
        ck_assert_str_eq(svg, plain);
        free(svg);
    }
    free(plain);
}
END_TEST

START_TEST(refusals)
{
    const double x[1] = { 1 };
    const ct_plot_series good = { .count = 1, .x = x, .y = x };
    ct_plot_series bad = good;
    ct_plot_options o = { 0 };

    ck_assert(ct_plot_save(NULL, o, 1, &good) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "path is NULL");
    ck_assert(ct_plot_save("p.svg", o, -1, &good) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "count is -1");
    ck_assert(ct_plot_save("p.svg", o, 1, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "series is NULL");
    bad.count = -2;
    ck_assert(ct_plot_save("p.svg", o, 1, &bad) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "series[0].count is -2");
    bad = (ct_plot_series){ .count = 1, .x = x };
    ck_assert(ct_plot_save("p.svg", o, 1, &bad) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "y is NULL");
    bad = (ct_plot_series){ .name = "caf\xe9" };
    ck_assert(ct_plot_save("p.svg", o, 1, &bad) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "UTF-8");
    o.width = 100;
    ck_assert(ct_plot_save("p.svg", o, 1, &good) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_plot_save", "100 by 0");
    ck_assert(ct_plot_save("no/p.svg", (ct_plot_options){ 0 }, 1, &good) == CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_plot_save", "No such file");
    ct_raise(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert(ct_plot_save("p.svg", (ct_plot_options){ 0 }, 1, &good) == CT_ERR_ARGUMENT);
    ct_error_clear();
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

/* Whichever call fails, the old file stays and no other file is left. */
START_TEST(failing_calls)
{
    const double x[2] = { 1, 2 };
    const ct_plot_series s = { .count = 2, .x = x, .y = x };
    int k;

    for (int memory = 0; memory < 2; memory++) {
        for (k = 1; k < 1000; k++) {
            ct_status status;
            char *old;

            write_bytes("p.svg", "old", 3);
            (memory ? fail_allocation : fail_file_call)(k);
            status = ct_plot_save("p.svg", (ct_plot_options){ 0 }, 1, &s);
            fail_nothing();
            ct_error_clear();
            ck_assert_int_eq(count_files(), 1);
            old = text_of("p.svg");
            if (status == CT_OK) {
                ck_assert(strncmp(old, "<?xml", 5) == 0);
                free(old);
                break;
            }
            ck_assert(status == (memory ? CT_ERR_MEMORY : CT_ERR_IO));
            ck_assert(strcmp(old, "old") == 0 || strncmp(old, "<?xml", 5) == 0);
            free(old);
        }
        ck_assert(k > 3 && k < 1000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plot");
    TCase *tc = harness_case(suite, "svg");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, points);
    tcase_add_test(tc, nothing_and_little);
    tcase_add_test(tc, words);
    tcase_add_test(tc, any_locale);
    tcase_add_test(tc, refusals);
    tcase_add_test(tc, failing_calls);
    return harness_run(suite);
}
