/* init.h - how parameters begin. Each is a value to hand to a module or to ct_params_add. */
#ifndef COTANGENT_NN_INIT_H
#define COTANGENT_NN_INIT_H

#include <cotangent/autograd/params.h>

#ifdef __cplusplus
extern "C" {
#endif

ct_init ct_init_constant(double value) CT_NOSITE;
ct_init ct_init_uniform(double low, double high) CT_NOSITE; /* [low, high) */
ct_init ct_init_normal(double mean, double std) CT_NOSITE;

#ifdef __cplusplus
}
#endif
#endif
