/* board.c - progress as plain lines. */
#include "train/board.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

double cti_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool cti_board_due(int64_t epoch, int64_t max_epochs)
{
    return epoch == 1 || epoch == 2 || epoch == 5 || epoch % 10 == 0 || epoch == max_epochs;
}

static int digits(int64_t n)
{
    return n < 10 ? 1 : 1 + digits(n / 10);
}

void cti_board_line(FILE *out, int64_t epoch, int64_t max_epochs, const ct_fit_result *r,
                    double left)
{
    fprintf(out, "epoch %*lld/%lld  perplexity %6.2f", digits(max_epochs), (long long)epoch,
            (long long)max_epochs, r->perplexity);
    if (!isnan(r->validation_perplexity))
        fprintf(out, "  validation %6.2f", r->validation_perplexity);
    fprintf(out, "  %9.0f tokens/s", r->tokens_per_second);
    if (left >= 90)
        fprintf(out, "  %.0f min left\n", ceil(left / 60));
    else
        fprintf(out, "  %.0f s left\n", ceil(left));
    fflush(out);
}
