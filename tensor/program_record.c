/* SPDX-License-Identifier: MIT */
/* program_record.c - the table of kernels that records what it runs. A slot that cannot be recorded
 * raises an error that says why. */
#include "tensor/program.h"

#include "tensor/cpu/cpu.h"
#include "tensor/hooks.h"

#include <string.h>

/* ---- slots that are recorded ---- */

/* Records a call whose arguments are one struct. */
#define RECORD(slot, value)                                                                        \
    do {                                                                                           \
        cti_program *p_ = cti_program_recorded();                                                  \
        cti_call *c_ = cti_program_add(p_, CTI_CALL_##slot);                                       \
        if (c_) {                                                                                  \
            c_->args.slot = (value);                                                               \
            cti_program_refer(p_, c_);                                                             \
        }                                                                                          \
    } while (0)

static void recording_copy(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    cti_copy_args a = { .rank = rank, .dst = *dst, .src = *src };

    memcpy(a.dim, dim, (size_t)rank * sizeof *dim);
    RECORD(copy, a);
    cti_cpu_copy(rank, dim, dst, src);
}

static void recording_carry(int rank, const int64_t *dim, const cti_array *dst,
                            const cti_array *src)
{
    recording_copy(rank, dim, dst, src);
}

static void recording_fill(void *data, ct_dtype dtype, int64_t n, double value)
{
    const cti_fill_args a = { data, dtype, n, value };

    RECORD(fill, a);
    cti_cpu_fill(data, dtype, n, value);
}

/* The bytes become constants of the program. */
static void recording_upload(void *to, const void *from, size_t bytes)
{
    cti_program *p = cti_program_recorded();
    void *own = cti_calloc(1, bytes ? bytes : 1);
    const cti_upload_args a = { to, own, bytes };

    if (!own)
        cti_out_of_memory(p->me, bytes);
    else if (!cti_grow(p->me, (void **)&p->constants, &p->constant_room, p->constant_count,
                       sizeof *p->constants))
        cti_release(own);
    else {
        memcpy(own, from, bytes);
        p->constants[p->constant_count++] = own;
        RECORD(upload, a);
    }
    cti_cpu_upload(to, from, bytes);
}

#define RECORD_VOID(slot, type)                                                                    \
    static void recording_##slot(const type *a)                                                    \
    {                                                                                              \
        RECORD(slot, *a);                                                                          \
        cti_cpu_##slot(a);                                                                         \
    }
RECORD_VOID(arange, cti_arange_args)
RECORD_VOID(elementwise, cti_ew)
RECORD_VOID(gemm, cti_gemm)
RECORD_VOID(max_pool, cti_max_pool_args)
RECORD_VOID(reduce, cti_reduce_args)
RECORD_VOID(cumsum, cti_cumsum_args)
RECORD_VOID(linear_scan, cti_linear_scan_args)
RECORD_VOID(sort, cti_sort_args)
RECORD_VOID(softmax, cti_softmax_args)

/* A kernel that returns CT_ERR_MEMORY is not recorded, because the caller then computes the
 * result with other kernels. */
#define RECORD_STATUS(slot, type)                                                                  \
    static ct_status recording_##slot(const type *a)                                               \
    {                                                                                              \
        ct_status status = cti_cpu_##slot(a);                                                      \
        if (status == CT_OK)                                                                       \
            RECORD(slot, *a);                                                                      \
        return status;                                                                             \
    }
RECORD_STATUS(conv, cti_conv)
RECORD_STATUS(normalise, cti_normalise_args)

#define RECORD_FAULT(slot, type)                                                                   \
    static ct_status recording_##slot(const type *a, cti_fault *fault)                             \
    {                                                                                              \
        ct_status status = cti_cpu_##slot(a, fault);                                               \
        if (status == CT_OK)                                                                       \
            RECORD(slot, *a);                                                                      \
        return status;                                                                             \
    }
RECORD_FAULT(gather_rows, cti_gather_rows_args)
RECORD_FAULT(one_hot, cti_one_hot_args)
RECORD_FAULT(gather, cti_gather_args)

/* The kernels do not check indices, and the number of rows of a table is not known here. */
static void program_refuse_index(const void *index)
{
    if (index)
        cti_program_refuse(cti_program_recorded(),
                           "runs a recurrent layer on eight or more one-hot vectors; use an "
                           "embedding");
}

static void recording_sequence(const cti_sequence *s)
{
    program_refuse_index(s->index);
    RECORD(sequence, *s);
    cti_cpu_sequence(s);
}

static ct_status recording_layer(const cti_layer *l)
{
    ct_status status = cti_cpu_layer(l);
    cti_layer one;

    for (; l && status == CT_OK; l = l->next) {
        program_refuse_index(l->index);
        one = *l;
        one.next = NULL;
        one.stacked = false;
        RECORD(layer, one);
    }
    return status;
}

/* ---- memory, as in the table of the CPU ---- */

static void recording_select(int ordinal)
{
    (void)ordinal;
}

static void *recording_allocate(size_t bytes)
{
    return cti_cpu_allocate(bytes);
}

static void recording_release(void *data, size_t bytes)
{
    cti_cpu_release(data, bytes);
}

static ct_status recording_download(void *host, const void *device, size_t bytes, cti_fault *fault)
{
    cti_program_refuse(cti_program_recorded(), "reads values");
    return cti_cpu_download(host, device, bytes, fault);
}

/* ---- slots that cannot be recorded; they do not write their outputs ---- */

#define REFUSE(slot, parameters, why)                                                              \
    static void recording_##slot parameters                                                        \
    {                                                                                              \
        cti_program_refuse(cti_program_recorded(), why);                                           \
    }
#define REFUSE_STATUS(slot, parameters, why)                                                       \
    static ct_status recording_##slot parameters                                                   \
    {                                                                                              \
        cti_program_refuse(cti_program_recorded(), why);                                           \
        return CT_OK;                                                                              \
    }

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif

#define DRAWS "draws random numbers"
#define TRAINS "trains; a plan only computes forward"

REFUSE(uniform, (const cti_draw_args *a), DRAWS)
REFUSE(normal, (const cti_draw_args *a), DRAWS)
REFUSE(dropout, (const cti_dropout_args *a), DRAWS)
REFUSE(randint, (const cti_randint_args *a), DRAWS)
REFUSE_STATUS(multinomial, (const cti_multinomial_args *a, cti_fault *f), DRAWS)
REFUSE_STATUS(multinomial_keys, (const cti_multinomial_args *a, cti_fault *f), DRAWS)
REFUSE_STATUS(check_elements, (const cti_check_args *a, cti_fault *f), "checks values")
REFUSE(logcumsumexp, (const cti_cumsum_args *a), "is a scan that a plan does not support")
REFUSE(logcumsumexp_backward, (const cti_logcumsumexp_backward_args *a), TRAINS)
REFUSE(linear_scan_backward, (const cti_linear_scan_backward_args *a), TRAINS)
REFUSE(prod_backward, (const cti_prod_backward_args *a), TRAINS)
REFUSE(running_extreme, (const cti_running_extreme_args *a),
       "is a scan that a plan does not support")
REFUSE_STATUS(scatter_add_rows, (const cti_scatter_add_rows_args *a, cti_fault *f),
              "writes rows by index")
REFUSE_STATUS(scatter_add, (const cti_scatter_add_args *a, cti_fault *f), "writes by index")
REFUSE_STATUS(scatter, (const cti_scatter_add_args *a, cti_fault *f), "writes by index")
REFUSE(searchsorted, (const cti_searchsorted_args *a), "searches")
REFUSE_STATUS(cross_entropy, (const cti_cross_entropy_args *a, cti_fault *f), "computes a loss")
REFUSE(cross_entropy_backward, (const cti_cross_entropy_backward_args *a), TRAINS)
REFUSE(ctc, (const cti_ctc_args *a), "computes a loss")
REFUSE_STATUS(linear_cross_entropy, (const cti_linear_cross_entropy_args *a, cti_fault *f),
              "computes a loss")
REFUSE_STATUS(normalise_backward, (const cti_normalise_backward_args *a), TRAINS)
REFUSE(sequence_backward, (const cti_sequence *s), TRAINS)
REFUSE_STATUS(layer_backward, (const cti_layer *l), TRAINS)
REFUSE_STATUS(attention, (const cti_attention_args *a),
              "runs attention in tiles, which takes memory; with ct_set_portable it does not")
REFUSE_STATUS(attention_backward, (const cti_attention_args *a), TRAINS)
REFUSE(norm_squared, (const cti_segment *s, int count, double *out), TRAINS)
REFUSE_STATUS(clip_norm, (const cti_clip_norm_args *a, cti_fault *f), TRAINS)
REFUSE(update, (const cti_update *u, const cti_segment *s, int count), TRAINS)

const cti_backend cti_recording_backend = { .version = CTI_BACKEND_VERSION,
                                            .size = sizeof(cti_backend),
                                            .name = "cpu",
#define RECORDING_ENTRY(result, name, parameters) .name = recording_##name,
                                            CTI_INFERENCE_SLOTS(RECORDING_ENTRY)
#undef RECORDING_ENTRY
#define RECORDING_ENTRY(result, name, parameters) .name = CTI_TRAINING(recording_##name),
                                                CTI_TRAINING_SLOTS(RECORDING_ENTRY)
#undef RECORDING_ENTRY
};
