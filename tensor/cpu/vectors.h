/* SPDX-License-Identifier: MIT */
/* vectors.h - one vector of floats, by the instructions of the code path that is compiled: 8 lanes
 * with AVX2, 16 with AVX-512, 4 with NEON. LANES is not defined on a path without any of them.
 * (internal)
 *
 * Each operation rounds once, so all paths give the same bits, except for the bits of a NaN. Where an
 * operand is NaN, v_min and v_max return the second one. */
#ifndef COTANGENT_TENSOR_CPU_VECTORS_H
#define COTANGENT_TENSOR_CPU_VECTORS_H

#include <stdint.h>

#if defined(__AVX512F__) && defined(__AVX512DQ__)

#include <immintrin.h>

#define LANES 16
typedef __m512 vec;
typedef __mmask16 vec_part; /* some of the lanes */

/* The first n lanes, 0 <= n <= LANES. */
static inline vec_part v_part(int64_t n)
{
    return (vec_part)((1u << n) - 1u);
}

static inline vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

/* The other lanes are 0, and their memory is not read. */
static inline vec v_load_part(const float *p, vec_part part)
{
    return _mm512_maskz_loadu_ps(part, p);
}

static inline void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

static inline void v_store_part(float *p, vec_part part, vec v)
{
    _mm512_mask_storeu_ps(p, part, v);
}

static inline vec v_all(float x)
{
    return _mm512_set1_ps(x);
}

static inline vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

static inline vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

static inline vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

/* a b + c */
static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a b */
static inline vec v_fnma(vec a, vec b, vec c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* the bits of a that are also in b */
static inline vec v_and(vec a, vec b)
{
    return _mm512_and_ps(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm512_or_ps(a, b);
}

static inline vec v_xor(vec a, vec b)
{
    return _mm512_xor_ps(a, b);
}

/* v where x > 0, else 0 */
static inline vec v_where_positive(vec x, vec v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), v);
}

/* 0 where x < 0, else x */
static inline vec v_relu(vec x)
{
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ),
                              _mm512_setzero_ps());
}

/* 2^n for t = 1.5 2^23 + n, -127 <= n <= 128: 0 for -127, inf for 128 */
static inline vec v_power(vec t)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                                _mm512_set1_epi32(127 << 23)));
}

#elif defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

#define LANES 8
typedef __m256 vec;
typedef __m256i vec_part;

static inline vec_part v_part(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline vec v_load_part(const float *p, vec_part part)
{
    return _mm256_maskload_ps(p, part);
}

static inline void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

static inline void v_store_part(float *p, vec_part part, vec v)
{
    _mm256_maskstore_ps(p, part, v);
}

static inline vec v_all(float x)
{
    return _mm256_set1_ps(x);
}

static inline vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

static inline vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec v_fnma(vec a, vec b, vec c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

static inline vec v_and(vec a, vec b)
{
    return _mm256_and_ps(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm256_or_ps(a, b);
}

static inline vec v_xor(vec a, vec b)
{
    return _mm256_xor_ps(a, b);
}

static inline vec v_where_positive(vec x, vec v)
{
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ), v);
}

static inline vec v_relu(vec x)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ), x);
}

static inline vec v_power(vec t)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
                                                _mm256_set1_epi32(127 << 23)));
}

#elif defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#define LANES 4
typedef float32x4_t vec;
typedef int64_t vec_part; /* the number of lanes */

static inline vec_part v_part(int64_t n)
{
    return n;
}

static inline vec v_load(const float *p)
{
    return vld1q_f32(p);
}

static inline vec v_load_part(const float *p, vec_part part)
{
    float all[LANES] = { 0 };

    for (int64_t i = 0; i < part; i++)
        all[i] = p[i];
    return vld1q_f32(all);
}

static inline void v_store(float *p, vec v)
{
    vst1q_f32(p, v);
}

static inline void v_store_part(float *p, vec_part part, vec v)
{
    float all[LANES];

    vst1q_f32(all, v);
    for (int64_t i = 0; i < part; i++)
        p[i] = all[i];
}

static inline vec v_all(float x)
{
    return vdupq_n_f32(x);
}

static inline vec v_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

static inline vec v_div(vec a, vec b)
{
    return vdivq_f32(a, b);
}

/* vminq_f32 would return NaN where either operand is NaN. */
static inline vec v_min(vec a, vec b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vec v_max(vec a, vec b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline vec v_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

static inline vec v_fnma(vec a, vec b, vec c)
{
    return vfmsq_f32(c, a, b);
}

static inline vec v_and(vec a, vec b)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}

static inline vec v_or(vec a, vec b)
{
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}

static inline vec v_xor(vec a, vec b)
{
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}

static inline vec v_where_positive(vec x, vec v)
{
    return vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(x), vreinterpretq_u32_f32(v)));
}

static inline vec v_relu(vec x)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vcltzq_f32(x)));
}

static inline vec v_power(vec t)
{
    return vreinterpretq_f32_s32(
        vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(t), 23), vdupq_n_s32(127 << 23)));
}

#endif

#ifdef LANES

/* cti_tanhf of math.h with fused products. */
static inline vec v_tanh(vec x)
{
    const vec round = v_all(12582912.0f), sign = v_and(x, v_all(-0.0f));
    vec a = v_min(v_all(10.0f), v_xor(x, sign)), t, n, r, p, e;

    t = v_fma(a, v_all(2.88539008177792681f), round);
    n = v_sub(t, round);
    r = v_fnma(n, v_all(0.3465728759765625f), a);
    r = v_fnma(n, v_all(7.14303410154708615e-7f), r);
    p = v_all(0.08917536586523056f);
    p = v_fma(p, r, v_all(0.2676217555999756f));
    p = v_fma(p, r, v_all(0.6666634678840637f));
    p = v_fma(p, r, v_all(1.3333261013031006f));
    p = v_fma(p, r, v_all(2.0f));
    p = v_fma(p, v_mul(r, r), v_add(r, r));
    e = v_power(t);
    p = v_fma(p, e, v_sub(e, v_all(1.0f)));
    return v_or(v_div(p, v_add(p, v_all(2.0f))), sign);
}

/* Returns 1 / (1 + exp(-x)), computed with the polynomial of cti_expf. The result is 0 for x below -88.4,
 * because the exact value is smaller than the normal floats. */
static inline vec v_sigmoid(vec x)
{
    const vec round = v_all(12582912.0f), one = v_all(1.0f);
    vec c = v_max(v_all(-87.0f), v_min(v_all(89.0f), v_xor(x, v_all(-0.0f)))), t, n, r, p;

    t = v_fma(c, v_all(1.44269504088896341f), round);
    n = v_sub(t, round);
    r = v_fnma(n, v_all(0.693145751953125f), c);
    r = v_fnma(n, v_all(1.42860682030941723e-6f), r);
    p = v_all(0.0013933650916442275f);
    p = v_fma(p, r, v_all(0.008363179862499237f));
    p = v_fma(p, r, v_all(0.04166646674275398f));
    p = v_fma(p, r, v_all(0.16666576266288757f));
    p = v_fma(p, r, v_all(0.5f));
    p = v_fma(p, v_mul(r, r), r);
    p = v_add(p, one);
    return v_div(one, v_fma(p, v_power(t), one));
}

#endif

#endif
