/* SPDX-License-Identifier: MIT */
/* ctc.cu - connectionist temporal classification. tensor/backend.h has the formulas.
 *
 * One block for each sequence computes alpha and beta, step by step; its threads share the labels
 * of a step. Then a thread for each step of each sequence adds up the gradient of the step, in the
 * order of the labels, without atomics. */
#include "cuda/cuda.h"
#include "cuda/device.h"

/* The data of a block about its sequence. */
struct ctc_block {
    int64_t b, steps, labels;
    const int64_t *target;
    double *alpha, *beta;
};

__device__ inline ctc_block ctc_of(const cti_ctc_args &a, int64_t b)
{
    int64_t room = a.steps * (2 * a.width + 1);
    ctc_block q = { b,
                    a.input_length[b],
                    2 * a.target_length[b] + 1,
                    a.target + b * a.width,
                    a.scratch + b * 2 * room,
                    a.scratch + (b * 2 + 1) * room };

    return q;
}

/* Returns label s of the extended sequence. */
__device__ inline int64_t ctc_label(const cti_ctc_args &a, const ctc_block &q, int64_t s)
{
    return s % 2 ? q.target[s / 2] : a.blank;
}

template <typename T>
__device__ inline double ctc_log_prob(const cti_ctc_args &a, const ctc_block &q, int64_t t,
                                      int64_t label)
{
    return static_cast<double>(
        static_cast<const T *>(a.log_probs)[(t * a.batch + q.b) * a.classes + label]);
}

/* log(exp(x) + exp(y)), also if one or both are -inf */
__device__ inline double ctc_add(double x, double y)
{
    double most = x > y ? x : y, least = x > y ? y : x;

    return least == -INFINITY ? most : most + log1p(exp(least - most));
}

/* Returns the log of the sum over the states of row from which a path may go to state s. step is 1
 * for alpha (lower states) and -1 for beta (higher states). */
__device__ inline double ctc_reach(const cti_ctc_args &a, const ctc_block &q, const double *row,
                                   int64_t s, int step)
{
    int64_t one = s - step, two = s - 2 * step;
    double sum = row[s];

    if (one >= 0 && one < q.labels)
        sum = ctc_add(sum, row[one]);
    if (s % 2 && two >= 0 && two < q.labels && ctc_label(a, q, s) != ctc_label(a, q, two))
        sum = ctc_add(sum, row[two]);
    return sum;
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) ctc_sums(cti_ctc_args a, double *exact)
{
    ctc_block q = ctc_of(a, blockIdx.x);
    int64_t last = q.steps - 1, k, s;
    double loss;

    for (k = 0; k < q.steps; k++) {
        const double *before = q.alpha + (k - 1) * q.labels;
        const double *after = q.beta + (last - k + 1) * q.labels;

        for (s = threadIdx.x; s < q.labels; s += blockDim.x) {
            int64_t label = ctc_label(a, q, s);
            double from = k ? ctc_reach(a, q, before, s, 1) : s < 2 ? 0 : -INFINITY;

            q.alpha[k * q.labels + s] = ctc_log_prob<T>(a, q, k, label) + from;
            if (!a.grad)
                continue;
            from = k ? ctc_reach(a, q, after, s, -1) : s >= q.labels - 2 ? 0 : -INFINITY;
            q.beta[(last - k) * q.labels + s] = ctc_log_prob<T>(a, q, last - k, label) + from;
        }
        __syncthreads();
    }
    if (threadIdx.x)
        return;
    if (q.steps == 0)
        loss = q.labels == 1 ? 0 : INFINITY;
    else if (q.labels == 1)
        loss = -q.alpha[last];
    else
        loss = -ctc_add(q.alpha[(last + 1) * q.labels - 1], q.alpha[(last + 1) * q.labels - 2]);
    exact[q.b] = loss;
    static_cast<T *>(a.loss)[q.b] = static_cast<T>(loss == INFINITY && a.zero_infinity ? 0 : loss);
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) ctc_gradient(cti_ctc_args a, const double *exact)
{
    int64_t i, s;

    for (i = cu_thread(); i < a.steps * a.batch; i += cu_threads()) {
        int64_t t = i / a.batch;
        ctc_block q = ctc_of(a, i % a.batch);
        T *grad = static_cast<T *>(a.grad) + i * a.classes;
        double loss = exact[q.b];
        bool none = loss == INFINITY;

        for (s = 0; s < a.classes; s++)
            grad[s] = static_cast<T>(none && !a.zero_infinity && t < q.steps ? NAN : 0);
        for (s = 0; s < q.labels && !none && t < q.steps; s++) {
            double alpha = q.alpha[t * q.labels + s], beta = q.beta[t * q.labels + s];
            int64_t c = ctc_label(a, q, s);

            if (alpha == -INFINITY || beta == -INFINITY)
                continue;
            grad[c] = static_cast<T>(static_cast<double>(grad[c]) -
                                     exp(alpha + beta - ctc_log_prob<T>(a, q, t, c) + loss));
        }
    }
}

template <typename T> static void ctc_start(const cti_ctc_args *a)
{
    double *exact = static_cast<double *>(cu_scratch((size_t)a->batch * sizeof *exact, "ctc"));

    if (!exact)
        return;
    cu_run("ctc", ctc_sums<T>, a->batch, CU_BLOCK, *a, exact);
    if (a->grad && a->steps > 0)
        cu_run("ctc", ctc_gradient<T>, cu_blocks(a->steps * a->batch, CU_BLOCK), CU_BLOCK, *a,
               static_cast<const double *>(exact));
    cu_scratch_free(exact);
}

void cu_ctc(const cti_ctc_args *a)
{
    if (a->batch == 0)
        return;
    if (a->dtype == CT_F32)
        ctc_start<float>(a);
    else
        ctc_start<double>(a);
}
