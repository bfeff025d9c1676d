/* SPDX-License-Identifier: MIT */
/* positions.h - positional encodings: sinusoidal, learned and rotary. */
#ifndef COTANGENT_NN_POSITIONS_H
#define COTANGENT_NN_POSITIONS_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The sinusoids of positions first .. first + length - 1 (Vaswani et al. 2017), (length, size):
 *     y[p][2 i] = sin(p / 10000^(2 i / size))        y[p][2 i + 1] = cos(the same)
 * dtype is f32 or f64 (CT_ERR_DTYPE). The angles are computed in f64. Belongs to the innermost
 * scope. CT_ERR_ARGUMENT if first, length or size is negative or size is odd. */
ct_tensor *ct_sinusoidal_encoding(int64_t first, int64_t length, int64_t size, ct_dtype dtype,
                                  ct_device device);

/* Rotary embedding (Su et al. 2021) of x (..., L, D), whose rows are at positions first .. first +
 * L - 1: at position p, the pair of elements i and i + D / 2 is rotated by the angle a = p base^(-2
 * i / D),
 *     y[i] = x[i] cos a - x[i + D/2] sin a        y[i + D/2] = x[i + D/2] cos a + x[i] sin a
 * for i < D / 2. The products of rotated queries and keys depend only on differences of positions.
 * base is usually 10000. The result belongs to the innermost scope. CT_ERR_DTYPE; CT_ERR_SHAPE if x
 * has rank 1 or less or D is odd; CT_ERR_ARGUMENT if first is negative or base is not above 0. */
ct_tensor *ct_rotary_embedding(ct_tensor *x, int64_t first, double base);

/* Makes a module that adds the sinusoids of positions 0 .. L - 1 to x (..., L, size), size even,
 * and applies dropout in [0, 1) while the set trains. The module has no parameters and belongs to
 * params. CT_ERR_ARGUMENT if dropout is not in [0, 1). */
ct_module *ct_nn_sinusoidal_encoding(ct_params *params, double dropout);

typedef struct ct_nn_learned_encoding_options {
    int64_t max_length; /* required */
    int64_t size;       /* required */
    double dropout;     /* in [0, 1), while the set trains */
} ct_nn_learned_encoding_options;

/* Makes a module that adds rows 0 .. L - 1 of a parameter to x (..., L, size). Registers
 * NAME.weight (max_length, size), as PyTorch's nn.Embedding of positions, initially standard
 * normal. The module belongs to params. CT_ERR_ARGUMENT if an option is out of range. A longer x is
 * CT_ERR_SHAPE. */
ct_module *ct_nn_learned_encoding(ct_params *params, const char *name,
                                  ct_nn_learned_encoding_options options);

#ifdef __cplusplus
}
#endif
#endif
