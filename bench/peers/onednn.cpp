/* SPDX-License-Identifier: MIT */
/* onednn.cpp - one training step of one recurrent layer by oneDNN's primitives (version 3).
 *
 *     onednn rnn|lstm|gru HIDDEN f32|bf16 [THREADS] [SECONDS] [FILE]
 *
 * Prints the median of the steps in microseconds, and oneDNN's version, instruction set and
 * implementation. It is the peer of bench/recurrent.c, on the same numbers. Primitives, memory and
 * arguments are made once. The weights lie in (input, gate, output) order, which oneDNN copies
 * fastest; its forward and backward primitives choose formats of their own, and the copies into them
 * are timed, because weights change from step to step. So are the zeros that gradients are added to.
 * The reordering of gradients to PyTorch's layout is not timed. oneDNN 3.2 calls its implementation of
 * f32 training "ref"; inside, that is its compiled GEMM and compiled loops over gates. */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <unordered_map>
#include <vector>

#include <unistd.h>

#include <oneapi/dnnl/dnnl.hpp>

#include "bench/recurrent.h"

using dnnl::memory;
using tag = memory::format_tag;
using dt = memory::data_type;
using arguments = std::unordered_map<int, memory>;

static const memory::dim T = LAYER_STEPS, B = LAYER_BATCH, I = LAYER_INPUT;

