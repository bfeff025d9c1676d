# SPDX-License-Identifier: MIT
# table.awk - medians of run.sh's lines (CASE WHO MODE THREADS FIGURE MIB): a table, and JSON.

function median(key,   n, i, j, t, v) {
    n = split(all[key], v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
            t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
        }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

function joined(list) {
    sub(/^ /, "", list)
    gsub(/ /, ", ", list)
    return list
}

function is_time(name) {
    return name == "add" || name == "start"
}

{
    key = $1 " " $2 " " $3 " " $4
    all[key] = all[key] " " $5
    if ($6 > memory[key])
        memory[key] = $6
}

END {
    # products of a training step, for each token (see flops_of in bench.c)
    flops["classic-rnn"] = flops["busy"] = 6 * (256 * 256 + 256 * 28)
    flops["classic-lstm"] = 6 * (4 * 256 * 256 + 256 * 28)
    flops["classic-gru"] = 6 * (3 * 256 * 256 + 256 * 28)
    flops["book-rnn"] = 6 * (32 * 32 + 32 * 28)
    for (key in all) {
        split(key, k, " ")
        m = median(key)
        b = k[1] " " k[2]
        if (!(b in best) || (is_time(k[1]) ? m < best[b] : m > best[b])) {
            best[b] = m
            chosen[b] = key
        }
    }
    peak = best["peak cotangent"]
    quiet = median("classic-rnn cotangent - 1")
    n = split("classic-rnn classic-lstm classic-gru book-rnn generate add start bandwidth linear " \
              "busy", cases, " ")
    p = split("cotangent torch jax tf mxnet", who, " ")
    printf "{\"processor\": \"%s\", \"processors\": %d, \"library\": \"%s\", \"peers\": \"%s\",\n" \
        " \"rounds\": %d, \"seconds\": %s, \"peak_gflops\": %.4g, \"cases\": [", \
        processor, processors, about, versions, rounds, seconds, peak > json
    printf "FMA peak of one thread: %.4g GFLOP/s; %% of peak: by that times the threads\n", peak
    printf "%-13s %-10s %-9s %7s %12s %7s %10s %14s\n", "case", "who", "mode", "threads", \
        "figure", "MiB", "% of peak", "ours / theirs"
    for (i = 1; i <= n; i++)
        for (j = 1; j <= p; j++) {
            b = cases[i] " " who[j]
            if (!(b in best))
                continue
            split(chosen[b], k, " ")
            ours = best[cases[i] " cotangent"]
            ratio = is_time(cases[i]) ? best[b] / ours : ours / best[b]
            share = peak * k[4] ? best[b] * flops[cases[i]] / (peak * 1e7 * k[4]) : 0
            printf "%-13s %-10s %-9s %7d %12.6g %7d %10s %14s\n", cases[i], who[j], k[3], k[4], \
                best[b], memory[chosen[b]], (share ? sprintf("%.0f", share) : ""), \
                (j > 1 ? sprintf("%.2f", ratio) : "")
        }
    if (quiet)
        printf "beside a busy loop, over one thread without: %.2f\n", best["busy cotangent"] / quiet
    for (key in all) {
        split(key, k, " ")
        printf "%s\n  {\"case\": \"%s\", \"who\": \"%s\", \"mode\": \"%s\", \"threads\": %d, " \
            "\"median\": %.6g, \"mib\": %d, \"all\": [%s]}", \
            comma, k[1], k[2], k[3], k[4], median(key), memory[key], joined(all[key]) > json
        comma = ","
    }
    print "\n]}" > json
}
