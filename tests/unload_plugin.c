/* SPDX-License-Identifier: MIT */
/* unload_plugin.c - a plug-in that uses the library, for unload.c. */
#include <cotangent.h>

__attribute__((visibility("default"))) double plugin_use(void);

/* Uses the worker threads and products, and leaves a scope open, which the end of the thread ends.
 * Returns 48, or 0 after an error. */
double plugin_use(void)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a, *b;
    double sum;

    ct_set_num_threads(3);
    a = ct_ones(CT_SHAPE(300, 400), CT_F32, CT_CPU);
    b = ct_matmul(a, ct_ones(CT_SHAPE(400, 500), CT_F32, CT_CPU));
    sum = ct_item(ct_sum(b)) / (300. * 400 * 500) +
          ct_item(ct_matmul(ct_ones(CT_SHAPE(1, 47), CT_F64, CT_CPU),
                            ct_ones(CT_SHAPE(47, 1), CT_F64, CT_CPU)));
    (void)s;
    return ct_ok() ? sum : 0;
}
