#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""optim.py - PyTorch's numbers for optimisers, clipping and learning-rate schedules.

    python optim.py [-o OUTPUT]

Run once by hand (README.md beside it), never by `make check`. OUTPUT defaults to optim.txt beside
this script. A C test reads OUTPUT and repeats the runs; everything below is what both sides
compute. Nothing is random.

unit(k, i), integers modulo 2^32:
    x  = i * 2654435761 + k * 40503 + 12345
    x ^= x >> 16
    x  = x * 2246822519
    x ^= x >> 13
    unit = x / 4294967296.0 * 2.0 - 1.0                                 in double

Parameters      k  name      elements       element i begins as (float)(unit(k, i) * 0.5)
                0  a.weight  37
                1  a.bias    5
                2  b.weight  3
Gradient of element i of parameter k in step t = 1 .. 50: 0 where (i + t) % 7 == 0, else
(float)(unit(k + 16 t, i) * (i % 5 == 4 ? 0.001 : 1)). The f64 runs widen these f32 values.

OUTPUT. Lines beginning with '#' are comments and stand only at the top. Then blocks of

    run RULE [KEY=VALUE]...
        then four lines: the f32 run after step 1 and after step 50, the f64 run likewise. Each is
        a.weight[0], [4] and [36], a.bias[0], b.weight[0], and the sum over all 45 elements, in
        order, of unit(99, j) times element j.
        RULE is sgd, adam, adamw, rmsprop, adagrad, adamax, adadelta, nadam or radam; a KEY is an
        option of it (a true one is 1),
        "no_KEY=1" is KEY 0, or one of
            clip_value, clip_norm   before each step, the latter as main_job.py has it
            bias_lr, bias_weight_decay, bias_no_weight_decay    a group of a.bias
            late=N      a.bias has no gradient before step N
            freeze=1    b.weight is not trained
            step_size, schedule_gamma       StepLR, a step after each update

    schedule PART=VALUES...
        then two lines of 40 rates, before step 0, 1, ...: of base rates 0.5 and 0.02. PARTs:
            step=SIZE,GAMMA  linear=START,END,ITERS  cosine=T_MAX,ETA_MIN  then=AT
            multistep=GAMMA,AT,AT,...  exponential=GAMMA
            onecycle=MAX_LR,STEPS,PCT_START,DIV,FINAL_DIV,LINEAR,THREE_PHASE (alone: it replaces the
            base rate)
            plateau=FACTOR,PATIENCE,THRESHOLD,COOLDOWN,MIN_LR,MAXIMIZE,ABSOLUTE
        Parts step one after another; after step t = 0, 1, ... a plateau is shown the metric
        1 / (1 + t) + 0.05 unit(77, t), negated where MAXIMIZE is 1. Patience 0 and so on are meant.
