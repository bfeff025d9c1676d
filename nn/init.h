/* SPDX-License-Identifier: MIT */
/* init.h - initialisers of parameters. A ct_init is a value; pass it to ct_params_add,
 * ct_params_init or ct_cell_param.
 *
 * As in PyTorch, fan_in = numel / size of axis 0 and fan_out = numel / size of axis 1; for a weight
 * (out, in) these are in and out. Fan-based and orthogonal initialisers need rank >= 2.
 * ct_params_init skips tensors of lower rank, which keep their own initialiser; anywhere else they
 * raise CT_ERR_SHAPE. Invalid arguments raise CT_ERR_ARGUMENT when the initialiser runs, not when
 * it is made. */
#ifndef COTANGENT_NN_INIT_H
#define COTANGENT_NN_INIT_H

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

ct_init ct_init_constant(double value);           /* every element is value */
ct_init ct_init_uniform(double low, double high); /* uniform on [low, high) */
ct_init ct_init_normal(double mean, double std);  /* normal; std must be at least 0 */

/* Normal with mean and std; a value outside [low, high] is drawn again. CT_ERR_ARGUMENT if less
 * than 1% of the distribution is inside. */
ct_init ct_init_truncated_normal(double mean, double std, double low, double high);

/* Glorot and Bengio 2010. The variance is 2 gain^2 / (fan_in + fan_out). The uniform distribution
 * is on [-b, b) with b = gain sqrt(6 / (fan_in + fan_out)). */
ct_init ct_init_xavier_uniform(double gain);
ct_init ct_init_xavier_normal(double gain);

/* He et al. 2015. The variance is 2 / ((1 + slope^2) fan), where slope is the slope of the leaky
 * ReLU for negative x: 0 for ReLU, sqrt(5) for PyTorch's Linear. The uniform distribution is on
 * [-b, b) with b = sqrt(3 variance). */
typedef enum ct_fan { CT_FAN_IN, CT_FAN_OUT } ct_fan;
ct_init ct_init_kaiming_uniform(double slope, ct_fan fan);
ct_init ct_init_kaiming_normal(double slope, ct_fan fan);

/* LeCun, Bottou, Orr and Müller 1998, in the form of Flax: normal, truncated at two standard
 * deviations and scaled so that the variance is 1 / fan_in. */
ct_init ct_init_lecun_normal(void);

/* Saxe, McClelland and Ganguli 2013. The tensor, flattened to (axis 0, all others), becomes gain
 * times a random matrix whose rows are orthonormal, or its columns if there are fewer columns. */
ct_init ct_init_orthogonal(double gain);

/* Like ct_init_orthogonal for each of `parts` equal parts along axis 0, for example the 4 gates of
 * an LSTM. CT_ERR_SHAPE if the size of axis 0 is not a multiple of parts. */
ct_init ct_init_orthogonal_parts(double gain, int parts);

#ifdef __cplusplus
}
#endif
#endif
