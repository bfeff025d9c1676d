/* SPDX-License-Identifier: MIT */
/* state_dict.h - saving and loading a model's parameters and buffers, by name.
 *
 *     if (ct_params_save(params, "model.safetensors") != CT_OK) ...
 *     if (ct_params_load(params, "model.safetensors", (ct_load_options){ 0 }) != CT_OK) ...
 *
 * The files are safetensors (tensor/safetensors.h), with the names and shapes of PyTorch. PyTorch
 * loads them by
 *     model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
 * and a file that it writes by
 *     safetensors.torch.save_file(model.state_dict(), "model.safetensors")
 * loads here. */
#ifndef COTANGENT_AUTOGRAD_PARAMS_STATE_DICT_H
#define COTANGENT_AUTOGRAD_PARAMS_STATE_DICT_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/tensor/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes all parameters and buffers of set to path. For a part of a set: those under its prefix,
 * with names that leave the prefix out. Every name of a tied value is written. Atomic: whatever
 * fails, path holds the old file or the complete new one. Does nothing, and returns the
 * recorded error, while an error is recorded.
 *
 * Raises CT_ERR_SHAPE if a parameter is lazy (ct_param_is_lazy), CT_ERR_ARGUMENT for a NULL
 * argument or a name that is not UTF-8, CT_ERR_IO, CT_ERR_MEMORY. */
ct_status ct_params_save(ct_params *set, const char *path) CT_WARN_UNUSED;

/* Passes the bytes of that file to a writer (tensor/stream.h). It is not atomic: after an error the
 * writer may have received a part of them. Raises the errors of ct_params_save except CT_ERR_IO,
 * the writer's own errors, and CT_ERR_ARGUMENT if the writer has no write function. */
ct_status ct_params_save_to(ct_params *set, ct_writer writer) CT_WARN_UNUSED;

/* ---- loading ---- */

/* One way in which a file and a set do not match. */
typedef enum ct_load_problem {
    CT_LOAD_PROBLEM_MISSING,    /* in the set, not in the file */
    CT_LOAD_PROBLEM_UNEXPECTED, /* in the file, not in the set */
    CT_LOAD_PROBLEM_SHAPE,      /* in both, with different shapes */
    CT_LOAD_PROBLEM_DTYPE       /* in both, with different dtypes */
} ct_load_problem;

/* A name that a load reports. */
typedef struct ct_load_item {
    ct_load_problem problem;
    const char *name; /* the name in the set, after .rename */
    /* CT_SCALAR if the set or the file lacks the name; -1 for an open size */
    ct_shape in_file, in_set;
    const char *file_dtype; /* "F32"; NULL if the file lacks the name */
} ct_load_item;

/* All mismatches that a load found, whether it failed or not. Zero-initialise it before the first
 * load. A load replaces its contents. The items and their names belong to the report; free them by
 * ct_load_report_clear.
 *
 *     ct_load_report report = { 0 };
 *
 *     status = ct_params_load(params, path, (ct_load_options){ .report = &report });
 *     for (i = 0; i < report.count; i++)
 *         puts(report.items[i].name);
 *     ct_load_report_clear(&report); */
typedef struct ct_load_report {
    ct_load_item *items;
    int count;
    size_t room; /* the number of items for which there is memory */
} ct_load_report;

/* Frees the items. The report is then empty and may be used again. NULL is allowed. */
void ct_load_report_clear(ct_load_report *report);

/* A renaming: a name of the file that begins with `from` begins with `to` instead. */
typedef struct ct_prefix {
    const char *from, *to;
} ct_prefix;

/* Options of ct_params_load and ct_params_load_from. */
typedef struct ct_load_options {
    bool non_strict; /* missing and unexpected names are allowed */
    const ct_prefix
        *rename;            /* the first pair that matches is used; a pair of NULLs ends the list */
    ct_load_report *report; /* receives the mismatches; may be NULL */
    bool map; /* only for ct_params_load: maps the file into memory, with the conditions of
               * ct_safetensors_open_mapped. The values of lazy parameters then stay in the mapping;
               * others are copied. */
} ct_load_options;

/* Loads the parameters and buffers of set, whole or part, from the safetensors file at path. All or
 * nothing: the file is checked and read completely before the first value changes. Lazy parameters
 * get their shapes from the file. Counts as an in-place write: backward must not need the old
 * values. Does nothing while an error is recorded.
 *
 * If names are tied, the file needs only one of them; if it has several, they must hold the same
 * bytes. .rename loads a file whose names have another prefix. A module of d2l saves
 * "rnn.rnn.weight_ih_l0":
 *     (ct_prefix[]){ { "rnn.rnn.", "rnn." }, { NULL, NULL } }
 *
 * Raises CT_ERR_SHAPE or CT_ERR_DTYPE (nothing is converted) if the shape or dtype of a tensor
 * differs; CT_ERR_FORMAT if names are missing or unexpected and .non_strict is false, if tied names
 * differ, or if .rename gives two tensors one name; CT_ERR_ARGUMENT for a NULL argument; and the
 * errors of ct_safetensors_open and ct_safetensors_load. A missing file raises CT_ERR_IO, which
 * stays recorded until ct_error_clear. For an optional file, check first that it exists. */
ct_status ct_params_load(ct_params *set, const char *path, ct_load_options options) CT_WARN_UNUSED;

/* Like ct_params_load, but reads from a reader (tensor/stream.h). Raises the reader's own errors
 * too, and CT_ERR_ARGUMENT if the reader has no read function. .map has no effect. */
ct_status ct_params_load_from(ct_params *set, ct_reader reader,
                              ct_load_options options) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
