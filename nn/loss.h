/* loss.h - losses. Class scores are on the last axis (PyTorch has them on axis 1). */
#ifndef COTANGENT_NN_LOSS_H
#define COTANGENT_NN_LOSS_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ct_reduction { CT_MEAN, CT_SUM, CT_NONE } ct_reduction;

typedef struct ct_cross_entropy_options {
    ct_reduction reduction;  /* the mean is over targets that are not ignored */
    double label_smoothing;  /* 0..1: this share of each target is spread over all classes */
    bool has_ignore_index;   /* targets equal to ignore_index count 0; without it none is */
    int64_t ignore_index;    /* ignored (PyTorch ignores -100) */
    void *reserved[4];
} ct_cross_entropy_options;

/* Minus the log of softmax(logits)[target], in nats: logits (..., C) f32 or f64, targets (...) i32
 * or i64, both contiguous or not; rank 0, the mean. dlogits = d (softmax - one_hot(target)) / n.
 * CT_ERR_INDEX for a target out of 0..C-1. */
ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *targets);
ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *targets,
                                 ct_cross_entropy_options options);

#ifdef __cplusplus
}
#endif
#endif