static double seconds_now()
{
    using clock = std::chrono::steady_clock;

    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

enum class kind { rnn, lstm, gru };

/* One layer: descriptors, primitives and memory. */
struct layer {
    dnnl::engine engine{ dnnl::engine::kind::cpu, 0 };
    dnnl::stream stream{ engine };
    kind cell;
    memory::dim H, G;
    dt type;
    dnnl::primitive forward, backward;
    std::string implementation;
    memory::desc forward_wl, forward_wi, backward_wl, backward_wi, diff_wl, diff_wi, workspace;
    memory user_wl, user_wi, bias;
    arguments forward_arguments, backward_arguments;
    memory zeroed[3]; /* gradients that backward adds to */

    memory::desc of(memory::dims dims, dt t, tag format) const
    {
        return memory::desc(dims, t, format);
    }
    memory::dim bias_gates() const
    {
        return cell == kind::gru ? 4 : G;
    }
};

/* Gate g of PyTorch's order is gate number place of oneDNN's: a GRU's r z n is u r o there. */
static memory::dim place_of(const layer &l, memory::dim g)
{
    return l.cell == kind::gru && g < 2 ? 1 - g : g;
}

template <typename Forward> static void take_forward(layer &l, const Forward &pd)
{
    l.implementation = pd.impl_info_str();
    l.forward_wl = pd.weights_layer_desc();
    l.forward_wi = pd.weights_iter_desc();
    l.workspace = pd.workspace_desc();
}

template <typename Backward> static void take_backward(layer &l, const Backward &pd)
{
    l.backward_wl = pd.weights_layer_desc();
    l.backward_wi = pd.weights_iter_desc();
    l.diff_wl = pd.diff_weights_layer_desc();
    l.diff_wi = pd.diff_weights_iter_desc();
}

static void make_primitives(layer &l)
{
    const auto way = dnnl::rnn_direction::unidirectional_left2right;
    const auto train = dnnl::prop_kind::forward_training, back = dnnl::prop_kind::backward;
    const memory::dims state = { 1, 1, B, l.H }, wl = { 1, 1, I, l.G, l.H },
                       wi = { 1, 1, l.H, l.G, l.H };
    const auto x = l.of({ T, B, I }, l.type, tag::tnc), h = l.of(state, l.type, tag::ldnc);
    const auto c = l.of(state, dt::f32, tag::ldnc), y = l.of({ T, B, l.H }, l.type, tag::tnc);
    const auto b = l.of({ 1, 1, l.bias_gates(), l.H }, dt::f32, tag::ldgo);
    const auto any_l = l.of(wl, l.type, tag::any), any_i = l.of(wi, l.type, tag::any);
    const auto dx = l.of({ T, B, I }, dt::f32, tag::tnc), ds = l.of(state, dt::f32, tag::ldnc);
    const auto dy = l.of({ T, B, l.H }, dt::f32, tag::tnc);
    const auto dl = l.of(wl, dt::f32, tag::any), di = l.of(wi, dt::f32, tag::any);

    if (l.cell == kind::rnn) {
        const auto tanh = dnnl::algorithm::eltwise_tanh;
        dnnl::vanilla_rnn_forward::primitive_desc f(l.engine, train, tanh, way, x, h, any_l, any_i,
                                                    b, y, h);
        dnnl::vanilla_rnn_backward::primitive_desc g(l.engine, back, tanh, way, x, h, any_l, any_i,
                                                     b, y, h, dx, ds, dl, di, b, dy, ds, f);
        take_forward(l, f);
        take_backward(l, g);
        l.forward = dnnl::vanilla_rnn_forward(f);
        l.backward = dnnl::vanilla_rnn_backward(g);
    } else if (l.cell == kind::lstm) {
        dnnl::lstm_forward::primitive_desc f(l.engine, train, way, x, h, c, any_l, any_i, b, y, h,
                                             c);
        dnnl::lstm_backward::primitive_desc g(l.engine, back, way, x, h, c, any_l, any_i, b, y, h,
                                              c, dx, ds, ds, dl, di, b, dy, ds, ds, f);
        take_forward(l, f);
        take_backward(l, g);
        l.forward = dnnl::lstm_forward(f);
        l.backward = dnnl::lstm_backward(g);
    } else {
        dnnl::lbr_gru_forward::primitive_desc f(l.engine, train, way, x, h, any_l, any_i, b, y, h);
        dnnl::lbr_gru_backward::primitive_desc g(l.engine, back, way, x, h, any_l, any_i, b, y, h,
                                                 dx, ds, dl, di, b, dy, ds, f);
        take_forward(l, f);
        take_backward(l, g);
        l.forward = dnnl::lbr_gru_forward(f);
        l.backward = dnnl::lbr_gru_backward(g);
    }
}

static memory zeros(const layer &l, const memory::desc &d)
{
    memory m(d, l.engine);

    memset(m.get_data_handle(), 0, d.get_size());
    return m;
}

static void copy(layer &l, memory &from, memory &to)
{
    dnnl::reorder(from, to).execute(l.stream, from, to);
    l.stream.wait();
}

/* f32 values in their plain layout, converted to memory of another type. */
static memory filled(layer &l, const memory::desc &d, const memory::desc &plain,
                     const std::vector<float> &values)
{
    memory from(plain, l.engine), to(d, l.engine);

    memcpy(from.get_data_handle(), values.data(), plain.get_size());
    copy(l, from, to);
    return to;
}

/* The weights (G H, in) of PyTorch as (in, G, H). */
static memory weights(layer &l, memory::dim in, int array)
{
    std::vector<float> w((size_t)(l.G * l.H * in));
    const auto d = l.of({ 1, 1, in, l.G, l.H }, dt::f32, tag::ldigo);
    memory m(d, l.engine);
    float *out = (float *)m.get_data_handle();

    layer_fill(w.data(), (int64_t)w.size(), array, l.H);
    for (memory::dim g = 0; g < l.G; g++)
        for (memory::dim o = 0; o < l.H; o++)
            for (memory::dim i = 0; i < in; i++)
                out[(i * l.G + place_of(l, g)) * l.H + o] = w[(size_t)((g * l.H + o) * in + i)];
    return m;
}

/* The sum of both biases, except that a GRU's candidate has them separately. */
static memory biases(layer &l)
{
    memory m = zeros(l, l.of({ 1, 1, l.bias_gates(), l.H }, dt::f32, tag::ldgo));
    std::vector<float> ih((size_t)(l.G * l.H)), hh(ih.size());
    float *out = (float *)m.get_data_handle();

    layer_fill(ih.data(), (int64_t)ih.size(), LAYER_B_IH, l.H);
    layer_fill(hh.data(), (int64_t)hh.size(), LAYER_B_HH, l.H);
    for (memory::dim g = 0; g < l.G; g++)
        for (memory::dim o = 0; o < l.H; o++) {
            const size_t at = (size_t)(g * l.H + o);
            bool apart = l.cell == kind::gru && g == 2;

            out[place_of(l, g) * l.H + o] = apart ? ih[at] : ih[at] + hh[at];
            if (apart)
                out[3 * l.H + o] = hh[at];
        }
    return m;
}

static void make_memory(layer &l)
{
    const memory::dims state = { 1, 1, B, l.H };
    const auto xf = l.of({ T, B, I }, dt::f32, tag::tnc),
               yf = l.of({ T, B, l.H }, dt::f32, tag::tnc);
    const auto h = l.of(state, l.type, tag::ldnc), s = l.of(state, dt::f32, tag::ldnc);
    std::vector<float> x((size_t)(T * B * I)), dy((size_t)(T * B * l.H));
    arguments a;

    layer_fill(x.data(), (int64_t)x.size(), LAYER_X, l.H);
    layer_fill(dy.data(), (int64_t)dy.size(), LAYER_DY, l.H);
    l.user_wl = weights(l, I, LAYER_W_IH);
    l.user_wi = weights(l, l.H, LAYER_W_HH);
    l.bias = biases(l);
    a = { { DNNL_ARG_SRC_LAYER, filled(l, l.of({ T, B, I }, l.type, tag::tnc), xf, x) },
          { DNNL_ARG_SRC_ITER, zeros(l, h) },
          { DNNL_ARG_WEIGHTS_LAYER, zeros(l, l.forward_wl) },
          { DNNL_ARG_WEIGHTS_ITER, zeros(l, l.forward_wi) },
          { DNNL_ARG_BIAS, l.bias },
          { DNNL_ARG_DST_LAYER, zeros(l, l.of({ T, B, l.H }, l.type, tag::tnc)) },
          { DNNL_ARG_DST_ITER, zeros(l, h) },
          { DNNL_ARG_WORKSPACE, zeros(l, l.workspace) } };
    if (l.cell == kind::lstm) {
        a[DNNL_ARG_SRC_ITER_C] = zeros(l, s);
        a[DNNL_ARG_DST_ITER_C] = zeros(l, s);
    }
    l.forward_arguments = a;
    a[DNNL_ARG_WEIGHTS_LAYER] = zeros(l, l.backward_wl);
    a[DNNL_ARG_WEIGHTS_ITER] = zeros(l, l.backward_wi);
    a[DNNL_ARG_DIFF_SRC_LAYER] = zeros(l, xf);
    a[DNNL_ARG_DIFF_SRC_ITER] = zeros(l, s);
    a[DNNL_ARG_DIFF_WEIGHTS_LAYER] = l.zeroed[0] = zeros(l, l.diff_wl);
    a[DNNL_ARG_DIFF_WEIGHTS_ITER] = l.zeroed[1] = zeros(l, l.diff_wi);
    a[DNNL_ARG_DIFF_BIAS] = l.zeroed[2] = zeros(l, l.bias.get_desc());
    a[DNNL_ARG_DIFF_DST_LAYER] = filled(l, yf, yf, dy);
    a[DNNL_ARG_DIFF_DST_ITER] = zeros(l, s);
    if (l.cell == kind::lstm) {
        a[DNNL_ARG_DIFF_SRC_ITER_C] = zeros(l, s);
        a[DNNL_ARG_DIFF_DST_ITER_C] = zeros(l, s);
    }
    l.backward_arguments = a;
}

/* A step: four copies of weights, forward, backward. The copies' primitives are made once. */
struct step {
    layer &l;
    memory fl, fi, bl, bi;
    dnnl::reorder to_fl, to_fi, to_bl, to_bi;

    explicit step(layer &of)
        : l(of), fl(of.forward_arguments.at(DNNL_ARG_WEIGHTS_LAYER)),
          fi(of.forward_arguments.at(DNNL_ARG_WEIGHTS_ITER)),
          bl(of.backward_arguments.at(DNNL_ARG_WEIGHTS_LAYER)),
          bi(of.backward_arguments.at(DNNL_ARG_WEIGHTS_ITER)), to_fl(of.user_wl, fl),
          to_fi(of.user_wi, fi), to_bl(of.user_wl, bl), to_bi(of.user_wi, bi)
    {
    }
    void run()
    {
        to_fl.execute(l.stream, l.user_wl, fl);
        to_fi.execute(l.stream, l.user_wi, fi);
        l.forward.execute(l.stream, l.forward_arguments);
        to_bl.execute(l.stream, l.user_wl, bl);
        to_bi.execute(l.stream, l.user_wi, bi);
        for (memory &m : l.zeroed)
            memset(m.get_data_handle(), 0, m.get_desc().get_size());
        l.backward.execute(l.stream, l.backward_arguments);
        l.stream.wait();
    }
    void touch()
    {
        for (memory *m : { &l.user_wl, &l.user_wi, &l.bias }) {
            volatile float *p = (float *)m->get_data_handle();

            for (size_t i = 0; i < m->get_desc().get_size() / sizeof(float); i++)
                p[i] = p[i];
        }
    }
};

static void write_plain(layer &l, FILE *f, memory m, const memory::desc &plain)
{
    memory to(plain, l.engine);

    copy(l, m, to);
    fwrite(to.get_data_handle(), 1, plain.get_size(), f);
}

/* A gradient of weights as (G H, in), the gates in PyTorch's order. */
static void write_weights(layer &l, FILE *f, memory m, memory::dim in)
{
    const auto plain = l.of({ 1, 1, in, l.G, l.H }, dt::f32, tag::ldgoi);
    memory to(plain, l.engine);

    copy(l, m, to);
    for (memory::dim g = 0; g < l.G; g++)
        fwrite((float *)to.get_data_handle() + place_of(l, g) * l.H * in, sizeof(float),
               (size_t)(l.H * in), f);
}

static void write_results(layer &l, FILE *f)
{
    const arguments &a = l.backward_arguments;
    const auto state = l.of({ 1, 1, B, l.H }, dt::f32, tag::ldnc);
    const float *bias = (const float *)l.zeroed[2].get_data_handle();

    write_plain(l, f, a.at(DNNL_ARG_DST_LAYER), l.of({ T, B, l.H }, dt::f32, tag::tnc));
    write_plain(l, f, a.at(DNNL_ARG_DST_ITER), state);
    if (l.cell == kind::lstm)
        write_plain(l, f, a.at(DNNL_ARG_DST_ITER_C), state);
    write_plain(l, f, a.at(DNNL_ARG_DIFF_SRC_LAYER), l.of({ T, B, I }, dt::f32, tag::tnc));
    write_weights(l, f, l.zeroed[0], I);
    write_weights(l, f, l.zeroed[1], l.H);
    for (memory::dim g = 0; g < l.G; g++) {
        memory::dim at = l.cell == kind::gru && g == 2 ? 3 : place_of(l, g);

        fwrite(bias + at * l.H, sizeof(float), (size_t)l.H, f);
    }
}

/* As layer_time in bench/recurrent.c. */
static double step_time(bool alone)
{
    struct timespec t;

    clock_gettime(alone ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double median_of(step &s, double seconds, bool alone)
{
    std::vector<double> spent;
    const double end = seconds_now() + seconds;

    while (spent.size() < 3 || seconds_now() < end) {
        s.touch();
        const double start = step_time(alone);
        s.run();
        spent.push_back(step_time(alone) - start);
    }
    std::sort(spent.begin(), spent.end());
    return spent[spent.size() / 2];
}

static int measure(int argc, char **argv)
{
    const std::string cell = argc > 1 ? argv[1] : "";
    layer l;

    if (argc < 4 || (cell != "rnn" && cell != "lstm" && cell != "gru"))
        return 2;
    l.cell = cell == "rnn" ? kind::rnn : cell == "lstm" ? kind::lstm : kind::gru;
    l.G = cell == "rnn" ? 1 : cell == "lstm" ? 4 : 3;
    l.H = atoll(argv[2]);
    l.type = strcmp(argv[3], "bf16") == 0 ? dt::bf16 : dt::f32;
    make_primitives(l);
    make_memory(l);
    step s(l);
    s.run();
    if (argc > 6) {
        FILE *f = fopen(argv[6], "wb");

        if (!f)
            return 2;
        write_results(l, f);
        fclose(f);
    }
    const dnnl_version_t *v = dnnl_version();
    const double median =
        median_of(s, argc > 5 ? atof(argv[5]) : 1, argc < 5 || atoi(argv[4]) == 1);
    printf("%.2f oneDNN-%d.%d.%d isa-%d %s\n", median * 1e6, v->major, v->minor, v->patch,
           (int)dnnl::get_effective_cpu_isa(), l.implementation.c_str());
    return 0;
}

int main(int argc, char **argv)
{
    const char *threads = argc > 4 ? argv[4] : "1";

    /* OpenMP reads these at its start, so they must stand before it. */
    if (!getenv("OMP_NUM_THREADS") || strcmp(getenv("OMP_NUM_THREADS"), threads) != 0) {
        setenv("OMP_NUM_THREADS", threads, 1);
        setenv("OMP_PROC_BIND", "close", 1);
        setenv("OMP_PLACES", "cores", 1);
        setenv("OMP_WAIT_POLICY", "active", 1);
        execv("/proc/self/exe", argv);
    }
    try {
        return measure(argc, argv);
    } catch (const dnnl::error &e) {
        fprintf(stderr, "oneDNN: error %d: %s\n", (int)e.status, e.what());
        return 1;
    }
}
