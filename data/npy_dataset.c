/* SPDX-License-Identifier: MIT */
/* npy_dataset.c - datasets of NumPy files, which are read or mapped into memory. */
#include "tensor/internal.h"

#include <cotangent/data/dataset_files.h>
#include <cotangent/tensor/npy.h>

#include "data/internal.h"
#include "tensor/npy_header.h"
#include "tensor/read_file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const char *const npy_dataset_making = "ct_dataset_npy_new";

/* Maps a file whose header is checked as field k of draft; false with an error. */
static bool npy_dataset_map(cti_spans *draft, int k, const char *path, const cti_npy_header *h)
{
    size_t bytes = (size_t)(h->begin + h->bytes);
    cti_read_file f;
    void *p;

    if (h->fortran || h->dtype == CT_BOOL) {
        ct_raise(CT_ERR_FORMAT, npy_dataset_making, "%.400s: %s cannot be mapped", path,
                 h->fortran ? "a file in Fortran order" : "a file of bools");
        return false;
    }
    if (!cti_read_open(&f, npy_dataset_making, path))
        return false;
    p = f.size == bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, f.fd, 0) : NULL;
    if (!p)
        ct_raise(CT_ERR_FORMAT, npy_dataset_making, "%.400s: changed while it was opened", path);
    else if (p == MAP_FAILED)
        ct_raise(CT_ERR_IO, npy_dataset_making, "%.400s: %s", path, strerror(errno));
    cti_read_close(&f);
    if (!p || p == MAP_FAILED)
        return false;
    if (h->big_endian != CTI_SWAPS_FILES)
        cti_swap_bytes((char *)p + h->begin, ct_dtype_size(h->dtype),
                       (size_t)h->bytes / ct_dtype_size(h->dtype));
    draft->mapped[k] = p;
    draft->mapped_bytes[k] = bytes;
    draft->span[k].from = (const char *)p + h->begin;
    draft->span[k].unit = draft->samples ? (size_t)h->bytes / (size_t)draft->samples : 0;
    draft->span[k].row_bytes = draft->span[k].unit;
    return true;
}

static ct_dataset *npy_dataset_mapped(int count, const char *const *names, const char *const *paths)
{
    cti_spans draft = { .count = count };
    ct_field fields[CT_MAX_FIELDS];
    bool good = true;

    for (int k = 0; k < count && good; k++) {
        cti_npy_header h;

        good = cti_npy_inspect(paths[k], &h);
        if (good && k == 0 && h.shape.rank)
            draft.samples = h.shape.dim[0];
        if (good && (!h.shape.rank || h.shape.dim[0] != draft.samples)) {
            ct_raise(CT_ERR_SHAPE, npy_dataset_making,
                     "%.400s: is %s%s; it must be (N, ...) with the N of %.400s", paths[k],
                     ct_dtype_name(h.dtype), cti_shape_text(&h.shape).s, paths[0]);
            good = false;
        }
        if (good) {
            fields[k] =
                (ct_field){ .name = names[k],
                            .dtype = h.dtype,
                            .shape = ct_shape_from_sizes(h.shape.rank - 1, h.shape.dim + 1) };
            good = npy_dataset_map(&draft, k, paths[k], &h);
        }
    }
    if (good)
        return cti_spans_new(npy_dataset_making, &draft, fields);
    cti_spans_drop(&draft);
    return NULL;
}

static ct_dataset *npy_dataset_read(int count, const char *const *names, const char *const *paths)
{
    ct_scope s = cti_scope_push();
    ct_tensor *tensors[CT_MAX_FIELDS];
    ct_dataset *d = NULL;
    int read = 0;

    while (read < count && (tensors[read] = ct_npy_read(paths[read], CT_CPU)) != NULL)
        read++;
    if (read == count)
        d = ct_dataset_tensors_new(count, names, tensors);
    cti_scope_pop(s);
    return d;
}

ct_dataset *ct_dataset_npy_new(int count, const char *const *names, const char *const *paths,
                               bool mapped)
{
    if (count < 1 || count > CT_MAX_FIELDS) {
        ct_raise(CT_ERR_ARGUMENT, npy_dataset_making, "count is %d; it must be 1 to %d", count,
                 CT_MAX_FIELDS);
        return NULL;
    }
    if (!cti_given(npy_dataset_making, "names", names) ||
        !cti_given(npy_dataset_making, "paths", paths))
        return NULL;
    return mapped ? npy_dataset_mapped(count, names, paths) : npy_dataset_read(count, names, paths);
}
