/* SPDX-License-Identifier: MIT */
/* helpers.h - functions for tests: values, tensors and sets. */
#ifndef TESTS_HELPERS_H
#define TESTS_HELPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/data/vocab.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

/* The number of elements of an array. */
#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- numbers ---- */

/* Fails unless |got - want| <= tolerance or both are NaN. */
void expect_close(const char *what, double got, double want, double tolerance);

/* Load and store element i of an array of a dtype. For bool, stores v != 0; for bf16, truncates
 * instead of rounding. */
long double element_load(const void *values, ct_dtype dtype, int64_t i);
void element_store(void *values, ct_dtype dtype, int64_t i, long double v);

/* ---- tensors ---- */

/* Makes a tensor of random normal values in the innermost scope, on the tests' device. */
ct_tensor *random_normal(ct_generator *g, ct_shape shape, ct_dtype dtype);

/* Makes t a leaf that requires a gradient, and returns it. In a library for inference only, returns t as
 * it is. */
ct_tensor *leaf_from(ct_tensor *t);

/* Returns the elements of any tensor as doubles, row-major; the caller frees them. */
double *values_of(ct_tensor *t);

/* Writes element `at`, in row-major order, of a contiguous tensor on any device; recording may be
 * on. */
void put_value(ct_tensor *t, int64_t at, double value);

/* Fails unless the elements of t, row-major, equal the count numbers of want within tolerance. */
void expect_values(const char *what, ct_tensor *t, const double *want, size_t count,
                   double tolerance);

/* Fails unless both have the same shape and equal elements within tolerance. */
void expect_same(const char *what, ct_tensor *got, ct_tensor *want, double tolerance);

/* Fails unless both have one dtype, one shape and the same bytes. */
void expect_same_bits(const char *what, ct_tensor *got, ct_tensor *want);

/* True if both have the same bytes. */
bool same_bytes(ct_tensor *a, ct_tensor *b);

/* ---- sets and corpora ---- */

/* Makes an empty set on the tests' device. */
ct_params *new_params(uint64_t seed, ct_dtype dtype);

/* Makes a corpus from some bytes; the text is freed. */
ct_corpus *new_corpus_of(const void *bytes, size_t size, ct_corpus_options options);

#endif
