"""Vectors of sixteen float32 as values, and the few operations that the window kernel needs.

numba has no such type, so this declares one (LLVM's ``<16 x float>``) and builds each operation
from LLVM instructions. LLVM maps it to one AVX-512 register, two AVX2 or four NEON registers. There
is a type of eight, too, for the end of a row.

Addresses are int64 and count bytes. Nothing is checked.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from stream_w2v.kernel.compile import inlined

LANES = 16
BYTES = 4 * LANES

_I32 = ir.IntType(32)
_F32 = ir.FloatType()
_VECTOR = ir.VectorType(_F32, LANES)
_HALF = ir.VectorType(_F32, LANES // 2)
_VECTOR_I32 = ir.VectorType(_I32, LANES)


class _Floats(types.Type):
    def __init__(self, vector: ir.VectorType) -> None:
        self.vector = vector
        super().__init__(name=f"float32x{vector.count}")


float32x16 = _Floats(_VECTOR)
float32x8 = _Floats(_HALF)


@register_model(_Floats)
class _FloatsModel(PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _call(builder: Any, name: str, arguments: list[Any]) -> Any:
    """Call an LLVM intrinsic from vectors to a vector."""
    vector = arguments[0].type
    function_type = ir.FunctionType(vector, [vector] * len(arguments))
    name = f"{name}.v{vector.count}f32"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments)


def _pointer(builder: Any, address: Any, pointee: Any) -> Any:
    return builder.inttoptr(address, pointee.as_pointer())


def _load(builder: Any, address: Any, vector: Any = _VECTOR) -> Any:
    return builder.load(_pointer(builder, address, vector), align=4 * vector.count)


def _splat(builder: Any, scalar: Any, vector: Any = _VECTOR) -> Any:
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, _I32(0))
    lanes = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(single, single, lanes)


def _broadcast(builder: Any, address: Any, vector: Any = _VECTOR) -> Any:
    # LLVM folds load, insert and shuffle into the memory operand of the fma that follows.
    return _splat(builder, builder.load(_pointer(builder, address, _F32), align=4), vector)


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """Load 16 floats from an address that is a multiple of 64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, arguments[0])

    return float32x16(types.int64), generate


@intrinsic
def load_unaligned(typing: Any, address: Any) -> Any:
    """Load 16 floats from any address that is a multiple of 4."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], _VECTOR), align=4)

    return float32x16(types.int64), generate


@intrinsic
def load_like(typing: Any, address: Any, values: Any) -> Any:
    """Load as many floats as a member of a tuple of vectors has, from an aligned address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, arguments[0], values.dtype.vector)

    return values.dtype(types.int64, values), generate


@intrinsic
def load_address(typing: Any, address: Any) -> Any:
    """Load one int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(64)), align=8)

    return types.int64(types.int64), generate


@intrinsic
def load_bytes(typing: Any, address: Any) -> Any:
    """Load eight bytes from any address as a uint64, the first one lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(64)), align=1)

    return types.uint64(types.int64), generate


