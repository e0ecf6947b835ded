"""Loops in LLVM IR that do one thing as fast as the machine can: multiply-add, read, copy, scale and add.

No pass of LLVM touches them: what is written here is what runs. Every kernel takes (destination, first source, second
source, count, repeats): a stream kernel passes `repeats` times over `count` vectors, `fma` makes `count` iterations once.
"""

from __future__ import annotations

#: chains of dependent multiply-adds: latency times issue width, with room to spare, and few enough registers
CHAINS = 12
#: by how many links an iteration makes each chain longer
LINKS = 4
#: vectors per iteration of a stream loop
UNROLL = 8


def fma(name: str, element: str, lanes: int) -> str:
    """`CHAINS` independent chains of x*a+b in registers, each of which an iteration makes `LINKS` links longer."""
    vector = f"<{lanes} x {element}>"
    intrinsic = f"@llvm.fma.v{lanes}{'f32' if element == 'float' else 'f64'}"
    lines = [f"declare {vector} {intrinsic}({vector}, {vector}, {vector})",
             f"define void @{name}(ptr %out, ptr %seed, ptr %unused, i64 %count, i64 %repeats) {{", "entry:",
             f"  %a = load {vector}, ptr %seed, align 64", f"  %next = getelementptr {vector}, ptr %seed, i64 1",
             f"  %b = load {vector}, ptr %next, align 64"]
    for chain in range(CHAINS):
        lines += [f"  %p{chain} = getelementptr {vector}, ptr %seed, i64 {chain}",
                  f"  %s{chain} = load {vector}, ptr %p{chain}, align 64"]
    lines += ["  br label %loop", "loop:", "  %i = phi i64 [ 0, %entry ], [ %more, %loop ]"]
    lines += [f"  %x{c}.0 = phi {vector} [ %s{c}, %entry ], [ %x{c}.{LINKS}, %loop ]" for c in range(CHAINS)]
    lines += [f"  %x{c}.{link + 1} = call {vector} {intrinsic}({vector} %x{c}.{link}, {vector} %a, {vector} %b)"
              for link in range(LINKS) for c in range(CHAINS)]
    lines += ["  %more = add i64 %i, 1", "  %again = icmp ult i64 %more, %count",
              "  br i1 %again, label %loop, label %done", "done:"]
    total = f"%x0.{LINKS}"
    for chain in range(1, CHAINS):
        lines.append(f"  %t{chain} = fadd {vector} {total}, %x{chain}.{LINKS}")
        total = f"%t{chain}"
    return "\n".join([*lines, f"  store {vector} {total}, ptr %out, align 64", "  ret void", "}", ""])


def stream(name: str, kind: str, lanes: int, *, past_caches: bool = False) -> str:
    """`read` (sums the source), `copy` or `triad` (first + 3 * second) of floats; `past_caches` stores nontemporally."""
    vector = f"<{lanes} x float>"
    intrinsic = f"@llvm.fma.v{lanes}f32"
    three = f"{vector} splat (float 3.0)"
    hint = ", !nontemporal !0" if past_caches else ""
    lines = [f"define void @{name}(ptr %out, ptr %first, ptr %second, i64 %count, i64 %repeats) {{", "entry:",
             "  br label %pass", "pass:", "  %r = phi i64 [ 0, %entry ], [ %passed, %done ]", "  br label %loop", "loop:",
             "  %i = phi i64 [ 0, %pass ], [ %more, %loop ]"]
    if kind == "read":
        lines += [f"  %sum{u} = phi {vector} [ zeroinitializer, %pass ], [ %plus{u}, %loop ]" for u in range(UNROLL)]
    for u in range(UNROLL):
        lines += [f"  %at{u} = add i64 %i, {u}", f"  %p{u} = getelementptr {vector}, ptr %first, i64 %at{u}",
                  f"  %v{u} = load {vector}, ptr %p{u}, align 64"]
        if kind == "read":
            lines.append(f"  %plus{u} = fadd {vector} %sum{u}, %v{u}")
            continue
        value = f"%v{u}"
        if kind == "triad":
            value = f"%r{u}"
            lines += [f"  %q{u} = getelementptr {vector}, ptr %second, i64 %at{u}",
                      f"  %w{u} = load {vector}, ptr %q{u}, align 64",
                      f"  {value} = call {vector} {intrinsic}({vector} %w{u}, {three}, {vector} %v{u})"]
        lines += [f"  %o{u} = getelementptr {vector}, ptr %out, i64 %at{u}",
                  f"  store {vector} {value}, ptr %o{u}, align 64{hint}"]
    lines += [f"  %more = add i64 %i, {UNROLL}", "  %again = icmp ult i64 %more, %count",
              "  br i1 %again, label %loop, label %done", "done:"]
    if kind == "read":
        total = "%plus0"
        for u in range(1, UNROLL):
            lines.append(f"  %t{u} = fadd {vector} {total}, %plus{u}")
            total = f"%t{u}"
        lines.append(f"  store {vector} {total}, ptr %out, align 64")
    if past_caches:
        lines.append("  fence seq_cst")
    lines += ["  %passed = add i64 %r, 1", "  %another = icmp ult i64 %passed, %repeats",
              "  br i1 %another, label %pass, label %end", "end:", "  ret void", "}", ""]
    return "\n".join(lines)


def module(lanes: int) -> str:
    """All kernels, for vectors of `lanes` floats."""
    parts = [f"declare <{lanes} x float> @llvm.fma.v{lanes}f32(<{lanes} x float>, <{lanes} x float>, <{lanes} x float>)\n"]
    parts.append(fma("fma32", "float", lanes).split("\n", 1)[1])  # declared above
    parts.append(fma("fma64", "double", lanes // 2))
    parts.append(stream("read", "read", lanes))
    for kind in ("copy", "triad"):
        parts.append(stream(kind, kind, lanes))
        parts.append(stream(f"{kind}_past_caches", kind, lanes, past_caches=True))
    return "\n".join([*parts, "!0 = !{i32 1}", ""])
