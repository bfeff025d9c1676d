/* SPDX-License-Identifier: MIT */
/* loops_optim.h - the optimisers' updates of elements at .. at + n - 1 of a segment, for f32 and
 * f64; included by kernels.c after loops_float.h. (internal, no guard)
 *
 * With g = scale grad + weight_decay w, as in PyTorch:
 *   SGD      m = mu m + (1 - dampening) g (m = g at first);  w -= lr m, Nesterov lr (g + mu m)
 *   Adam     w *= shrink;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
 *            w -= lr m / (sqrt(v) / root + eps), AMSGrad with the greatest v so far
 *   RMSprop  v = alpha v + (1 - alpha) g^2;  d = g / (sqrt(v) + eps), centred sqrt(v - a^2) with
 *            a += (1 - alpha) (g - a);  w -= lr d, with momentum lr b, b = mu b + d
 *   Adagrad  v += g^2;  w -= lr g / (sqrt(v) + eps)
 * New states are kept in local variables, because reading them back from memory is slower than
 * computing them. */

#define UPDATE_ARGS int64_t at, int64_t n, const cti_update *u, const cti_segment *s
#define STATE(k) ((T *)s->state[k] + at)
#define GRADIENT(i) (scale * g[i] + decay * w[i])

static void FN(sgd)(UPDATE_ARGS)
{
    T *w = (T *)s->value + at;
    const T *g = (const T *)s->grad + at;
    T scale = (T)u->scale, decay = (T)s->weight_decay, lr = (T)s->lr;
    T mu = (T)u->momentum, share = (T)(s->first ? 1 : 1 - u->dampening);
    T *m;
    int64_t i;

    if (!s->state[0]) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            w[i] -= lr * GRADIENT(i);
        return;
    }
    m = STATE(0);
    if (u->nesterov) {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i), b = mu * m[i] + share * t;

            m[i] = b;
            w[i] -= lr * (t + mu * b);
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T b = mu * m[i] + share * GRADIENT(i);

            m[i] = b;
            w[i] -= lr * b;
        }
    }
}

static void FN(adam)(UPDATE_ARGS)
{
    T *w = (T *)s->value + at;
    const T *g = (const T *)s->grad + at;
    T scale = (T)u->scale, decay = (T)s->weight_decay, lr = (T)s->lr;
    T *m = STATE(0), *v = STATE(1), *most = s->state[2] ? STATE(2) : NULL;
    T b1 = (T)(1 - u->beta1), keep = (T)u->beta2, b2 = (T)(1 - u->beta2), eps = (T)u->eps;
    T shrink = (T)s->shrink, unroot = (T)(1 / s->root);
    int64_t i;

    if (most) {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i), mean = m[i] + b1 * (t - m[i]), square = keep * v[i] + b2 * t * t;
            T top = most[i] > square ? most[i] : square;

            m[i] = mean;
            v[i] = square;
            most[i] = top;
            w[i] = shrink * w[i] - lr * (mean / (M(sqrt)(top) * unroot + eps));
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i), mean = m[i] + b1 * (t - m[i]), square = keep * v[i] + b2 * t * t;

            m[i] = mean;
            v[i] = square;
            w[i] = shrink * w[i] - lr * (mean / (M(sqrt)(square) * unroot + eps));
        }
    }
}

/* Writes the step of each element to d. Rounding may make v - a^2 negative; it then counts as 0. */
static void FN(rmsprop_steps)(int64_t at, int64_t n, const cti_update *u, const cti_segment *s,
                              T *d)
{
    const T *w = (const T *)s->value + at, *g = (const T *)s->grad + at;
    T scale = (T)u->scale, decay = (T)s->weight_decay;
    T *v = STATE(0), *a = s->state[2] ? STATE(2) : NULL;
    T keep = (T)u->beta2, b2 = (T)(1 - u->beta2), eps = (T)u->eps;
    int64_t i;

    if (a) {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i), mean = a[i] + b2 * (t - a[i]), square = keep * v[i] + b2 * t * t;
            T var = square - mean * mean;

            v[i] = square;
            a[i] = mean;
            d[i] = t / (M(sqrt)(var < 0 ? 0 : var) + eps);
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i), square = keep * v[i] + b2 * t * t;

            v[i] = square;
            d[i] = t / (M(sqrt)(square) + eps);
        }
    }
}

static void FN(rmsprop)(UPDATE_ARGS)
{
    T d[256], lr = (T)s->lr, mu = (T)u->momentum;
    int64_t end = at + n, i;

    for (; at < end; at += 256) {
        T *w = (T *)s->value + at, *b = s->state[1] ? STATE(1) : NULL;
        int64_t m = end - at < 256 ? end - at : 256;

        FN(rmsprop_steps)(at, m, u, s, d);
        if (b) {
            INDEPENDENT
            for (i = 0; i < m; i++) {
                T next = mu * b[i] + d[i];

                b[i] = next;
                w[i] -= lr * next;
            }
        } else {
            INDEPENDENT
            for (i = 0; i < m; i++)
                w[i] -= lr * d[i];
        }
    }
}

static void FN(adagrad)(UPDATE_ARGS)
{
    T *w = (T *)s->value + at;
    const T *g = (const T *)s->grad + at;
    T scale = (T)u->scale, decay = (T)s->weight_decay, lr = (T)s->lr;
    T *v = STATE(0), eps = (T)u->eps;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++) {
        T t = GRADIENT(i), square = v[i] + t * t;

        v[i] = square;
        w[i] -= lr * (t / (M(sqrt)(square) + eps));
    }
}

#undef UPDATE_ARGS
#undef STATE
#undef GRADIENT
