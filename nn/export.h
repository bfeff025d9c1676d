/* SPDX-License-Identifier: MIT */
/* export.h - a planned step as one C99 file and a header, without this library.
 *
 *     ct_plan *p = ct_plan_new_step(params, gru, 1);
 *
 *     if (ct_export_c(p, "pitch.c", (ct_export_options){ .name = "pitch" }) != CT_OK) ...
 *
 * writes pitch.c and pitch.h:
 *
 *     typedef struct pitch_state { ... } pitch_state;          the caller's memory
 *     void pitch_reset(pitch_state *state);
 *     int pitch_step(pitch_state *state, const float *x, float *y);
 *
 * The file includes only <stdint.h>, calls no function of a library, allocates no memory, has no
 * global variables, and compiles as freestanding C99. On any machine with IEEE 754 arithmetic,
 * its results have the bits of ct_plan_run under ct_set_portable(true). docs/embedding.md
 * describes the details. The file belongs to the caller: the licence of this library does not
 * apply to it. */
#ifndef COTANGENT_NN_EXPORT_H
#define COTANGENT_NN_EXPORT_H

#include <cotangent/nn/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_export_options {
    /* The prefix of all names, a C identifier of at most 40 characters. Default: the name of the
     * file. */
    const char *name;

    /* Writes the weights to a third file in f32, little-endian. Its name is PATH with the ending
     * .weights in place of .c. NAME_reset then takes the address of the weights, which must be
     * aligned for a float. */
    bool separate_weights;

    /* Calls expf, tanhf and other functions of the C library instead of those of this library.
     * The code is smaller, and its bits depend on the C library. */
    bool libm;
} ct_export_options;

/* Writes the C file at path, which must end in .c, and the header in the same folder. Each file
 * is written completely or not at all. Does nothing while an error is recorded. CT_ERR_ARGUMENT
 * if the name or the path is not valid, or if exported code does not support the plan; nothing
 * is written then. The message gives the reason: a dtype other than f32 (indices may be i32 or
 * i64), a kernel without C text (convolution, scans, reductions), a function of the C library
 * (sin, pow), or a parameter that is not finite. Also raises the errors of ct_file_write. */
ct_status ct_export_c(const ct_plan *p, const char *path, ct_export_options options);

#ifdef __cplusplus
}
#endif
#endif