"""

import argparse
import os
import platform
import warnings

import numpy as np
import torch
from torch.optim import lr_scheduler as sched

STEPS = 50
SIZES = {"a.weight": 37, "a.bias": 5, "b.weight": 3}
RULES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
         "rmsprop": torch.optim.RMSprop, "adagrad": torch.optim.Adagrad,
         "adamax": torch.optim.Adamax, "adadelta": torch.optim.Adadelta, "nadam": torch.optim.NAdam,
         "radam": torch.optim.RAdam}

RUNS = """
sgd lr=0.1
sgd no_lr=1
sgd
sgd lr=0.1 weight_decay=0.1
sgd lr=0.1 momentum=0.9
sgd lr=0.1 momentum=0.9 dampening=0.5
sgd lr=0.1 momentum=0.9 dampening=-0.5
sgd lr=0.1 momentum=0.9 nesterov=1
sgd lr=0.1 momentum=0.9 nesterov=1 weight_decay=0.05
sgd lr=0.1 momentum=0.5 dampening=0.1 weight_decay=0.05 maximize=1
sgd lr=0.1 momentum=0.9 late=20
sgd lr=0.1 momentum=0.9 dampening=0.5 late=20 freeze=1
sgd lr=0.2 clip_value=0.3
sgd lr=0.2 clip_norm=1
sgd lr=0.2 clip_norm=1 freeze=1 late=7
sgd lr=0.2 momentum=0.9 step_size=10 schedule_gamma=0.5
sgd lr=0.2 weight_decay=0.1 bias_lr=0.01 bias_no_weight_decay=1
adam
adam lr=0.05
adam lr=0.05 weight_decay=0.1
adam lr=0.05 beta1=0.5 beta2=0.9
adam lr=0.05 no_beta1=1
adam lr=0.05 no_beta2=1 eps=0.1
adam lr=0.05 eps=0.01
adam lr=0.05 amsgrad=1
adam lr=0.05 amsgrad=1 beta2=0.8 weight_decay=0.1
adam lr=0.05 maximize=1
adam lr=0.05 late=20
adam lr=0.05 weight_decay=0.2 bias_weight_decay=0.01 bias_lr=0.1
adam lr=0.05 clip_norm=0.5 step_size=7 schedule_gamma=0.8
adamw
adamw lr=0.05
adamw lr=0.05 no_weight_decay=1
adamw lr=0.05 weight_decay=0.5
adamw lr=0.05 weight_decay=0.5 amsgrad=1 maximize=1
adamw lr=0.05 weight_decay=0.5 beta1=0.8 late=9
adamw lr=0.05 bias_no_weight_decay=1 weight_decay=0.3 step_size=5 schedule_gamma=0.9
rmsprop
rmsprop lr=0.02 alpha=0.9
rmsprop lr=0.02 no_alpha=1 eps=0.1
rmsprop lr=0.02 momentum=0.9
rmsprop lr=0.02 centered=1
rmsprop lr=0.02 centered=1 momentum=0.5 weight_decay=0.1
rmsprop lr=0.02 alpha=0.8 eps=0.001 weight_decay=0.2
rmsprop lr=0.02 maximize=1 late=20 momentum=0.3
rmsprop lr=0.02 bias_lr=0.001 clip_value=0.2
adagrad
adagrad lr=0.1
adagrad lr=0.1 lr_decay=0.05
adagrad lr=0.1 weight_decay=0.1
adagrad lr=0.1 initial_accumulator_value=0.5
adagrad lr=0.1 eps=0.01 lr_decay=0.1 late=20 weight_decay=0.05
adagrad lr=0.1 maximize=1 bias_lr=0.3 freeze=1
adamax
adamax lr=0.05
adamax lr=0.05 beta1=0.5 beta2=0.9
adamax lr=0.05 weight_decay=0.1
adamax lr=0.05 eps=0.01 late=20 weight_decay=0.05 bias_no_weight_decay=1
adamax lr=0.05 no_beta1=1 no_beta2=1
adamax lr=0.05 maximize=1 bias_lr=0.3 freeze=1 step_size=7 schedule_gamma=0.8
adadelta
adadelta lr=0.5 rho=0.8
adadelta lr=0.5 weight_decay=0.1 eps=0.001
adadelta no_rho=1 lr=0.1 late=20 bias_no_weight_decay=1 weight_decay=0.05
adadelta lr=0.5 maximize=1 bias_lr=0.3 freeze=1 step_size=7 schedule_gamma=0.8
nadam
nadam lr=0.05
nadam lr=0.05 beta1=0.5 beta2=0.9 eps=0.01
nadam lr=0.05 momentum_decay=0.1 weight_decay=0.1
nadam lr=0.05 no_momentum_decay=1 late=20 weight_decay=0.05 bias_no_weight_decay=1
nadam lr=0.05 decoupled_weight_decay=1 weight_decay=0.3 bias_weight_decay=0.1
nadam lr=0.05 maximize=1 bias_lr=0.3 freeze=1 step_size=7 schedule_gamma=0.8
radam
radam lr=0.05
radam lr=0.05 beta1=0.5 beta2=0.9 eps=0.01
radam lr=0.05 no_beta1=1 beta2=0.99 weight_decay=0.1
radam lr=0.05 beta2=0.8 late=20 weight_decay=0.05 bias_no_weight_decay=1
radam lr=0.05 decoupled_weight_decay=1 weight_decay=0.3 bias_weight_decay=0.1
radam lr=0.05 maximize=1 bias_lr=0.3 freeze=1 step_size=7 schedule_gamma=0.8
"""

SCHEDULES = """
step=10,0.5
step=3,0.9
linear=0.1,1,8
linear=1,0.2,25
cosine=20,0.01
cosine=15,0
step=7,0.5 linear=0.25,1,12
linear=0.25,1,5 cosine=40,0
linear=0.01,1,5 then=5 cosine=30,0.001
linear=0.5,1,4 then=4 step=6,0.3 then=20 cosine=10,0.01
plateau=0.5,2,0.0001,0,0,0,0
plateau=0.1,0,0,3,0.001,0,1
plateau=0.3,1,0.01,2,0.03,1,0
plateau=0.3,3,0.01,1,0,1,1
linear=0.2,1,6 plateau=0.5,2,0.05,0,0,0,0
multistep=0.1,10,25
multistep=0.5,3,3,7,39
exponential=0.9
exponential=1.05
multistep=0.5,6,12 linear=0.25,1,10
linear=0.5,1,4 then=4 exponential=0.8 then=20 multistep=0.3,5,9
onecycle=1,40,0.3,25,10000,0,0
onecycle=0.8,40,0.4,10,100,1,0
onecycle=0.5,43,0.25,5,1000,0,1
onecycle=2,41,0.3,4,50,1,1
"""


def unit(k, i):
    """k an integer, i an array of them: float64"""
    mask = np.uint64(0xFFFFFFFF)
    x = np.asarray(i, dtype=np.uint64)
    x = (x * np.uint64(2654435761) + np.uint64(k * 40503 + 12345)) & mask
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(2246822519)) & mask
    x ^= x >> np.uint64(13)
    return x.astype(np.float64) / 4294967296.0 * 2.0 - 1.0


def gradient(k, count, t):
    i = np.arange(count)
    g = unit(k + 16 * t, i) * np.where(i % 5 == 4, 0.001, 1.0)
    g[(i + t) % 7 == 0] = 0
    return torch.from_numpy(g.astype(np.float32))


def parse(words):
    """["lr=0.1", ...] -> {"lr": 0.1}; a flag's "1" becomes True"""
    out = {}
    for word in words:
        key, value = word.split("=")
        out[key] = float(value)
    return out


