/* SPDX-License-Identifier: MIT */
/* loops_recurrent.h - the gates of recurrent cells, rows at a time; included by kernels.c after
 * loops_float.h, with T, FN and M defined. (internal, no guard) */

static void FN(activate)(bool relu, int64_t n, void *inout)
{
    T *h = inout;
    int64_t i;

    if (relu) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            h[i] = h[i] < 0 ? 0 : h[i];
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++)
            h[i] = M(tanh)(h[i]);
    }
}

/* dx = (dy + dh) act'(x), where act' is computed from h */
static void FN(activate_backward)(bool relu, int64_t n, const void *h_, const void *dy_,
                                  const void *dh_, void *dx_)
{
    const T *h = h_, *dy = dy_, *dh = dh_;
    T *dx = dx_;
    int64_t i;

    if (relu) {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T d = dy ? dy[i] + dh[i] : dh[i];

            dx[i] = h[i] > 0 ? d : 0;
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T d = dy ? dy[i] + dh[i] : dh[i];

            dx[i] = d * (1 - h[i] * h[i]);
        }
    }
}

/* i f g o;  c' = f c + i g;  h' = o tanh(c') */
static void FN(lstm)(int64_t rows, int64_t n, void *gates, const void *c_before, void *c_, void *h_)
{
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        T *gi = (T *)gates + r * 4 * n, *gf = gi + n, *gg = gf + n, *go = gg + n;
        const T *before = (const T *)c_before + r * n;
        T *c = (T *)c_ + r * n, *h = (T *)h_ + r * n;

        INDEPENDENT
        for (i = 0; i < n; i++) {
            T in = M(sigmoid)(gi[i]), forget = M(sigmoid)(gf[i]);
            T cell = M(tanh)(gg[i]), out = M(sigmoid)(go[i]), next;

            next = forget * before[i] + in * cell;
            gi[i] = in;
            gf[i] = forget;
            gg[i] = cell;
            go[i] = out;
            c[i] = next;
            h[i] = out * M(tanh)(next);
        }
    }
}

static void FN(lstm_backward)(int64_t rows, int64_t n, const void *gates, const void *c_before,
                              const void *c_, const void *dy_, const void *dh_, void *dc_,
                              void *dgates)
{
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        const T *gi = (const T *)gates + r * 4 * n, *gf = gi + n, *gg = gf + n, *go = gg + n;
        const T *before = (const T *)c_before + r * n, *c = (const T *)c_ + r * n;
        const T *dy = dy_ ? (const T *)dy_ + r * n : NULL, *dh = (const T *)dh_ + r * n;
        T *dc = (T *)dc_ + r * n;
        T *di = (T *)dgates + r * 4 * n, *df = di + n, *dg = df + n, *dout = dg + n;

        INDEPENDENT
        for (i = 0; i < n; i++) {
            T d = dy ? dy[i] + dh[i] : dh[i], t = M(tanh)(c[i]);
            T dcell = dc[i] + d * go[i] * (1 - t * t);

            dout[i] = d * t * go[i] * (1 - go[i]);
            di[i] = dcell * gg[i] * gi[i] * (1 - gi[i]);
            df[i] = dcell * before[i] * gf[i] * (1 - gf[i]);
            dg[i] = dcell * gi[i] * (1 - gg[i] * gg[i]);
            dc[i] = dcell * gf[i];
        }
    }
}

/* r z;  n = tanh(x_n + r hx_n);  h' = (1 - z) n + z h */
static void FN(gru)(int64_t rows, int64_t n, const void *x_, const void *hx_, const void *h_before,
                    void *gates, void *hn_, void *h_)
{
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        const T *x = (const T *)x_ + r * 3 * n, *hx = (const T *)hx_ + r * 3 * n;
        const T *before = (const T *)h_before + r * n;
        T *g = (T *)gates + r * 3 * n, *hn = (T *)hn_ + r * n, *h = (T *)h_ + r * n;

        INDEPENDENT
        for (i = 0; i < n; i++) {
            T reset = M(sigmoid)(x[i] + hx[i]), update = M(sigmoid)(x[n + i] + hx[n + i]);
            T carry = hx[2 * n + i], fresh = M(tanh)(x[2 * n + i] + reset * carry);

            g[i] = reset;
            g[n + i] = update;
            g[2 * n + i] = fresh;
            hn[i] = carry;
            h[i] = (1 - update) * fresh + update * before[i];
        }
    }
}

static void FN(gru_backward)(int64_t rows, int64_t n, const void *gates, const void *hn_,
                             const void *h_before, const void *dy_, void *dh_, void *dx_,
                             void *dhx_)
{
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        const T *g = (const T *)gates + r * 3 * n, *hn = (const T *)hn_ + r * n;
        const T *before = (const T *)h_before + r * n;
        const T *dy = dy_ ? (const T *)dy_ + r * n : NULL;
        T *dh = (T *)dh_ + r * n, *dx = (T *)dx_ + r * 3 * n, *dhx = (T *)dhx_ + r * 3 * n;

        INDEPENDENT
        for (i = 0; i < n; i++) {
            T reset = g[i], update = g[n + i], fresh = g[2 * n + i];
            T d = dy ? dy[i] + dh[i] : dh[i];
            T dn = d * (1 - update) * (1 - fresh * fresh);
            T dz = d * (before[i] - fresh) * update * (1 - update);
            T dr = dn * hn[i] * reset * (1 - reset);

            dx[i] = dhx[i] = dr;
            dx[n + i] = dhx[n + i] = dz;
            dx[2 * n + i] = dn;
            dhx[2 * n + i] = dn * reset;
            dh[i] = d * update;
        }
    }
}
