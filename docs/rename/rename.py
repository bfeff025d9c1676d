#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rename.py - ports sources to the names of 0.1.0.

    python3 rename.py [--rule RULE] FILE...

Rewrites FILEs in place by names.tsv, which is beside this script: whole identifiers only, all at
once, in code, strings and comments alike. Calls that changed more than their name are rewritten too:

    ct_as_module(params, m)              m
    ct_param_is_settled(p)               !ct_param_is_lazy(p)
    ct_bce_with_logits(x, t, reduction)  ct_bce_with_logits(x, t, (ct_bce_options){ .reduction = reduction })
    ct_set_matmul_precision(CT_BF16)     ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16)   (rule precision)
    ct_matmul_precision() == CT_BF16     ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16
    .no_lr = true                        .lr = CT_ZERO; a patience becomes negative          (rule zero)
    #include <cotangent/autograd/sort.h> #include <cotangent.h>, if the header moved         (rule headers)

RULE is a name of the table's first column, precision, zero or headers; without it all rules apply.
A row whose new name is - has no replacement by script; its note says what to write.
"""
import argparse
import os
import re
import sys


def arguments(text, start):
    """The arguments of the call whose '(' is at start, and the position after its ')'."""
    depth, args, begin, i, quote = 0, [], start + 1, start, None
    while i < len(text):
        c = text[i]
        if quote:
            if c == '\\':
                i += 1
            elif c == quote:
                quote = None
        elif c in '"\'':
            quote = c
        elif c in '([{':
            depth += 1
        elif c in ')]}':
            depth -= 1
            if depth == 0:
                args.append(text[begin:i].strip())
                return args, i + 1
        elif c == ',' and depth == 1:
            args.append(text[begin:i].strip())
            begin = i + 1
        i += 1
    return None, start


def calls(text, name, rewrite):
    """Replaces each call of name by rewrite(arguments), where that is not None."""
    for m in reversed(list(re.finditer(r'\b%s\(' % name, text))):
        args, end = arguments(text, m.end() - 1)
        new = rewrite(args) if args else None
        if new is not None:
            text = text[:m.start()] + new + text[end:]
    return text


def declares(args):
    """True for the parameters of a prototype, which are left alone."""
    return any(re.match(r'(const )?ct_\w+ \*?\w+$', a) for a in args)


CHANGED = {
    'ct_as_module': lambda a: a[1] if len(a) == 2 and not declares(a) else None,
    'ct_param_is_settled': lambda a: '!ct_param_is_lazy(%s)' % a[0] if not declares(a) else None,
    'ct_bce_with_logits': lambda a: '%s(%s, %s, (ct_bce_options){ .reduction = %s })' % (
        'ct_bce_with_logits', *a) if len(a) == 3 and not declares(a) else None,
}


# Rules beside the table: a pattern and what replaces it.
PATTERNS = {
    'precision': [
        (r'\b(ct_set_matmul_precision\(\s*)CT_(F32|BF16)\b', r'\1CT_MATMUL_PRECISION_\2'),
        (r'\bct_matmul_precision\(\)(\s*[!=]=\s*)CT_(F32|BF16)\b',
         r'ct_get_matmul_precision()\1CT_MATMUL_PRECISION_\2'),
        (r'\bct_matmul_precision\(\)', r'ct_get_matmul_precision()'),
        (r'<cotangent/tensor/precision\.h>', r'<cotangent/tensor/config.h>'),
    ],
    'zero': [
        (r'\.no_(lr|beta1|beta2|eps|weight_decay|alpha|threshold)(\s*)=(\s*)(?:true|1)\b', r'.\1\2=\3CT_ZERO'),
        (r'\.no_patience(\s*)=(\s*)(?:true|1)\b', r'.patience\1=\2-1'),
    ],
    'headers': [
        (r'<cotangent/(autograd/(arrange|checkpoint|elementwise|index|matmul|params|random_ops|reduce|shape|'
         r'softmax|sort|state_dict)|data/series|tensor/about)\.h>', r'<cotangent.h>'),
    ],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rule')
    parser.add_argument('files', nargs='+')
    args = parser.parse_args()
    table = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'names.tsv')
    with open(table, encoding='utf-8') as f:
        rows = [line.rstrip('\n').split('\t') for line in f][1:]
    rows = [r for r in rows if args.rule in (None, r[0])]
    patterns = [p for rule in PATTERNS if args.rule in (None, rule) for p in PATTERNS[rule]]
    if not rows and not patterns:
        sys.exit('rename.py: names.tsv has no rule %s' % args.rule)
    new = {r[2]: r[3] for r in rows if r[3] != '-'}
    new.setdefault('ct_linear', 'ct_module') if any(r[2] == 'ct_linear' for r in rows) else None
    old = {r[2] for r in rows}
    names = re.compile(r'\b(%s)\b' % '|'.join(sorted(new, key=len, reverse=True)) if new else r'(?!)')
    for path in args.files:
        with open(path, encoding='utf-8') as f:
            text = f.read()
        changed = text
        for name, rewrite in CHANGED.items():
            if name in old or name + '_with' in old:
                changed = calls(changed, name, rewrite)
        for pattern, replacement in patterns:
            changed = re.sub(pattern, replacement, changed)
        changed = names.sub(lambda m: new[m.group(1)], changed)
        changed = changed.replace('!!ct_param_is_lazy', 'ct_param_is_lazy')
        if changed != text:
            with open(path, 'w', encoding='utf-8') as f:
                f.write(changed)


if __name__ == '__main__':
    main()
