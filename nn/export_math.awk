# SPDX-License-Identifier: MIT
# export_math.awk - from tensor/cpu/math.h, the functions of floats as C strings, for exported code.
#     awk -f export_math.awk tensor/cpu/math.h > export_math.inc
#
# A line of the result is { "nn_expf", "text" }, in the order of the header. CTI_IN_LOOP is left out, the
# prefix is nn_, and NAN and INFINITY, which need <math.h>, are their bits.

/^(CTI_IN_LOOP|static inline) float cti_[a-z0-9_]+\(/ {
    name = $0
    sub(/^(CTI_IN_LOOP|static inline) float cti_/, "", name)
    sub(/\(.*/, "", name)
    if (name !~ /^(expf|tanhf|sigmoidf|logf|log_sum|log1pf|softplusf|expm1f|exp_near|exp_of_rest|exp_of_parts|erff|erf_rest|erfcf)$/)
        next
    printf "{ \"nn_%s\",\n", name
    inside = 1
}
inside {
    sub(/^(CTI_IN_LOOP|static inline) /, "static ")
    gsub(/cti_/, "nn_")
    gsub(/-INFINITY/, "nn_float_of(0xff800000u)")
    gsub(/NAN/, "nn_float_of(0x7fc00000u)")
    sub(/ *\/\*[^*]*\*\/$/, "")
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    printf "  \"%s\\n\"\n", $0
}
inside && /^}/ {
    print "  \"\\n\" },"
    inside = 0
}
