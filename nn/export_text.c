/* SPDX-License-Identifier: MIT */
/* export_text.c - the text of the helper functions of exported code. They repeat the loops of
 * tensor/cpu/ (code path base) step by step, so that every bit is equal. Each element of a
 * product is one sum in the order of k, and norms have the same partial sums. */
#include "nn/export_internal.h"

#include <string.h>

typedef struct text_helper {
    const char *name; /* the text that is searched for in the calling code */
    const char *text;
} text_helper;

/* A helper comes after those that it calls. */
/* clang-format off */
static const text_helper text_math[] = {
    { "nn_float_of",
      "static float nn_float_of(uint32_t bits)\n"
      "{\n"
      "    union {\n"
      "        uint32_t bits;\n"
      "        float value;\n"
      "    } u;\n"
      "\n"
      "    u.bits = bits;\n"
      "    return u.value;\n"
      "}\n\n" },
    { "nn_bits_of",
      "static uint32_t nn_bits_of(float value)\n"
      "{\n"
      "    union {\n"
      "        uint32_t bits;\n"
      "        float value;\n"
      "    } u;\n"
      "\n"
      "    u.value = value;\n"
      "    return u.bits;\n"
      "}\n\n" },
#include "nn/export_math.inc" /* made by export_math.awk */
    { "nn_sqrt(",
      "/* The square root, correctly rounded: digit by digit. */\n"
      "static double nn_sqrt(double v)\n"
      "{\n"
      "    const uint64_t one = (uint64_t)1 << 52;\n"
      "    union {\n"
      "        uint64_t bits;\n"
      "        double value;\n"
      "    } u;\n"
      "    uint64_t m, rest = 0, root = 0;\n"
      "    int e, i;\n"
      "\n"
      "    u.value = v;\n"
      "    e = (int)(u.bits >> 52);\n"
      "    if (u.bits << 1 == 0 || e == 2047) /* 0, infinity, NaN */\n"
      "        return v;\n"
      "    if (e > 2047) { /* negative */\n"
      "        u.bits = (uint64_t)0x7ff8 << 48;\n"
      "        return u.value;\n"
      "    }\n"
      "    m = u.bits & (one - 1);\n"
      "    if (e)\n"
      "        m |= one;\n"
      "    else\n"
      "        for (e = 1; !(m & one); e--)\n"
      "            m <<= 1;\n"
      "    e -= 1023;\n"
      "    if (e & 1) {\n"
      "        m <<= 1;\n"
      "        e--;\n"
      "    }\n"
      "    for (i = 0; i < 54; i++) {\n"
      "        rest = rest << 2 | (i < 27 ? m >> (52 - 2 * i) & 3 : 0);\n"
      "        root <<= 1;\n"
      "        if (rest >= (root << 1 | 1)) {\n"
      "            rest -= root << 1 | 1;\n"
      "            root |= 1;\n"
      "        }\n"
      "    }\n"
      "    m = (root >> 1) + ((root & 1) && (rest || (root & 2)));\n"
      "    u.bits = m - one + ((uint64_t)(e / 2 + 1023) << 52);\n"
      "    return u.value;\n"
      "}\n\n" },
    { "nn_sqrtf",
      "static float nn_sqrtf(float v)\n"
      "{\n"
      "    return (float)nn_sqrt((double)v);\n"
      "}\n\n" },
};

