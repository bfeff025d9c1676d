/* SPDX-License-Identifier: MIT */
/* loops_number.h - elementwise loops for any dtype of numbers; included by kernels.c with T, FN and
 * K (and, for floats, M) defined. (internal, no guard)
 *
 * Contiguous runs, and runs with one constant operand, have separate loops, which vectorise. */

#define RUN1(fn, type_out, expr)                                                                   \
    static void fn(LOOP_ARGS)                                                                      \
    {                                                                                              \
        type_out *o = out;                                                                         \
        const T *xs = a;                                                                           \
        T p = (T)param[0], q = (T)param[1];                                                        \
        int64_t i;                                                                                 \
        UNUSED, (void)p, (void)q;                                                                  \
        if (so == 1 && sa == 1) {                                                                  \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                T x = xs[i];                                                                       \
                o[i] = (type_out)(expr);                                                           \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (i = 0; i < n; i++) {                                                                  \
            T x = xs[i * sa];                                                                      \
            o[i * so] = (type_out)(expr);                                                          \
        }                                                                                          \
    }

#define RUN2(fn, type_out, expr)                                                                   \
    static void fn(LOOP_ARGS)                                                                      \
    {                                                                                              \
        type_out *o = out;                                                                         \
        const T *xs = a, *ys = b;                                                                  \
        T p = (T)param[0], q = (T)param[1];                                                        \
        int64_t i;                                                                                 \
        UNUSED, (void)p, (void)q;                                                                  \
        if (so == 1 && sa == 1 && sb == 1) {                                                       \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                T x = xs[i], y = ys[i];                                                            \
                o[i] = (type_out)(expr);                                                           \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        if (so == 1 && sa == 1 && sb == 0 && n > 0) {                                              \
            T y = ys[0];                                                                           \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                T x = xs[i];                                                                       \
                o[i] = (type_out)(expr);                                                           \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        if (so == 1 && sa == 0 && sb == 1 && n > 0) {                                              \
            T x = xs[0];                                                                           \
            INDEPENDENT                                                                            \
            for (i = 0; i < n; i++) {                                                              \
                T y = ys[i];                                                                       \
                o[i] = (type_out)(expr);                                                           \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (i = 0; i < n; i++) {                                                                  \
            T x = xs[i * sa], y = ys[i * sb];                                                      \
            o[i * so] = (type_out)(expr);                                                          \
        }                                                                                          \
    }

#define NUMBER1(name, expr) RUN1(FN(name), T, expr)
#define NUMBER2(name, expr) RUN2(FN(name), T, expr)
#define COMPARE(name, expr) RUN2(FN(name), uint8_t, expr)
#include "tensor/formulas.h"
