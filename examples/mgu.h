/* SPDX-License-Identifier: MIT */
/* mgu.h - a user's recurrent module, which can be used like those of the library. */
#ifndef EXAMPLES_MGU_H
#define EXAMPLES_MGU_H

#include <cotangent.h>

ct_recurrent *mgu(ct_params *params, const char *name, ct_nn_recurrent_options options);

#endif
