/* SPDX-License-Identifier: MIT */
/* file.c - ct_file_write and printing of text from files. */
#include "tensor/internal.h"

#include <cotangent/tensor/file.h>

#include "tensor/atomic_file.h"
#include "tensor/text.h"

ct_status ct_file_write(const char *path, const void *bytes, size_t size)
{
    static const char me[] = "ct_file_write";
    cti_atomic_file f;

    if (!cti_sink_allowed() || !cti_given(me, "path", path) ||
        (size && !cti_given(me, "bytes", bytes)) || !cti_atomic_begin(&f, me, path))
        return ct_error();
    if (cti_atomic_write(&f, bytes, size))
        cti_atomic_commit(&f);
    else
        cti_atomic_abort(&f);
    return ct_error();
}

ct_status ct_file_try(const char *path)
{
    static const char me[] = "ct_file_try";
    static const char page[4096];
    cti_atomic_file f;

    if (!cti_sink_allowed() || !cti_given(me, "path", path) || !cti_atomic_begin(&f, me, path))
        return ct_error();
    (void)cti_atomic_write(&f, page, sizeof page);
    cti_atomic_abort(&f);
    return ct_error();
}

void ct_print_text(const char *text, FILE *out)
{
    if (!cti_given("ct_print_text", "text", text) || !cti_given("ct_print_text", "out", out))
        return;
    cti_print_text(text, out);
}