/* The helpers that replace them if the option libm is set. */
static const text_helper text_libm[] = {
    { "nn_float_of",
      "static float nn_float_of(uint32_t bits)\n"
      "{\n"
      "    union {\n"
      "        uint32_t bits;\n"
      "        float value;\n"
      "    } u;\n"
      "\n"
      "    u.bits = bits;\n"
      "    return u.value;\n"
      "}\n\n" },
    { "nn_expf", "#define nn_expf expf\n" },
    { "nn_tanhf", "#define nn_tanhf tanhf\n" },
    { "nn_logf", "#define nn_logf logf\n" },
    { "nn_log1pf", "#define nn_log1pf log1pf\n" },
    { "nn_expm1f", "#define nn_expm1f expm1f\n" },
    { "nn_erff", "#define nn_erff erff\n" },
    { "nn_erfcf", "#define nn_erfcf erfcf\n" },
    { "nn_sqrt(", "#define nn_sqrt sqrt\n" },
    { "nn_sqrtf", "#define nn_sqrtf sqrtf\n" },
    { "nn_sigmoidf",
      "static float nn_sigmoidf(float x)\n"
      "{\n"
      "    return 1.0f / (1.0f + expf(-x));\n"
      "}\n\n" },
    { "nn_softplusf",
      "static float nn_softplusf(float x)\n"
      "{\n"
      "    return (x > 0.0f ? x : 0.0f) + log1pf(expf(x > 0.0f ? -x : x));\n"
      "}\n\n" },
};

