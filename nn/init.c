/* init.c - initialisers. */
#include <cotangent/nn/init.h>
#include <cotangent/tensor/random.h>

static ct_status fill_constant(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    (void)g;
    return ct_fill(t, init->a);
}

static ct_status fill_uniform(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    return ct_uniform_into(t, init->a, init->b, g);
}

static ct_status fill_normal(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    return ct_normal_into(t, init->a, init->b, g);
}

ct_init ct_init_constant(double value)
{
    return (ct_init){ .fill = fill_constant, .a = value };
}

ct_init ct_init_uniform(double low, double high)
{
    return (ct_init){ .fill = fill_uniform, .a = low, .b = high };
}

ct_init ct_init_normal(double mean, double std)
{
    return (ct_init){ .fill = fill_normal, .a = mean, .b = std };
}