def optimizer(rule, keys, named):
    """The optimiser of a run, with its group."""
    bias = {k[5:]: keys.pop(k) for k in list(keys) if k.startswith("bias_")}
    options = {}
    for key, value in keys.items():
        if key in ("clip_value", "clip_norm", "late", "freeze", "step_size", "schedule_gamma"):
            continue
        if key in ("nesterov", "maximize", "amsgrad", "centered", "decoupled_weight_decay"):
            value = bool(value)
        if key.startswith("no_"):
            key, value = key[3:], 0.0
        options[key] = value
    if rule.startswith("adam") or rule in ("nadam", "radam"):
        plain = {"beta1": 0.9, "beta2": 0.999}
        plain.update({k: options.pop(k) for k in list(options) if k.startswith("beta")})
        options["betas"] = (plain["beta1"], plain["beta2"])
    group = {"params": [named["a.bias"]]}
    for key, value in bias.items():
        group["weight_decay" if key == "no_weight_decay" else key] = \
            0.0 if key == "no_weight_decay" else value
    trained = [p for n, p in named.items() if n != "a.bias" and p.requires_grad]
    return RULES[rule]([{"params": trained}, group], foreach=False, **options)


def clip(keys, params):
    with_grad = [p for p in params if p.grad is not None]
    if "clip_value" in keys:
        torch.nn.utils.clip_grad_value_(with_grad, keys["clip_value"])
    if "clip_norm" in keys:
        norm = torch.sqrt(sum(torch.sum(p.grad.double() ** 2) for p in with_grad))
        if norm > keys["clip_norm"]:
            for p in with_grad:
                p.grad *= keys["clip_norm"] / norm


