/* SPDX-License-Identifier: MIT */
/* dropout.h - the Dropout module (Srivastava et al. 2014). */
#ifndef COTANGENT_NN_DROPOUT_H
#define COTANGENT_NN_DROPOUT_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes a module that applies ct_dropout with probability p, drawing from
 * ct_params_generator(params), while the set trains. While it does not train, or if p is 0, the
 * module returns x itself. x may have any shape and is f32 or f64. The module belongs to params.
 * CT_ERR_ARGUMENT if p is not in [0, 1). */
ct_module *ct_nn_dropout(ct_params *params, double p);

#ifdef __cplusplus
}
#endif
#endif