static const text_helper text_loops[] = {
    { "nn_product(",
      "/* c (n) += a (k) times w (k, n): one sum for each element, in the order of k. */\n"
      "static void nn_product(int n, int k, const float *restrict a, const float *restrict w,\n"
      "                       float *restrict c)\n"
      "{\n"
      "    const int whole = k - k % 4;\n"
      "    int i, j;\n"
      "\n"
      "    for (i = 0; i < whole; i += 4) {\n"
      "        const float a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];\n"
      "        const float *w0 = w + (size_t)i * (size_t)n, *w1 = w0 + n, *w2 = w1 + n, *w3 = w2 + n;\n"
      "\n"
      "        for (j = 0; j < n; j++)\n"
      "            c[j] = c[j] + a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j];\n"
      "    }\n"
      "    for (i = whole; i < k; i++) {\n"
      "        const float *w0 = w + (size_t)i * (size_t)n;\n"
      "\n"
      "        for (j = 0; j < n; j++)\n"
      "            c[j] += a[i] * w0[j];\n"
      "    }\n"
      "}\n\n" },
    { "nn_linear(",
      "/* y (n) = x (k) times w (k, n), plus b unless it is 0 */\n"
      "static void nn_linear(int n, int k, const float *x, const float *w, const float *b, float *y)\n"
      "{\n"
      "    int j;\n"
      "\n"
      "    for (j = 0; j < n; j++)\n"
      "        y[j] = b ? b[j] : 0;\n"
      "    nn_product(n, k, x, w, y);\n"
      "}\n\n" },
    { "nn_sum(",
      "/* Sixteen partial sums within a block; blocks in double. */\n"
      "static double nn_sum(int n, const float *x)\n"
      "{\n"
      "    double total = 0;\n"
      "    int i, j, l;\n"
      "\n"
      "    for (i = 0; i < n; i += 1024) {\n"
      "        float lane[16];\n"
      "        int m = n - i < 1024 ? n - i : 1024;\n"
      "\n"
      "        for (l = 0; l < 16; l++)\n"
      "            lane[l] = 0;\n"
      "        for (j = 0; j + 16 <= m; j += 16)\n"
      "            for (l = 0; l < 16; l++)\n"
      "                lane[l] += x[i + j + l];\n"
      "        for (l = 0; l < 16; l++)\n"
      "            total += (double)lane[l];\n"
      "        for (; j < m; j++)\n"
      "            total += (double)x[i + j];\n"
      "    }\n"
      "    return total;\n"
      "}\n\n" },
    { "nn_sum_squares(",
      "/* The sum of (x - mean)^2. */\n"
      "static double nn_sum_squares(int n, const float *x, float mean)\n"
      "{\n"
      "    double total = 0;\n"
      "    int i, j, l;\n"
      "\n"
      "    for (i = 0; i < n; i += 1024) {\n"
      "        float lane[16];\n"
      "        int m = n - i < 1024 ? n - i : 1024;\n"
      "\n"
      "        for (l = 0; l < 16; l++)\n"
      "            lane[l] = 0;\n"
      "        for (j = 0; j + 16 <= m; j += 16)\n"
      "            for (l = 0; l < 16; l++)\n"
      "                lane[l] += (x[i + j + l] - mean) * (x[i + j + l] - mean);\n"
      "        for (l = 0; l < 16; l++)\n"
      "            total += (double)lane[l];\n"
      "        for (; j < m; j++)\n"
      "            total += (double)(x[i + j] - mean) * (double)(x[i + j] - mean);\n"
      "    }\n"
      "    return total;\n"
      "}\n\n" },
    { "nn_normalise(",
      "/* y = (x - mean) / sqrt(variance + eps) w + b, for rows of n; w and b may be 0 */\n"
      "static void nn_normalise(int rows, int n, int centred, double eps, const float *x,\n"
      "                         const float *w, const float *b, float *y)\n"
      "{\n"
      "    int i;\n"
      "\n"
      "    for (; rows > 0; rows--, x += n, y += n) {\n"
      "        const float mean = centred ? (float)(nn_sum(n, x) / (double)n) : 0;\n"
      "        const double variance = nn_sum_squares(n, x, mean) / (double)n;\n"
      "        const float scale = (float)(1 / nn_sqrt(variance + eps));\n"
      "\n"
      "        if (w && b)\n"
      "            for (i = 0; i < n; i++)\n"
      "                y[i] = (x[i] - mean) * scale * w[i] + b[i];\n"
      "        else if (w)\n"
      "            for (i = 0; i < n; i++)\n"
      "                y[i] = (x[i] - mean) * scale * w[i];\n"
      "        else\n"
      "            for (i = 0; i < n; i++)\n"
      "                y[i] = (x[i] - mean) * scale;\n"
      "        if (b && !w)\n"
      "            for (i = 0; i < n; i++)\n"
      "                y[i] += b[i];\n"
      "    }\n"
      "}\n\n" },
    { "nn_softmax(",
      "/* The softmax of each row of n, or its logarithm. */\n"
      "static void nn_softmax(int rows, int n, int logarithm, const float *x, float *y)\n"
      "{\n"
      "    int i;\n"
      "\n"
      "    for (; rows > 0; rows--, x += n, y += n) {\n"
      "        float most = x[0], total;\n"
      "        int odd = 0;\n"
      "\n"
      "        for (i = 0; i < n; i++) {\n"
      "            most = x[i] > most ? x[i] : most;\n"
      "            odd |= x[i] != x[i];\n"
      "        }\n"
      "        if (odd)\n"
      "            most = nn_float_of(0x7fc00000u);\n"
      "        for (i = 0; i < n; i++)\n"
      "            y[i] = nn_expf(x[i] - most);\n"
      "        total = (float)nn_sum(n, y);\n"
      "        if (logarithm) {\n"
      "            const float l = nn_logf(total);\n"
      "\n"
      "            for (i = 0; i < n; i++)\n"
      "                y[i] = (x[i] - most) - l;\n"
      "        } else {\n"
      "            for (i = 0; i < n; i++)\n"
      "                y[i] = y[i] / total;\n"
      "        }\n"
      "    }\n"
      "}\n\n" },
    { "nn_rnn(",
      "/* h' (n) = act(x + b + h w); b may be 0 */\n"
      "static void nn_rnn(int n, int relu, const float *x, const float *w, const float *b,\n"
      "                   const float *h, float *next)\n"
      "{\n"
      "    int i;\n"
      "\n"
      "    for (i = 0; i < n; i++)\n"
      "        next[i] = b ? x[i] + b[i] : x[i];\n"
      "    nn_product(n, n, h, w, next);\n"
      "    if (relu)\n"
      "        for (i = 0; i < n; i++)\n"
      "            next[i] = next[i] < 0 ? 0 : next[i];\n"
      "    else\n"
      "        for (i = 0; i < n; i++)\n"
      "            next[i] = nn_tanhf(next[i]);\n"
      "}\n\n" },
    { "nn_lstm(",
      "/* Gates i f g o: c' = f c + i g, h' = o tanh(c'). gates has room for 4 n; b may be 0. */\n"
      "static void nn_lstm(int n, const float *x, const float *w, const float *b, const float *h,\n"
      "                    const float *c, float *restrict gates, float *next_h, float *next_c)\n"
      "{\n"
      "    int i;\n"
      "\n"
      "    for (i = 0; i < 4 * n; i++)\n"
      "        gates[i] = b ? x[i] + b[i] : x[i];\n"
      "    nn_product(4 * n, n, h, w, gates);\n"
      "    for (i = 0; i < n; i++) {\n"
      "        const float in = nn_sigmoidf(gates[i]), forget = nn_sigmoidf(gates[n + i]);\n"
      "        const float cell = nn_tanhf(gates[2 * n + i]), out = nn_sigmoidf(gates[3 * n + i]);\n"
      "\n"
      "        next_c[i] = forget * c[i] + in * cell;\n"
      "        next_h[i] = out * nn_tanhf(next_c[i]);\n"
      "    }\n"
      "}\n\n" },
    { "nn_gru(",
      "/* Gates r z n, reset after the product: h' = (1 - z) n + z h. gates has room for 3 n; b may be\n"
      " * 0. */\n"
      "static void nn_gru(int n, const float *x, const float *w, const float *b, const float *h,\n"
      "                   float *restrict gates, float *next)\n"
      "{\n"
      "    int i;\n"
      "\n"
      "    for (i = 0; i < 3 * n; i++)\n"
      "        gates[i] = b ? b[i] : 0;\n"
      "    nn_product(3 * n, n, h, w, gates);\n"
      "    for (i = 0; i < n; i++) {\n"
      "        const float reset = nn_sigmoidf(x[i] + gates[i]);\n"
      "        const float update = nn_sigmoidf(x[n + i] + gates[n + i]);\n"
      "        const float fresh = nn_tanhf(x[2 * n + i] + reset * gates[2 * n + i]);\n"
      "\n"
      "        next[i] = (1 - update) * fresh + update * h[i];\n"
      "    }\n"
      "}\n\n" },
};
/* clang-format on */

