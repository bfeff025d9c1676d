/* SPDX-License-Identifier: MIT */
/* blas.h - the BLAS for matrix products, which is optional. */
#ifndef TENSOR_CPU_BLAS_H
#define TENSOR_CPU_BLAS_H

#include "tensor/internal.h"

#ifdef CT_HAVE_BLAS

#include <cblas.h>

#ifdef CT_HAVE_OPENBLAS
typedef blasint cti_blas_int; /* the integer type of CBLAS, which has 64 bits in some builds */
#else
typedef int cti_blas_int;
#endif

/* The functions of CBLAS that the library calls. */
typedef struct cti_blas {
    void (*sgemm)(enum CBLAS_ORDER order, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
                  cti_blas_int m, cti_blas_int n, cti_blas_int k, float alpha, const float *a,
                  cti_blas_int lda, const float *b, cti_blas_int ldb, float beta, float *c,
                  cti_blas_int ldc);
    void (*dgemm)(enum CBLAS_ORDER order, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
                  cti_blas_int m, cti_blas_int n, cti_blas_int k, double alpha, const double *a,
                  cti_blas_int lda, const double *b, cti_blas_int ldb, double beta, double *c,
                  cti_blas_int ldc);
} cti_blas;

/* Returns the functions of CBLAS. The first call opens OpenBLAS. Returns NULL if it cannot be
 * opened, or if the process may not map the memory that it needs. All later calls return the
 * same. */
const cti_blas *cti_blas_get(void);

/* Call cti_blas_enter before and cti_blas_leave after each call of a function of the table.
 * cti_blas_enter waits if OpenBLAS would need one more buffer and the process may not have the
 * memory for it. */
void cti_blas_enter(void);
void cti_blas_leave(void);

#endif

/* The name and version of the BLAS, or the reason why there is none. */
const char *cti_blas_name(void);

#endif
