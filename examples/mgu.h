/* mgu.h - a recurrent module of a user, which works wherever the library's do. */
#ifndef EXAMPLES_MGU_H
#define EXAMPLES_MGU_H

#include <cotangent.h>

ct_recurrent *mgu(ct_params *params, const char *name, ct_nn_recurrent_options options);

#endif
