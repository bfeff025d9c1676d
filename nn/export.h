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
 * The file includes <stdint.h> alone, calls no function of a library, allocates nothing, has no variables, and
 * compiles as freestanding C99. Its results have the bits of ct_plan_run under ct_set_portable(true),
 * on any machine with IEEE 754 arithmetic. docs/embedding.md says more. The file is the caller's own:
 * the licence of this library does not apply to it. */
#ifndef COTANGENT_NN_EXPORT_H
#define COTANGENT_NN_EXPORT_H

#include <cotangent/nn/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_export_options {
    /* The prefix of all names, a C identifier of at most 40 characters. NULL: the name of the file. */
    const char *name;

    /* Writes the weights to a third file, PATH with the ending .weights in place of .c: f32, little-endian.
     * NAME_reset then takes their address, which must be aligned for a float. */
    bool separate_weights;

    /* Calls expf, tanhf and others of the C library in place of our own. The code is smaller, and its bits
     * depend on the C library. */
    bool libm;
} ct_export_options;

/* Writes the C file at path, which must end in .c, and the header beside it. Each file is written
 * whole or not at all. Does nothing while an error is recorded. CT_ERR_ARGUMENT, before anything is
 * written, for a bad name or path and for what exported code does not support, with the reason: a
 * dtype other than f32 (indices may be i32 or i64), a kernel without C text (convolution, scans,
 * reductions), a function of the C library (sin, pow), a parameter that is not finite. The errors of
 * ct_file_write. */
ct_status ct_export_c(const ct_plan *p, const char *path, ct_export_options options);

#ifdef __cplusplus
}
#endif
#endif
