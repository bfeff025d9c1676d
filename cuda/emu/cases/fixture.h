/* SPDX-License-Identifier: MIT */
/* fixture.h - functions that the cases share: a stream, buffers, results. (internal) */
#ifndef COTANGENT_CUDA_EMU_CASES_FIXTURE_H
#define COTANGENT_CUDA_EMU_CASES_FIXTURE_H

#include <vector>

#include "cuda/emu/cases/cases.h"
#include "cuda/launch.h"

/* A stream and its buffers. After an error all further functions do nothing. */
struct bench {
    cudaStream_t stream = NULL;
    cudaError_t error = cudaSuccess;

    bench()
    {
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    }

    bool check(cudaError_t e)
    {
        if (error == cudaSuccess)
            error = e;
        return e == cudaSuccess;
    }

    /* n elements on the device, not initialised */
    template <typename T> T *fresh(size_t n)
    {
        void *p = NULL;

        check(cudaMallocAsync(&p, n * sizeof(T), stream));
        return static_cast<T *>(p);
    }

    /* n elements whose bytes all have the value `byte` */
    template <typename T> T *filled(size_t n, int byte = 0)
    {
        T *p = fresh<T>(n);

        check(cudaMemsetAsync(p, byte, n * sizeof(T), stream));
        return p;
    }

    /* n elements with the values 0, 1, 2, ... */
    template <typename T> T *counting(size_t n)
    {
        T *p = fresh<T>(n);
        std::vector<T> host(n);

        for (size_t i = 0; i < n; i++)
            host[i] = static_cast<T>(i);
        check(cudaMemcpyAsync(p, host.data(), n * sizeof(T), cudaMemcpyHostToDevice, stream));
        return p;
    }

    /* the results, after all work is done; empty after an error */
    template <typename T> std::vector<T> read(const T *p, size_t n)
    {
        std::vector<T> host(n);

        if (!check(
                cudaMemcpyAsync(host.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost, stream)) ||
            !check(cudaStreamSynchronize(stream)))
            host.clear();
        return host;
    }

    /* true if element i is f(i) for each i below n */
    template <typename T, typename F> bool holds(const T *p, size_t n, F f)
    {
        std::vector<T> got = read(p, n);

        if (got.size() != n || error != cudaSuccess)
            return false;
        for (size_t i = 0; i < n; i++)
            if (!(got[i] == static_cast<T>(f(i))))
                return false;
        return true;
    }

    bool done()
    {
        return check(cudaStreamSynchronize(stream)) && error == cudaSuccess;
    }
};

#define LAUNCH(b, ...) (b).check(cu_launch(__VA_ARGS__))

#endif
