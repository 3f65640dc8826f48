"""Rows of measurements as Parquet; needs the extra `parquet`."""

from collections.abc import Iterable
from itertools import islice
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.interchange.table import COLUMNS, rows
from monitor.store.reader import StoredMeasurement

_GROUP_ROWS: Final = 10_000
_TYPES: Final = {
    "id": pa.int64(),
    "started_at": pa.timestamp("ms", tz="UTC"),
    "asn": pa.int64(),
    "rules_version": pa.int64(),
    "elapsed_seconds": pa.float64(),
    "is_deep": pa.bool_(),
}
SCHEMA: Final = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS])


def write(sink: IO[bytes], measurements: Iterable[StoredMeasurement]) -> None:
    """Write a file of row groups, so that memory is bounded."""
    found = rows(measurements)
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        while group := list(islice(found, _GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
