/* init.h - how parameters begin. Each is a value to hand to a module, to ct_params_add or to
 * ct_params_init.
 *
 * fan_in = numel / size of axis 0, fan_out = numel / size of axis 1, as in PyTorch: of a weight
 * (out, in) these are in and out. Those that need a fan, and orthogonal, are for tensors of rank 2
 * or more: given to ct_params_init they leave the others to what each began with; elsewhere such
 * a tensor is CT_ERR_SHAPE. Numbers that make no distribution are CT_ERR_ARGUMENT when used. */
#ifndef COTANGENT_NN_INIT_H
#define COTANGENT_NN_INIT_H

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

ct_init ct_init_constant(double value);
ct_init ct_init_uniform(double low, double high); /* [low, high) */
ct_init ct_init_normal(double mean, double std);

/* Normal(mean, std), drawn again while outside [low, high], which must hold at least 1% of it. */
ct_init ct_init_truncated_normal(double mean, double std, double low, double high);

/* Glorot and Bengio 2010: U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)), or of that variance
 * (gain^2 2 / (fan_in + fan_out)) normal. */
ct_init ct_init_xavier_uniform(double gain);
ct_init ct_init_xavier_normal(double gain);

/* He et al. 2015: variance 2 / ((1 + slope^2) fan), for a leaky ReLU of that slope below 0 (ReLU:
 * 0; sqrt(5) is PyTorch's for Linear); uniform in +-sqrt(3 variance), or normal. */
typedef enum ct_fan { CT_FAN_IN, CT_FAN_OUT } ct_fan;
ct_init ct_init_kaiming_uniform(double slope, ct_fan fan);
ct_init ct_init_kaiming_normal(double slope, ct_fan fan);

/* LeCun, Bottou, Orr, Müller 1998, as Flax has it: normal of variance 1 / fan_in, cut off at two
 * standard deviations of the uncut one. */
ct_init ct_init_lecun_normal(void);

/* Saxe, McClelland, Ganguli 2013: W, flattened to (axis 0, the rest), is gain times a matrix with
 * orthonormal rows or columns, the fewer of the two; uniformly distributed among these. */
ct_init ct_init_orthogonal(double gain);
/* The same of each of parts equal parts along axis 0: the gates of an LSTM (4), say. */
ct_init ct_init_orthogonal_parts(double gain, int parts);

#ifdef __cplusplus
}
#endif
#endif