/* Marks the helpers of a list that `used` or an already marked helper calls. */
static void text_mark(const text_helper *list, size_t count, const char *used,
                      const text_helper *others, size_t other_count, const bool *other_marks,
                      bool *marks)
{
    for (size_t i = count; i-- > 0;) {
        marks[i] = strstr(used, list[i].name) != NULL;
        for (size_t k = i + 1; k < count; k++)
            marks[i] |= marks[k] && strstr(list[k].text, list[i].name);
        for (size_t k = 0; k < other_count; k++)
            marks[i] |= other_marks[k] && strstr(others[k].text, list[i].name);
    }
}

bool cti_export_helpers(FILE *out, const char *used, bool libm)
{
    enum {
        LOOPS = sizeof text_loops / sizeof *text_loops,
        MATH = sizeof text_math / sizeof *text_math,
        LIBM = sizeof text_libm / sizeof *text_libm
    };
    bool loops[LOOPS], math[MATH > LIBM ? MATH : LIBM];
    const text_helper *list = libm ? text_libm : text_math;
    const size_t count = libm ? (size_t)LIBM : (size_t)MATH;
    size_t i;

    text_mark(text_loops, LOOPS, used, NULL, 0, NULL, loops);
    text_mark(list, count, used, text_loops, LOOPS, loops, math);
    if (libm)
        fputs("#include <math.h>\n\n", out);
    for (i = 0; i < count; i++)
        if (math[i])
            fputs(list[i].text, out);
    for (i = 0; i < LOOPS; i++)
        if (loops[i])
            fputs(text_loops[i].text, out);
    return !ferror(out);
}
