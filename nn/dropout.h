/* dropout.h - dropout (Srivastava et al. 2014): while the set trains, each element is 0 with
 * probability p, else x / (1 - p); while it does not, y is x. The mask is drawn from the set's
 * generator (ct_params_generator). */
#ifndef COTANGENT_NN_DROPOUT_H
#define COTANGENT_NN_DROPOUT_H

#include <cotangent/nn/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x of any shape -> y of its shape. Belongs to the set. CT_ERR_ARGUMENT for p outside [0, 1). */
ct_module *ct_nn_dropout(ct_params *params, double p);

#ifdef __cplusplus
}
#endif
#endif
