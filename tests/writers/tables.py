"""Random tables with a column of every type that Parquet users have, the awkward values included."""

import datetime
import decimal
import json
import random
import struct
import uuid

import pyarrow as pa

KEY = "id"

TEXTS = ["", " ", "a", "A", "é", "e\u0301", "ﬁ", "fi", "naïve", "Zoë", "日本", "\U0001f600", "tab\tnew\nline", "nul\0inside", "0", "null", "x" * 300]
DOUBLES = [0.0, -0.0, 1.0, -1.0, 1.5, 0.1, 1e300, -1e300, 5e-324, float("inf"), float("-inf"), 2.0**53, 2.0**63, 1e16, 1e-5]
# Quiet, negative, and with a payload: one value to the hash.
NANS_64 = [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000123]
NANS_32 = [0x7FC00000, 0xFFC00000, 0x7FC00123]
NANS_16 = [0x7E00, 0xFE00, 0x7E01]
US = 1_000_000
# Years 1700 to 2250: what 64 bits of nanoseconds hold.
EPOCH_SPAN = (-8_500_000_000, 8_800_000_000)


def integer(bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return lambda r: r.choice([low, high, 0, 1, r.randint(low, high), r.randint(max(low, -9), min(high, 9))])


def number(precision, scale):
    most = 10**precision - 1

    def make(r):
        unscaled = r.choice([0, most, -most, r.randint(-most, most), r.randint(-999, 999), 10**scale * r.randint(0, 9)])
        with decimal.localcontext(prec=80):
            return decimal.Decimal(unscaled).scaleb(-scale)

    return make


def moment(per_second):
    def make(r):
        low, high = EPOCH_SPAN
        return r.choice([0, -1, 1, r.randint(low, high) * per_second, r.randint(low * per_second, high * per_second)])

    return make


def text(r):
    return r.choice([*TEXTS, "".join(r.choice("abcdeäß") for _ in range(r.randint(0, 12)))])


def binary(r):
    return r.choice([b"", b"\0", b"\xff\x00", b"text", r.randbytes(r.randint(0, 20))])


def optional(make, share=0.2):
    return lambda r: None if r.random() < share else make(r)


def several(make, most=4):
    return lambda r: [make(r) for _ in range(r.randint(0, most))]


def record(**fields):
    return lambda r: {name: make(r) for name, make in fields.items()}


def entries(make):
    """Pairs with distinct keys, in any order."""
    return lambda r: [(k, make(r)) for k in r.sample(["a", "b", "", "ä", "long key", "z"], r.randint(0, 5))]


def bits(values, nans, packing):
    """Floats as their bits, so that every NaN stays the one it is."""
    size = struct.calcsize(packing.lower())
    unsigned = {2: "<H", 4: "<I", 8: "<Q"}[size]
    known = [struct.unpack(unsigned, struct.pack(packing, v))[0] for v in values]
    return lambda r: r.choice([r.choice(known), r.choice(nans), struct.unpack(unsigned, struct.pack(packing, r.randint(-2048, 2048) / 16))[0]])


SMALL = [0.0, -0.0, 1.0, -1.0, 1.5, 0.5, -2.25, float("inf"), float("-inf"), 2048.0]
INT32 = integer(32, True)

# name: (Arrow type, maker of one value)
COLUMNS = {
    "text": (pa.string(), text),
    "text_large": (pa.large_string(), text),
    "text_view": (pa.string_view(), text),
    "text_dictionary": (pa.dictionary(pa.int32(), pa.string()), text),
    "json": (pa.string(), lambda r: json.dumps({"a": r.randint(0, 9), "b": [text(r).replace("\0", "")]})),
    "int_8": (pa.int8(), integer(8, True)),
    "int_16": (pa.int16(), integer(16, True)),
    "int_32": (pa.int32(), INT32),
    "int_64": (pa.int64(), integer(64, True)),
    "uint_8": (pa.uint8(), integer(8, False)),
    "uint_16": (pa.uint16(), integer(16, False)),
    "uint_32": (pa.uint32(), integer(32, False)),
    "uint_64": (pa.uint64(), integer(64, False)),
    "decimal_9": (pa.decimal128(9, 2), number(9, 2)),
    "decimal_18": (pa.decimal128(18, 4), number(18, 4)),
    "decimal_38": (pa.decimal128(38, 10), number(38, 10)),
    "decimal_76": (pa.decimal256(76, 20), number(76, 20)),
    "float_16": (pa.float16(), bits(SMALL, NANS_16, "<e")),
    "float_32": (pa.float32(), bits([*SMALL, 0.1, 1e30], NANS_32, "<f")),
    "float_64": (pa.float64(), bits(DOUBLES, NANS_64, "<d")),
    "boolean": (pa.bool_(), lambda r: r.random() < 0.5),
    "date": (pa.date32(), lambda r: datetime.date(1970, 1, 1) + datetime.timedelta(days=r.randint(-100_000, 100_000))),
    "time_ms": (pa.time32("ms"), lambda r: r.randint(0, 86_399_999)),
    "time_us": (pa.time64("us"), lambda r: r.randint(0, 86_400 * US - 1)),
    "time_ns": (pa.time64("ns"), lambda r: r.randint(0, 86_400 * 10**9 - 1)),
    "local_s": (pa.timestamp("s"), moment(1)),
    "local_ms": (pa.timestamp("ms"), moment(1000)),
    "local_us": (pa.timestamp("us"), moment(US)),
    "local_ns": (pa.timestamp("ns"), moment(10**9)),
    "instant_ms": (pa.timestamp("ms", "UTC"), moment(1000)),
    "instant_us": (pa.timestamp("us", "Europe/Berlin"), moment(US)),
    "instant_ns": (pa.timestamp("ns", "+02:00"), moment(10**9)),
    "bytes": (pa.binary(), binary),
    "bytes_large": (pa.large_binary(), binary),
    "bytes_view": (pa.binary_view(), binary),
    "bytes_fixed": (pa.binary(5), lambda r: r.choice([b"\0" * 5, b"\xff" * 5, r.randbytes(5)])),
    "uuid": (pa.uuid(), lambda r: uuid.UUID(int=r.getrandbits(128))),
    "list_of_int": (pa.list_(pa.int32()), several(optional(INT32))),
    "list_of_text": (pa.list_(pa.string()), several(optional(text))),
    "list_of_lists": (pa.list_(pa.list_(pa.int32())), several(optional(several(optional(INT32))))),
    "list_of_structs": (
        pa.list_(pa.struct([("x", pa.int32()), ("y", pa.string())])),
        several(optional(record(x=optional(INT32), y=optional(text)))),
    ),
    "struct": (
        pa.struct([("b", pa.int32()), ("a", pa.string()), ("c", pa.list_(pa.int32()))]),
        record(b=optional(INT32), a=optional(text), c=optional(several(optional(INT32)))),
    ),
    "map_to_int": (pa.map_(pa.string(), pa.int32()), entries(optional(INT32))),
    "map_to_struct": (
        pa.map_(pa.string(), pa.struct([("x", pa.int32()), ("y", pa.string())])),
        entries(optional(record(x=optional(INT32), y=optional(text)))),
    ),
    "nothing": (pa.null(), lambda r: None),
}


def rows(r, count, first=0):
    """Records as dictionaries; nulls everywhere but in the key."""
    made = []
    for n in range(first, first + count):
        row = {name: (None if r.random() < 0.15 else make(r)) for name, (_, make) in COLUMNS.items()}
        made.append({KEY: f"key-{n:05}", **row})
    return made


def changed(r, old):
    """A later state: some leave, some enter, and of those that stay some have another value in one column or in several."""
    new = []
    for row in old:
        if r.random() < 0.1:
            continue
        row = dict(row)
        if r.random() < 0.6:
            for name in r.sample(list(COLUMNS), r.randint(1, 12)):
                row[name] = None if r.random() < 0.2 else COLUMNS[name][1](r)
        new.append(row)
    return new + rows(r, len(old) // 10, first=len(old))


def otherwise(r, made):
    """The same values told in another way: maps in another order, NaN as another NaN, zero with the other sign."""
    nans = {"float_16": (0x7C00, 0x03FF, NANS_16, 0x8000), "float_32": (0x7F800000, 0x7FFFFF, NANS_32, 1 << 31), "float_64": (0x7FF << 52, (1 << 52) - 1, NANS_64, 1 << 63)}
    for row in made:
        row = dict(row)
        for name, value in row.items():
            if value is None:
                continue
            if name.startswith("map"):
                row[name] = r.sample(value, len(value))
            elif name in nans:
                exponent, mantissa, all_nans, sign = nans[name]
                if value & exponent == exponent and value & mantissa:
                    row[name] = r.choice(all_nans)
                elif value & ~sign == 0:
                    row[name] = value ^ sign
        yield row


def table(made):
    """Records as an Arrow table."""
    arrays = {KEY: pa.array([row[KEY] for row in made], pa.string())}
    for name, (kind, _) in COLUMNS.items():
        values = [row[name] for row in made]
        if pa.types.is_floating(kind):
            size = kind.bit_width
            packed = pa.array(values, {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[size])
            arrays[name] = pa.Array.from_buffers(kind, len(packed), packed.buffers())
        elif pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
            arrays[name] = pa.array(values, pa.int64()).cast(kind)
        elif pa.types.is_time32(kind):
            arrays[name] = pa.array(values, pa.int32()).cast(kind)
        elif kind == pa.uuid():
            storage = pa.array([v and v.bytes for v in values], pa.binary(16))
            arrays[name] = pa.ExtensionArray.from_storage(kind, storage)
        elif pa.types.is_dictionary(kind):
            arrays[name] = pa.array(values, pa.string()).dictionary_encode()
        else:
            arrays[name] = pa.array(values, kind)
    return pa.table(arrays)


def shuffled(r, made):
    """Records as an Arrow table, rows and columns in another order."""
    whole = table(r.sample(made, len(made)))
    return whole.select(r.sample(whole.column_names, whole.num_columns))


def seeded(*names):
    """Randomness that depends on these names only."""
    return random.Random("/".join(map(str, names)))
