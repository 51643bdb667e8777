"""The same table, written by Arrow C++, DuckDB and Polars in the ways that each of them has. (The Rust writer is on the other
side: the test rewrites one of these files.)"""

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tables import COLUMNS, KEY

# What a writer cannot express, and why: these columns are left out of its files.
LACKS = {
    "Arrow C++": {},
    "DuckDB": {
        "decimal_76": "its decimals end at 38 digits",
        "float_16": "it has no 16-bit float",
    },
    "Polars": {
        "decimal_76": "its decimals end at 38 digits",
        "uuid": "it has no UUID: 16 bytes without a name",
        "map_to_int": "it has no map: a list of structs",
        "map_to_struct": "it has no map: a list of structs",
    },
}
VERSIONS = {"Arrow C++": pa.__version__, "DuckDB": duckdb.__version__, "Polars": pl.__version__}

# Format versions before 2.6 have no nanoseconds.
NO_NANOSECONDS = {name: "format versions before 2.6 end at microseconds" for name in ("time_ns", "local_ns", "instant_ns")}
# The flag turns every timestamp into 96 bits, which have no zone and are read in microseconds.
INT96 = {
    "local_ns": "96-bit timestamps are read in microseconds",
    **{name: "96-bit timestamps have no zone" for name in ("instant_ms", "instant_us", "instant_ns")},
}
EVERY = [KEY, *COLUMNS]


def arrow_plain(table, path):
    pq.write_table(table, path, version="1.0", compression="snappy", row_group_size=97, data_page_size=512)


def arrow_delta(table, path):
    encodings = {"text": "DELTA_BYTE_ARRAY", "text_large": "DELTA_LENGTH_BYTE_ARRAY", "bytes": "DELTA_BYTE_ARRAY"}
    encodings |= {name: "DELTA_BINARY_PACKED" for name in ("int_8", "int_16", "int_32", "int_64", "uint_32", "date", "time_us", "local_ms", "instant_us")}
    encodings |= {name: "BYTE_STREAM_SPLIT" for name in ("float_16", "float_32", "float_64", "decimal_38", "bytes_fixed", "uuid")}
    pq.write_table(
        table, path, use_dictionary=False, column_encoding=encodings, compression="zstd", data_page_version="2.0",
        row_group_size=64, data_page_size=300, write_page_index=True, write_page_checksum=True, store_decimal_as_integer=True,
    )


def arrow_foreign(table, path):
    """As a writer that is not Arrow: no Arrow schema, old list names, no statistics."""
    pq.write_table(
        table, path, store_schema=False, use_compliant_nested_type=False, compression="brotli", write_statistics=False,
        data_page_version="2.0", row_group_size=10_000, dictionary_pagesize_limit=64,
    )


def arrow_gzip(table, path):
    pq.write_table(table, path, version="2.4", compression="gzip", row_group_size=1, use_dictionary=["text", "uuid"])


def arrow_int96(table, path):
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, compression="lz4", row_group_size=50)


def arrow_other_types(table, path):
    """Every column in another type that has the same values: wider, narrower, large, view or dictionary."""
    other = {
        "text": pa.dictionary(pa.int32(), pa.large_string()),
        "text_large": pa.string_view(),
        "text_dictionary": pa.string(),
        "int_8": pa.int64(), "int_16": pa.decimal128(20, 3), "int_32": pa.int64(), "int_64": pa.decimal128(25, 2),
        "uint_8": pa.int16(), "uint_16": pa.uint64(), "uint_32": pa.int64(),
        "decimal_9": pa.decimal128(30, 6), "decimal_18": pa.decimal256(60, 9), "decimal_38": pa.decimal256(60, 12),
        "float_32": pa.float64(),
        "time_ms": pa.time64("us"), "time_us": pa.time64("ns"),
        "local_s": pa.timestamp("us"), "local_ms": pa.timestamp("us"), "local_us": pa.timestamp("ns"),
        "instant_ms": pa.timestamp("us", "Asia/Tokyo"), "instant_us": pa.timestamp("ns", "UTC"),
        "bytes": pa.large_binary(), "bytes_fixed": pa.binary(),
        "list_of_int": pa.large_list(pa.int64()), "list_of_text": pa.list_(pa.large_string()),
        "struct": pa.struct([("b", pa.int64()), ("a", pa.large_string()), ("c", pa.large_list(pa.int64()))]),
        "nothing": pa.int32(),
    }
    for name, kind in other.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    pq.write_table(table, path, compression="none", row_group_size=33, data_page_size=1)


def duck(expressions=None, **options):
    def write(table, path):
        connection = duckdb.connect(config={"threads": 2})
        connection.register("made", table)
        columns = ", ".join((expressions or {}).get(name, f'"{name}"') + f' AS "{name}"' for name in table.column_names)
        settings = ", ".join(f"{key} {value}" for key, value in options.items())
        connection.execute(f"COPY (SELECT {columns} FROM made) TO '{path}' (FORMAT parquet, {settings})")

    return write


def polars(**options):
    def write(table, path):
        pl.from_arrow(table).write_parquet(path, **options)

    return write


def polars_categories(table, path):
    frame = pl.from_arrow(table).with_columns(pl.col("text", "text_view").cast(pl.Categorical), pl.col("int_8").cast(pl.Int32))
    frame.lazy().sink_parquet(path, compression="gzip", row_group_size=40, data_page_size=200)


# writer, layout, function, columns that this layout cannot express
LAYOUTS = [
    ("Arrow C++", "format 2.6, defaults", lambda table, path: pq.write_table(table, path), {}),
    ("Arrow C++", "format 1.0, snappy, small pages", arrow_plain, NO_NANOSECONDS),
    ("Arrow C++", "delta and byte-stream-split encodings, pages 2.0, zstd", arrow_delta, {}),
    ("Arrow C++", "no Arrow schema, old list names, brotli", arrow_foreign, {}),
    ("Arrow C++", "format 2.4, gzip, a row group a row", arrow_gzip, NO_NANOSECONDS),
    ("Arrow C++", "96-bit timestamps, lz4", arrow_int96, INT96),
    ("Arrow C++", "other types of the same values, uncompressed", arrow_other_types, {}),
    ("DuckDB", "defaults", duck(), {}),
    ("DuckDB", "V2, zstd", duck(parquet_version="V2", compression="zstd", row_group_size=2048), {}),
    ("DuckDB", "no dictionaries, gzip", duck(dictionary_size_limit=0, compression="gzip"), {}),
    ("DuckDB", "brotli", duck(compression="brotli"), {}),
    (
        "DuckDB",
        "JSON, wider numbers, lz4",
        duck({"json": "json::JSON", "int_32": "int_32::HUGEINT::DECIMAL(38, 4)", "uint_8": "uint_8::BIGINT", "float_32": "float_32::DOUBLE"}, compression="lz4_raw"),
        {},
    ),
    ("Polars", "defaults", polars(), {}),
    ("Polars", "uncompressed, small row groups", polars(compression="uncompressed", row_group_size=20, statistics=False), {}),
    ("Polars", "snappy, small pages", polars(compression="snappy", data_page_size=100), {}),
    ("Polars", "categories, streamed, gzip", polars_categories, {}),
]


def columns(writer, lacks):
    """The columns that a layout of a writer has."""
    return [name for name in EVERY if name not in LACKS[writer] and name not in lacks]


def write(layout, table, path):
    """Writes a table and returns its columns in the file."""
    writer, _, function, lacks = layout
    kept = set(columns(writer, lacks))
    table = table.select([name for name in table.column_names if name in kept])
    function(table, str(path))
    return [name for name in EVERY if name in kept]