@intrinsic
def store(typing: Any, address: Any, value: Any) -> Any:
    """Store a vector at an address that is a multiple of its size."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], value.vector)
        builder.store(arguments[1], pointer, align=4 * value.vector.count)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def load_twice(typing: Any, address: Any) -> Any:
    """Load 8 floats from an address that is a multiple of 32 into both halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = _load(builder, arguments[0], _HALF)
        lanes = ir.Constant(_VECTOR_I32, [*range(LANES // 2)] * 2)
        return builder.shuffle_vector(value, value, lanes)

    return float32x16(types.int64), generate


@intrinsic
def splat_pair(typing: Any, address: Any) -> Any:
    """Load two floats: the first into the lower eight lanes, the second into the upper."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        two = ir.VectorType(_F32, 2)
        value = builder.load(_pointer(builder, arguments[0], two), align=4)
        lanes = ir.Constant(_VECTOR_I32, [0] * (LANES // 2) + [1] * (LANES // 2))
        return builder.shuffle_vector(value, value, lanes)

    return float32x16(types.int64), generate


@intrinsic
def store_unaligned(typing: Any, address: Any, value: Any) -> Any:
    """Store 16 floats at any address that is a multiple of 4."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _pointer(builder, arguments[0], _VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, float32x16), generate


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """Put one float32 into every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return float32x16(types.float32), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute ``a * b + c`` with one rounding."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.fma", list(arguments))

    return float32x16(float32x16, float32x16, float32x16), generate


def _binary(instruction: str) -> Any:
    @intrinsic
    def operation(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return float32x16(float32x16, float32x16), generate

    return operation


add = _binary("fadd")
subtract = _binary("fsub")
multiply = _binary("fmul")
divide = _binary("fdiv")


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """Lane by lane the larger; a NaN in ``a`` stays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a_value, b_value = arguments
        return builder.select(builder.fcmp_ordered("<", a_value, b_value), b_value, a_value)

    return float32x16(float32x16, float32x16), generate


@intrinsic
def clamp(typing: Any, value: Any, bound: Any) -> Any:
    """Limit every lane to ``-bound..bound``; a NaN stays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, bound = arguments
        negated = builder.fneg(bound)
        value = builder.select(builder.fcmp_ordered(">", value, bound), bound, value)
        return builder.select(builder.fcmp_ordered("<", value, negated), negated, value)

    return float32x16(float32x16, float32x16), generate


@intrinsic
def square_root(typing: Any, value: Any) -> Any:
    """Square root of every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.sqrt", list(arguments))

    return float32x16(float32x16), generate


@intrinsic
def exponential(typing: Any, value: Any) -> Any:
    """``exp`` of every lane in -80..80, to 4e-6 of its value.

    exp(v) = 2^n exp(r) with n = rint(v / ln 2), where |r| <= ln 2 / 2 is small enough for a
    polynomial; 2^n is n shifted into the exponent.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (v,) = arguments
        n = _call(builder, "llvm.rint", [builder.fmul(v, _constant(1.4426950408889634))])
        # ln 2 in two parts: the product of n and the first has no rounding error.
        r = _call(builder, "llvm.fma", [n, _constant(-0.693359375), v])
        r = _call(builder, "llvm.fma", [n, _constant(2.12194440e-4), r])
        # Taylor's series to degree 5: the next term is below 0.3466^6 / 720 = 2.4e-6.
        p = _constant(1.0 / 120.0)
        for coefficient in (1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0):
            p = _call(builder, "llvm.fma", [p, r, _constant(coefficient)])
        exponent = builder.fptosi(n, _VECTOR_I32)
        exponent = builder.add(exponent, ir.Constant(_VECTOR_I32, [127] * LANES))
        exponent = builder.shl(exponent, ir.Constant(_VECTOR_I32, [23] * LANES))
        return builder.fmul(p, builder.bitcast(exponent, _VECTOR))

    return float32x16(float32x16), generate


@inlined
def sigmoid(value):
    """``1 / (1 + exp(-v))`` of every lane, with v limited to -10..10.

    Beyond 10 the gradient of a pair is below 5e-5 of its rate: the limit only keeps ``exp`` in
    its range.
    """
    limited = clamp(value, splat(10.0))
    one = splat(1.0)
    return divide(one, add(one, exponential(subtract(splat(0.0), limited))))


def _prefetch(builder: Any, address: Any) -> None:
    byte = ir.IntType(8)
    kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    # For reading, to be kept in every cache, data.
    builder.call(function, [_pointer(builder, address, byte), _I32(0), _I32(3), _I32(1)])


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the cache line at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _prefetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


# Tuples of vectors. They never reach memory: LLVM keeps each member in a register.


def _unpack(builder: Any, values: Any, count: int) -> list[Any]:
    return [builder.extract_value(values, i) for i in range(count)]


def _pack(context: Any, builder: Any, kind: Any, values: list[Any]) -> Any:
    return context.make_tuple(builder, kind, values)


@intrinsic(prefer_literal=True)
def zeros_like(typing: Any, addresses: Any, times: Any) -> Any:
    """Return ``times`` (a literal) zero vectors for each address of a tuple."""
    kind = types.UniTuple(float32x16, len(addresses) * times.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _pack(context, builder, kind, [_constant(0.0)] * len(kind))

    return kind(addresses, times), generate


def _each_loaded(kind: Any) -> Any:
    @intrinsic
    def loaded(typing: Any, addresses: Any, offset: Any) -> Any:
        count = len(addresses)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rows, offset = arguments
            values = [
                _load(builder, builder.add(row, offset), kind.vector)
                for row in _unpack(builder, rows, count)
            ]
            return _pack(context, builder, types.UniTuple(kind, count), values)

        return types.UniTuple(kind, count)(addresses, types.int64), generate

    return loaded


load_each = _each_loaded(float32x16)
"""Load 16 floats at ``address + offset`` for each address of a tuple."""

load_each_half = _each_loaded(float32x8)
"""Load 8 floats at ``address + offset`` for each address of a tuple."""


@intrinsic
def prefetch_each(typing: Any, addresses: Any, offset: Any) -> Any:
    """Ask for the cache line at ``address + offset`` for each address of a tuple."""
    count = len(addresses)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, offset = arguments
        for row in _unpack(builder, rows, count):
            _prefetch(builder, builder.add(row, offset))
        return context.get_dummy_value()

    return types.void(addresses, types.int64), generate


@intrinsic
def store_each(typing: Any, addresses: Any, offset: Any, values: Any) -> Any:
    """Store vectors at ``address + offset`` for each address of a tuple."""
    count = len(addresses)
    vector = values.dtype.vector

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, offset, values = arguments
        unpacked = (_unpack(builder, each, count) for each in (rows, values))
        for row, value in zip(*unpacked, strict=True):
            pointer = _pointer(builder, builder.add(row, offset), vector)
            builder.store(value, pointer, align=4 * vector.count)
        return context.get_dummy_value()

    return types.void(addresses, types.int64, values), generate


@intrinsic
def half_products(typing: Any, x0: Any, x1: Any, ys: Any, offset: Any) -> Any:
    """Return 2N vectors: the products of two rows with N rows, 8 floats of each, and 8 zeros.

    Members are as in :func:`add_products`, which they are a start for.
    """
    count = len(ys)
    kind = types.UniTuple(float32x16, 2 * count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x0_value, x1_value, rows, offset = arguments
        first = _load(builder, builder.add(x0_value, offset), _HALF)
        second = _load(builder, builder.add(x1_value, offset), _HALF)
        # Writing the lower half of a register clears the upper one, so this costs nothing.
        lanes = ir.Constant(_VECTOR_I32, list(range(LANES)))
        nothing = ir.Constant(_HALF, [0.0] * (LANES // 2))
        totals: list[Any] = [None] * (2 * count)
        for j, row in enumerate(_unpack(builder, rows, count)):
            y = _load(builder, builder.add(row, offset), _HALF)
            totals[j] = builder.shuffle_vector(builder.fmul(first, y), nothing, lanes)
            totals[count + j] = builder.shuffle_vector(builder.fmul(second, y), nothing, lanes)
        return _pack(context, builder, kind, totals)

    return kind(types.int64, types.int64, ys, types.int64), generate


@intrinsic
def add_products(typing: Any, sums: Any, x0: Any, x1: Any, ys: Any, offset: Any) -> Any:
    """Add to 2N sums the products of two rows with N rows, 16 floats of each.

    ``sums[j] += x0 * y_j`` and ``sums[N + j] += x1 * y_j``, the rows read at their address plus
    ``offset``.
    """
    count = len(ys)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_value, x0_value, x1_value, rows, offset = arguments
        totals = _unpack(builder, sums_value, 2 * count)
        first = _load(builder, builder.add(x0_value, offset))
        second = _load(builder, builder.add(x1_value, offset))
        for j, row in enumerate(_unpack(builder, rows, count)):
            y = _load(builder, builder.add(row, offset))
            totals[j] = _call(builder, "llvm.fma", [first, y, totals[j]])
            totals[count + j] = _call(builder, "llvm.fma", [second, y, totals[count + j]])
        return _pack(context, builder, sums, totals)

    return sums(sums, types.int64, types.int64, ys, types.int64), generate


@intrinsic
def add_weighted_sum(typing: Any, start: Any, weights: Any, values: Any) -> Any:
    """``start + sum_j weight_j * value_j``; weights are floats in memory from an address on.

    The even and the odd j are summed apart: each sum waits for its own additions only.
    """
    count = len(values)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start_value, address, values = arguments
        totals = [start_value, ir.Constant(start.vector, [0.0] * start.vector.count)]
        for j, value in enumerate(_unpack(builder, values, count)):
            place = builder.add(address, ir.Constant(address.type, 4 * j))
            weight = _broadcast(builder, place, start.vector)
            totals[j % 2] = _call(builder, "llvm.fma", [weight, value, totals[j % 2]])
        return builder.fadd(*totals)

    return start(start, types.int64, values), generate


@intrinsic
def add_weighted(typing: Any, sums: Any, weights: Any, value: Any) -> Any:
    """``sums[j] += weight_j * value``; weights are floats in memory from an address on."""
    count = len(sums)
    vector = value.vector

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_value, address, value = arguments
        totals = _unpack(builder, sums_value, count)
        for j in range(count):
            place = builder.add(address, ir.Constant(address.type, 4 * j))
            weight = _broadcast(builder, place, vector)
            totals[j] = _call(builder, "llvm.fma", [weight, value, totals[j]])
        return _pack(context, builder, sums, totals)

    return sums(sums, types.int64, value), generate


@intrinsic
def sum_lanes(typing: Any, values: Any) -> Any:
    """Sum each of 2N vectors: lane j holds the sum of vector j, lane 8 + j that of N + j.

    Each vector is first folded to eight lanes. Then a transposing reduction: in three rounds, two
    vectors become one that holds the half sums of both, so eight vectors cost seven shuffled
    additions instead of eight horizontal sums.
    """
    count = len(values) // 2
    half = LANES // 2

    def shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
        kind = ir.VectorType(_I32, len(lanes))
        return builder.shuffle_vector(a, b, ir.Constant(kind, lanes))

    def reduce(builder: Any, vectors: list[Any]) -> Any:
        vectors = vectors + [None] * (half - len(vectors))
        span = 1
        while len(vectors) > 1:
            # Lanes that belong together are `span` apart. Of the pair (a, b), a's sums go to the
            # lanes whose bit `span` is clear and b's to those where it is set.
            low = [i if not i & span else half + i - span for i in range(half)]
            high = [i + span if not i & span else half + i for i in range(half)]
            paired: list[Any] = []
            for a, b in zip(vectors[::2], vectors[1::2], strict=True):
                if a is None:
                    paired.append(None)
                    continue
                b = a if b is None else b
                total = builder.fadd(shuffle(builder, a, b, low), shuffle(builder, a, b, high))
                paired.append(total)
            vectors = paired
            span *= 2
        return vectors[0]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        folded = []
        for value in _unpack(builder, arguments[0], 2 * count):
            lower = shuffle(builder, value, value, list(range(half)))
            upper = shuffle(builder, value, value, list(range(half, LANES)))
            folded.append(builder.fadd(lower, upper))
        first, second = reduce(builder, folded[:count]), reduce(builder, folded[count:])
        return shuffle(builder, first, second, list(range(LANES)))

    return float32x16(values), generate