def numbers(named):
    """The six numbers of a line."""
    whole = torch.cat([p.detach().double() for p in named.values()]).numpy()
    picked = [whole[0], whole[4], whole[36], whole[37], whole[42]]
    total = 0.0
    for weight, value in zip(unit(99, np.arange(len(whole))), whole):
        total += weight * value
    return picked + [total]


def run(line, dtype):
    rule, *words = line.split()
    keys = parse(words)
    torch.set_default_dtype(dtype)      # of NAdam's mu_product
    named = {}
    for k, (name, size) in enumerate(SIZES.items()):
        w = torch.from_numpy((unit(k, np.arange(size)) * 0.5).astype(np.float32)).to(dtype)
        named[name] = w.requires_grad_(not (name == "b.weight" and "freeze" in keys))
    opt = optimizer(rule, keys, named)
    steps = None
    if "step_size" in keys:
        steps = sched.StepLR(opt, int(keys["step_size"]), keys["schedule_gamma"])
    for t in range(1, STEPS + 1):
        for k, (name, p) in enumerate(named.items()):
            if p.requires_grad and not (name == "a.bias" and t < keys.get("late", 0)):
                p.grad = gradient(k, p.numel(), t).to(dtype)
        clip(keys, named.values())
        opt.step()
        opt.zero_grad()
        if steps:
            steps.step()
        if t in (1, STEPS):
            yield numbers(named)


def part_of(opt, kind, v):
    if kind == "step":
        return sched.StepLR(opt, int(v[0]), v[1])
    if kind == "linear":
        return sched.LinearLR(opt, v[0], v[1], int(v[2]))
    if kind == "multistep":
        return sched.MultiStepLR(opt, [int(x) for x in v[1:]], v[0])
    if kind == "exponential":
        return sched.ExponentialLR(opt, v[0])
    if kind == "onecycle":
        return sched.OneCycleLR(opt, v[0], int(v[1]), pct_start=v[2], div_factor=v[3],
                                final_div_factor=v[4], anneal_strategy="linear" if v[5] else "cos",
                                three_phase=bool(v[6]), cycle_momentum=False)
    if kind == "cosine":
        return sched.CosineAnnealingLR(opt, int(v[0]), v[1])
    return sched.ReduceLROnPlateau(opt, "max" if v[5] else "min", v[0], int(v[1]), v[2],
                                   "abs" if v[6] else "rel", int(v[3]), v[4])


def schedule(line):
    """Two lists of 40 rates."""
    p, q = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    opt = torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.02}], lr=0.5)
    parts, milestones = [], []
    for word in line.split():
        kind, values = word.split("=")
        values = [float(v) for v in values.split(",")]
        if kind == "then":
            milestones.append(int(values[0]))
        else:
            parts.append((part_of(opt, kind, values), kind, values))
    if milestones:
        parts = [(sched.SequentialLR(opt, [s for s, _, _ in parts], milestones), "", [])]
    rates = []
    for t in range(40):
        rates.append([group["lr"] for group in opt.param_groups])
        for s, kind, values in parts:
            if kind == "plateau":
                metric = 1.0 / (1.0 + t) + 0.05 * float(unit(77, [t])[0])
                s.step(-metric if values[5] else metric)
            else:
                s.step()
    return [list(r) for r in zip(*rates)]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", default=os.path.join(here, "optim.txt"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with open(args.output, "w", encoding="ascii") as out:
        print(f"# Made by optim.py with torch {torch.__version__}, {platform.machine()}.", file=out)
        for line in RUNS.strip().split("\n"):
            print("run", line, file=out)
            for dtype, form in ((torch.float32, "%.9g"), (torch.float64, "%.17g")):
                for row in run(line, dtype):
                    print(" ".join(form % v for v in row), file=out)
        for line in SCHEDULES.strip().split("\n"):
            print("schedule", line, file=out)
            for row in schedule(line):
                print(" ".join("%.17g" % v for v in row), file=out)


if __name__ == "__main__":
    main()
