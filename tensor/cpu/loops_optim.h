/* loops_optim.h - the optimisers' updates of elements at .. at + n - 1 of a segment, for f32 and
 * f64; included by kernels.c after loops_float.h. (internal, no guard)
 *
 * With g = scale grad + weight_decay w, as in PyTorch:
 *   SGD      m = mu m + (1 - dampening) g (m = g at first);  w -= lr m, Nesterov lr (g + mu m)
 *   Adam     w *= shrink;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
 *            w -= lr m / (sqrt(v) / root + eps), AMSGrad with the greatest v so far
 *   RMSprop  v = alpha v + (1 - alpha) g^2;  d = g / (sqrt(v) + eps), centred sqrt(v - a^2) with
 *            a += (1 - alpha) (g - a);  w -= lr d, with momentum lr b, b = mu b + d
 *   Adagrad  v += g^2;  w -= lr g / (sqrt(v) + eps) */

#define UPDATE_ARGS int64_t at, int64_t n, const cti_update *u, const cti_segment *s
#define STATE(k) ((T *)s->state[k] + at)
#define GRADIENT(i) (scale * g[i] + decay * w[i])

/* What every rule begins with. */
#define UPDATE_BEGIN                                                                              \
    T *w = (T *)s->value + at;                                                                    \
    const T *g = (const T *)s->grad + at;                                                         \
    T scale = (T)u->scale, decay = (T)s->weight_decay, lr = (T)s->lr;                             \
    int64_t i

static void FN(sgd)(UPDATE_ARGS)
{
    UPDATE_BEGIN;
    T mu = (T)u->momentum, share = (T)(s->first ? 1 : 1 - u->dampening);
    T *m;

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
            T t = GRADIENT(i);

            m[i] = mu * m[i] + share * t;
            w[i] -= lr * (t + mu * m[i]);
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            m[i] = mu * m[i] + share * GRADIENT(i);
            w[i] -= lr * m[i];
        }
    }
}

static void FN(adam)(UPDATE_ARGS)
{
    UPDATE_BEGIN;
    T *m = STATE(0), *v = STATE(1), *most = s->state[2] ? STATE(2) : NULL;
    T b1 = (T)(1 - u->beta1), keep = (T)u->beta2, b2 = (T)(1 - u->beta2), eps = (T)u->eps;
    T shrink = (T)s->shrink, root = (T)s->root;

    if (most) {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i);

            m[i] += b1 * (t - m[i]);
            v[i] = keep * v[i] + b2 * t * t;
            most[i] = most[i] > v[i] ? most[i] : v[i];
            w[i] = shrink * w[i] - lr * (m[i] / (M(sqrt)(most[i]) / root + eps));
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i);

            m[i] += b1 * (t - m[i]);
            v[i] = keep * v[i] + b2 * t * t;
            w[i] = shrink * w[i] - lr * (m[i] / (M(sqrt)(v[i]) / root + eps));
        }
    }
}

/* The step of each element, into d; v - a^2, which is no variance once rounding makes it negative,
 * counts as 0 then. */
static void FN(rmsprop_steps)(int64_t at, int64_t n, const cti_update *u, const cti_segment *s,
                              T *d)
{
    UPDATE_BEGIN;
    T *v = STATE(0), *a = s->state[2] ? STATE(2) : NULL;
    T keep = (T)u->beta2, b2 = (T)(1 - u->beta2), eps = (T)u->eps;

    (void)lr;
    if (a) {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i), var;

            v[i] = keep * v[i] + b2 * t * t;
            a[i] += b2 * (t - a[i]);
            var = v[i] - a[i] * a[i];
            d[i] = t / (M(sqrt)(var < 0 ? 0 : var) + eps);
        }
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++) {
            T t = GRADIENT(i);

            v[i] = keep * v[i] + b2 * t * t;
            d[i] = t / (M(sqrt)(v[i]) + eps);
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
                b[i] = mu * b[i] + d[i];
                w[i] -= lr * b[i];
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
    UPDATE_BEGIN;
    T *v = STATE(0), eps = (T)u->eps;

    INDEPENDENT
    for (i = 0; i < n; i++) {
        T t = GRADIENT(i);

        v[i] += t * t;
        w[i] -= lr * (t / (M(sqrt)(v[i]) + eps));
    }
}

#undef UPDATE_ARGS
#undef UPDATE_BEGIN
#undef STATE
#undef GRADIENT
