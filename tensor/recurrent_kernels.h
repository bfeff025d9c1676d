/* SPDX-License-Identifier: MIT */
/* recurrent_kernels.h - the structs that the kernels of recurrent layers take; backend.h has the rules
 * for all kernels. (internal) */
#ifndef COTANGENT_TENSOR_RECURRENT_KERNELS_H
#define COTANGENT_TENSOR_RECURRENT_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sequence, sequence_backward ---- */

/* One recurrent layer in one direction over a whole sequence of T steps, B rows, H hidden units; G
 * gates (RNN 1, LSTM 4: i f g o, GRU 3: r z n, reset after the matmul). All arrays contiguous. Step
 * t reads the state h[t] and writes h[t + 1]; in reverse it reads h[t + 1] and writes h[t]. */
typedef enum cti_cell_kind {
    CTI_CELL_TANH,
    CTI_CELL_RELU,
    CTI_CELL_LSTM,
    CTI_CELL_GRU
} cti_cell_kind;

typedef struct cti_sequence {
    cti_cell_kind kind;
    ct_dtype dtype; /* f32 or f64 */
    bool reverse;
    int64_t steps, batch, hidden;
    /* (T, B, G H): the contribution of the input to the gates. With an index (only on the CPU): a
     * table of rows of G H elements, from which the (T, B) indices select rows */
    const void *x;
    const void *index;
    ct_dtype index_dtype; /* i32 or i64 */
    const void *w;        /* (G H, H) */
    const void *bias;     /* (G H), or NULL */
    /* (B), each in 0..T; NULL stands for T in all rows. From step length[b] on, row b keeps its
     * state, and its gates and hn are undefined. In backward, dx and dhx of these steps are 0, dy
     * is added to the gradient of the state, and dh and dc pass unchanged. */
    const int64_t *length;
    void *h;       /* (T + 1, B, H), with the initial state already in place */
    void *c;       /* LSTM: the cell state, laid out like h */
    void *gates;   /* LSTM, GRU: (T, B, G H), the gates after their activations */
    void *hn;      /* GRU: (T, B, H), h W_n^T + b_n */
    void *scratch; /* for the forward kernel: cti_sequence_scratch elements */
    /* for the backward kernel */
    const void *dy;                /* (T, B, H), or NULL */
    const void *dh_last, *dc_last; /* (B, H), or NULL */
    void *dx;        /* (T, B, G H): the gradient of x and, except for GRU, of h W^T */
    void *dhx;       /* GRU: (T, B, G H), the gradient of h W^T + bias */
    void *dh0, *dc0; /* (B, H) */
    bool bf16;       /* as in cti_gemm, for the products with w */
} cti_sequence;

static inline int64_t cti_gates_of(cti_cell_kind kind)
{
    return kind == CTI_CELL_LSTM ? 4 : kind == CTI_CELL_GRU ? 3 : 1;
}

/* The number of scratch elements that forward needs. */
static inline int64_t cti_sequence_scratch(const cti_sequence *s)
{
    int64_t width = cti_gates_of(s->kind) * s->hidden;

    return width * s->hidden + s->batch * ((s->index ? 2 : 1) * width + s->hidden);
}

/* ---- layer, layer_backward ---- */

/* At most so many rows T B are computed by gemm and sequence instead of layer: packing the weights
 * would take a large part of the time. Exported code supports only sequence. */
#define CTI_FEW_ROWS 64

/* With fewer steps, packing the weights takes longer than it saves. */
#define CTI_FEW_STEPS 4

/* The most layers of a call. */
#define CTI_MOST_STACKED 8

/* One recurrent layer in one direction together with its input, in f32: T steps, B rows, I inputs, H
 * hidden units. The kinds of cells, the number of gates G and the meaning of h and c are those of
 * cti_sequence. layer computes h, c and gates. layer_backward computes the gradients that are not
 * NULL, from what layer has written. Both return CT_ERR_MEMORY, without an error raised, if the
 * device has no such kernel for the layer or no memory for it. Whether it has one depends only on the
 * sizes, the kind, the precision and the switches of tensor/config.h. */
typedef struct cti_layer {
    /* A layer of the same kind, precision, steps, batch and hidden that is computed at the same time
     * (optional). If it is stacked, it is the layer above, whose next may be a layer above it.
     * Otherwise it is the other direction: it has the same x, has dx if this layer has it, and its next
     * is NULL. */
    const struct cti_layer *next;
    /* x are the states of the layer below after each step, and dx, which is not NULL, is its dy. It has
     * the direction of the layer below. */
    bool stacked;
    cti_cell_kind kind;
    bool reverse;
    bool bf16; /* as in cti_gemm, for all products */
    int64_t steps, batch, input, hidden;
    const void *x;                 /* (T, B, I); NULL if x is one-hot */
    const void *index;             /* if x is NULL: its classes (T, B), each in 0..I - 1 */
    ct_dtype index_dtype;          /* i32 or i64 */
    const void *w_ih, *w_hh;       /* (G H, I), (G H, H) */
    const void *b_ih, *b_hh;       /* (G H) (optional) */
    void *h, *c;                   /* (T + 1, B, H) */
    void *gates;                   /* cti_layer_gates elements for backward; NULL in inference */
    const void *dy;                /* (T, B, H) (optional) */
    const void *dh_last, *dc_last; /* (B, H) (optional) */
    void *dx;                      /* (T, B, I) (optional); NULL if x is one-hot */
    void *dw_ih, *dw_hh;           /* (G H, I), (G H, H) (optional) */
    void *db_ih, *db_hh;           /* (G H) (optional) */
    void *dh0, *dc0;               /* (B, H); dc0 only for an LSTM */
    bool no_dh0;                   /* dh0 is only working memory: its result is not needed */
} cti_layer;

/* The number of elements of gates. Their layout is the device's own. */
static inline int64_t cti_layer_gates(const cti_layer *l)
{
    bool gated = l->kind == CTI_CELL_LSTM || l->kind == CTI_CELL_GRU;

    return gated ? (l->hidden + 15) / 16 * 64 * l->steps * l->batch : 0;
}

#ifdef __cplusplus
}
#endif

#endif
